"""Watches of several servers on one database: streams anywhere, and what becomes of an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import grpc
import pytest

from support.postgres import SHARED
from support.shared_servers import (
    DEADLINE_S,
    SETTINGS,
    Call,
    Pair,
    SharedServer,
    identity_of,
    servers,
    until,
)
from watcher.delivery.subscription import Subscription
from watcher.errors import AwayError, ConfigError, FencedError, HistoryError, NotFoundError
from watcher.limits.state_threads import MAX_THREADS
from watcher.model import Payload
from watcher.state.postgres import requests
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.store import PostgresStore
from watcher.watch import failed_claims
from watcher.watch.watch import Watch

EXPIRE = "UPDATE watcher.server SET lease_until = clock_timestamp() - '1 s'::interval WHERE id = $1"
NOBODY = f"{'0' * 16}-1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers that all tests share which leave them as they are."""
    url = SHARED.url(str(tmp_path_factory.mktemp("pair")))
    with Pair(url, replace(SETTINGS, journal_retention_s=60.0)) as pair:
        yield pair


@pytest.fixture
def url(tmp_path: Path) -> str:
    return SHARED.url(str(tmp_path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_text(name)


def running(server: SharedServer, root: Path) -> Watch:
    watch = server.watch(root.parent.name)
    assert watch is not None
    return watch


def confirmed_seqs(watch: Watch) -> list[int]:
    """Return up to where each stream at the owner counts as delivered."""
    return watch.publisher._audience.confirmed_seqs(SETTINGS.redelivery_window_s)


async def expire(url: str, server: SharedServer) -> None:
    """Let the lease of a server that is dead run out."""
    database = Database(parse_url(url), "beside")
    await asyncio.to_thread(database.fetch, EXPIRE, server.id)
    database.close()


# Where nothing happens to the servers


def test_a_stream_at_a_follower_gets_everything_in_order(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            with b.stream(root, name) as second:
                await second.began()
                assert (a.watch(name) is not None, b.follows(name)) == (True, True)
                for number in range(50):
                    write(root, f"{number:03}")
                    await asyncio.sleep(0)
                await first.has(*(f"{number:03}" for number in range(50)))
                await second.has(*first.paths)
                assert second.payloads == first.payloads
            await until(lambda: not b.follows(name), "it is followed no more")
            assert a.watch(name) is not None

    pair.run(act)


def test_the_slowest_stream_holds_the_cursor(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            with b.stream(root, name) as second:
                await second.began()
                watch = running(a, root)
                second.reads.clear()
                write(root, "one")
                await first.has("one")
                await until(lambda: confirmed_seqs(watch) == [1], "it is delivered to the first")
                await asyncio.to_thread(watch.publisher.confirm)
                assert watch.publisher.journal.cursor == 0
                second.reads.set()
                await second.has("one")
                await until(lambda: watch.publisher.journal.cursor == 1, "it is confirmed")

    pair.run(act)


def test_another_configuration_is_refused_while_there_are_streams(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def refused(call: Call) -> None:
        await until(lambda: call.status is not None, "it has ended")
        assert call.status is not None
        assert call.status[0] is grpc.StatusCode.ALREADY_EXISTS

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            with b.stream(root, name, include=["*.csv"]) as second:
                await refused(second)
            with b.stream(root, name, existing="skip") as same:
                # The same in other words.
                await same.began()
                with b.stream(root, name, include=["*.csv"]) as second:
                    await refused(second)
        await until(lambda: not a.streams, "the first has left")
        with b.stream(root, name, include=["*.csv"]) as second:
            await second.began()
            write(root, "a.txt", "b.csv")
            await second.has("b.csv")
            assert running(a, root).spec == next(iter(b.watches.followers))[1].spec

    pair.run(act)


def test_acknowledgements_are_taken_anywhere(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name, confirm="ack") as first:
            await first.began()
            write(root, "one")
            await first.has("one")
            ids = [NOBODY, first.events[0]["id"], "x"]
            assert await b.acknowledgements.acknowledge("", ids) == [NOBODY, "x"]
            assert await b.acknowledgements.acknowledge("else", ids[1:2]) == ids[1:2]
            journal = running(a, root).publisher.journal
            await until(lambda: journal.cursor == 1, "it is confirmed")

    pair.run(act)


def test_acknowledgements_that_could_not_be_taken_in_are_taken_in_later(
    pair: Pair, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name, confirm="ack") as first:
            await first.began()
            write(root, "one")
            await first.has("one")
            journal = running(a, root).publisher.journal
            refresh, refused = journal.refresh_acknowledged, list[int]()

            def refuse_once(acknowledgements: int, *, keep_s: float = 0.0) -> bool:
                if acknowledgements and not refused:
                    refused.append(acknowledgements)
                    raise AwayError("away")
                return refresh(acknowledgements, keep_s=keep_s)

            monkeypatch.setattr(journal, "refresh_acknowledged", refuse_once)
            await b.acknowledgements.acknowledge("", [first.events[0]["id"]])
            await until(lambda: journal.cursor == 1, "it is confirmed")
            assert refused

    pair.run(act)


def test_an_acknowledgement_is_refused_where_time_confirms(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            write(root, "one")
            await first.has("one")
            known = b.watches.elsewhere
            await until(lambda: known.owns(identity_of(root, name)), "b knows the watch")
            with pytest.raises(ConfigError, match="confirms events by time"):
                await b.acknowledgements.acknowledge("", [first.events[0]["id"]])

    pair.run(act)


def test_a_replay_and_a_release_are_asked_of_the_owner(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first, b.stream(root, name) as second:
            await first.began()
            await second.began()
            write(root, "one")
            await first.has("one")
            await second.has("one")
            owner, other = (a, b) if a.watch(name) else (b, a)
            journal = running(owner, root).publisher.journal
            await until(lambda: journal.cursor == 1, "it is confirmed")
            found = await other.acknowledgements.replay("", name, seq=1)
            assert found == (identity_of(root, name), range(1, 2))
            await first.has("one", "one")
            await second.has("one", "one")
            assert await other.requests.release(identity_of(root, name)) == 0
            with pytest.raises(NotFoundError):
                await other.requests.release_mount(identity_of(root, name), b"no/mount")

    pair.run(act)


def test_an_owner_that_does_not_answer_holds_up_nothing_else(
    pair: Pair, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask it: what is asked of the database has threads of its own."""
    name = root.parent.name
    monkeypatch.setattr(requests, "ANSWER_S", DEADLINE_S)

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            known = b.watches.elsewhere
            await until(lambda: known.owns(identity_of(root, name)), "b knows the watch")
            await a.surveys.stop()
            asking = [
                asyncio.create_task(b.requests.release(identity_of(root, name)))
                for _ in range(2 * MAX_THREADS)
            ]
            try:
                survey = known.survey
                await until(lambda: known.survey is not survey, "the next survey")
                assert not any(each.done() for each in asking)
            finally:
                a.surveys.start()
                assert await asyncio.gather(*asking) == [0] * len(asking)

    pair.run(act)


def test_a_place_that_is_not_there_is_told_at_each_server(pair: Pair, root: Path) -> None:
    name = root.parent.name
    root.rmdir()

    async def act(a: SharedServer, b: SharedServer) -> None:
        for server in (a, b, a):
            with server.stream(root, name) as call:
                await until(lambda: call.status is not None, "it is refused")
                assert call.status is not None
                assert call.status[0] is grpc.StatusCode.NOT_FOUND

    pair.run(act)


def test_a_watch_goes_to_where_its_streams_are(pair: Pair, root: Path) -> None:
    name = root.parent.name

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            with b.stream(root, name) as second:
                await second.began()
                write(root, "one")
                await first.has("one")
        with b.stream(root, name) as second:
            await second.began()
            assert not b.watch(name)
            write(root, "two")
            await until(lambda: second.paths[-1:] == ["two"], "it came")
            before = [*second.paths]
            # As if no server had come or gone for long.
            a.surveys._placement._claims._settled_s = 0.0
            await until(lambda: b.watch(name) is not None, "b has the watch")
            assert a.watch(name) is None
            write(root, "three")
            await second.has(*before, "three")
            assert second.status is None
            await until(lambda: not b.follows(name), "the stream has moved")

    pair.run(act)


@pytest.mark.parametrize("take", [Watch.hand_over, partial(Watch.fail, error=FencedError("taken"))])
def test_a_stream_whose_watch_goes_while_it_reads_moves(
    pair: Pair, root: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Watch], None]
) -> None:
    name = root.parent.name
    read, taken = Subscription.read_from_memory, list[Watch]()

    async def act(a: SharedServer, _: SharedServer) -> None:
        def read_and_take(subscription: Subscription) -> list[Payload] | None:
            payloads, watch = read(subscription), a.watch(name)
            if watch is not None and not taken and not payloads:
                taken.append(watch)
                take(watch)
            return payloads

        with a.stream(root, name) as first:
            await first.began()
            monkeypatch.setattr(Subscription, "read_from_memory", read_and_take)
            write(root, "one")
            await first.has("one")
            write(root, "two")
            await first.has("one", "two")
            assert taken
            assert first.status is None

    pair.run(act)


def test_an_owner_whose_history_is_another_opens_its_watch_again_at_once(
    pair: Pair, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other server can: it still owns the watch, which streams elsewhere wait for."""
    name = root.parent.name
    monkeypatch.setattr(failed_claims, "FAILED_S", 3600.0)

    async def act(a: SharedServer, b: SharedServer) -> None:
        with a.stream(root, name) as first:
            await first.began()
            with b.stream(root, name) as second:
                await second.began()
                watch = running(a, root)
                # As after a failover to a standby without the last steps.
                session = cast("PostgresStore", watch._store)._session
                session._end = HistoryError("other steps")
                watch.check_state()
                write(root, "one")
                await second.has("one")
                assert second.status is None

    pair.run(act)


# Where an owner goes


def test_a_stream_survives_the_death_of_the_owner(url: str, root: Path) -> None:
    async def act() -> None:
        async with servers(url, "a", "b") as (a, b):
            with a.stream(root) as first:
                await first.began()
                with b.stream(root) as second:
                    await second.began()
                    write(root, "one")
                    await second.has("one")
                    await a.kill()
                    await expire(url, a)
                    write(root, "two")
                    await second.has("one", "two")
                    assert b.watch() is not None
                    await until(lambda: not b.follows(), "the stream has moved")
                    assert second.status is None

    asyncio.run(act())


def test_a_server_that_stops_hands_its_watch_and_streams_over(url: str, root: Path) -> None:
    async def act() -> None:
        async with servers(url, "a", "b") as (a, b):
            with a.stream(root) as first:
                await first.began()
                write(root, "one")
                await first.has("one")
                await asyncio.to_thread(a.engine.membership.leave)
                await a.watches.hand_over()
                await until(lambda: b.watch() is not None, "b has the watch")
                write(root, "two")
                # Also unconfirmed ones are written once.
                await first.has("one", "two")
                assert a.follows()
                cursor = b.watches.running()[0][1].publisher.journal
                await until(lambda: cursor.cursor == 2, "it is confirmed by the follower")

    asyncio.run(act())


def test_a_stream_that_does_not_read_cannot_move_and_is_ended(url: str, root: Path) -> None:
    """Or the streams beside it that have moved would confirm nothing, until the journal is full."""
    names = [f"{number:02}" for number in range(10)]

    async def act() -> None:
        settings = replace(SETTINGS, journal_cap=5)
        async with servers(url, "a", "b", settings=settings) as (a, b):
            with a.stream(root) as first, a.stream(root) as second:
                await first.began()
                await second.began()
                second.reads.clear()
                write(root, names[0])
                await first.has(names[0])
                await asyncio.to_thread(a.engine.membership.leave)
                await a.watches.hand_over()
                await until(lambda: b.watch() is not None, "b has the watch")
                for name in names[1:]:
                    write(root, name)
                await until(lambda: sorted(first.paths) == names, "the first has all")
                journal = b.watches.running()[0][1].publisher.journal
                await until(lambda: journal.cursor == len(names), "all is confirmed")
                assert first.status is None
                await until(lambda: second.status is not None, "the other one has ended")

    asyncio.run(act())


def test_surveys_end_also_when_news_come_at_the_same_moment(url: str) -> None:
    """However many turns of the event loop lie between both."""

    async def act() -> None:
        async with servers(url, "a") as (a,):
            await a.surveys.stop()
            for turns in range(8):
                a.surveys.start()
                # It waits for news after its first turn.
                await asyncio.sleep(0)
                a.surveys.look()
                for _ in range(turns):
                    await asyncio.sleep(0)
                async with asyncio.timeout(DEADLINE_S):
                    await a.surveys.stop()

    asyncio.run(act())


def test_a_paused_owner_is_fenced_and_its_streams_go_on(url: str, root: Path) -> None:
    async def act() -> None:
        # What is confirmed before they have moved would pass them.
        settings = replace(SETTINGS, redelivery_window_s=60.0)
        async with servers(url, "a", "b", settings=settings) as (a, b):
            with a.stream(root) as first:
                await first.began()
                with b.stream(root) as second:
                    await second.began()
                    a.pause()
                    await expire(url, a)
                    await until(lambda: b.watch() is not None, "b has the watch")
                    write(root, "one")
                    await second.has("one")
                    await first.has("one")
                    assert a.watch() is None
                    assert first.status is None

    asyncio.run(act())
