"""Who owns a watch: opened by one server at a time, released, and taken from one that is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest

from component.state.postgres.conftest import WATCH
from support.clock import FakeClock
from support.logs import captured_logs
from watcher.errors import (
    ConflictError,
    FencedError,
    LimitError,
    OwnedElsewhereError,
    StateError,
)
from watcher.model import Delta, Identity, Payload
from watcher.state.membership import Departure, used_alone
from watcher.state.postgres import openings
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.membership import LEASE_S
from watcher.state.postgres.openings import Claim
from watcher.state.postgres.store import PostgresStore

pytestmark = pytest.mark.usefixtures("long_leases")

EXPIRE = """
    UPDATE watcher.server SET lease_until = clock_timestamp() - interval '1 second' WHERE name = $1
"""
OWNER = "SELECT server.name FROM watcher.counters LEFT JOIN watcher.server ON server.id = owner"
READERS = """
    SELECT server.name, reader.streams, confirmed
    FROM watcher.reader JOIN watcher.server ON id = server
"""

Join = Callable[[str], PostgresEngine]

DEADLINE_S = 30.0


@pytest.fixture
def join(url: str, clock: FakeClock) -> Iterator[Join]:
    """Start engines of servers that share the database; none of them attends by itself."""
    with ExitStack() as stack:

        def join_it(name: str) -> PostgresEngine:
            engine = stack.enter_context(PostgresEngine(url, clock, name))
            engine.membership._attend()
            return engine

        yield join_it


def commit(store: PostgresStore, *seqs: int) -> None:
    for seq in seqs:
        store.commit(Delta(), [Payload(seq, b"x")], changes=1)


def stay_in_contact(engine: PostgresEngine, clock: FakeClock, seconds: int = int(LEASE_S)) -> None:
    for _ in range(seconds):
        clock.advance(1.0)
        engine.membership._attend()


def takeovers(engine: PostgresEngine) -> dict[Departure, int]:
    return dict(engine.membership.takeovers)


def test_a_watch_has_one_owner_until_it_is_released(join: Join, database: Database) -> None:
    one, two = join("one"), join("two")
    store = one.open(WATCH)
    commit(store, 1, 2)
    uid = store.uid
    assert database.fetch(OWNER) == [("one",)]
    for _ in range(2):
        with pytest.raises(OwnedElsewhereError, match="one owns the watch") as refused:
            two.open(WATCH)
        assert refused.value.owner == "one"
        # What is only closed is still its own.
        store.close()
    store = one.open(WATCH)
    store.release()
    store.release()
    assert database.fetch(OWNER) == [(None,)]
    with pytest.raises(StateError, match="the state was closed"):
        commit(store, 3)
    store = two.open(WATCH)
    assert (store.uid, store.journal.next_seq, store.is_new) == (uid, 3, False)
    assert database.fetch(OWNER) == [("two",)]
    assert takeovers(one) == {Departure.RELEASED: 0, Departure.EXPIRED: 0}
    assert takeovers(two) == {Departure.RELEASED: 1, Departure.EXPIRED: 0}


def test_servers_that_open_a_watch_at_once_agree_on_an_owner(join: Join) -> None:
    engines = [join(f"server-{number}") for number in range(4)]

    def open_it(engine: PostgresEngine) -> bool:
        try:
            engine.open(WATCH)
        except OwnedElsewhereError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(open_it, engines)) == 1


def test_the_watch_of_a_dead_server_is_taken(
    join: Join, clock: FakeClock, database: Database
) -> None:
    """Its sessions are ended before; what it had opened can write no more."""
    one, two = join("one"), join("two")
    store = one.open(WATCH)
    commit(store, 1)
    database.fetch(EXPIRE, "one")
    with pytest.raises(OwnedElsewhereError, match="one may still own the watch"):
        two.open(WATCH)
    with captured_logs() as logs:
        stay_in_contact(two, clock)
        taken = two.open(WATCH)
    events = {line["event"] for line in logs}
    assert {"state.sessions_ended", "watch.taken"} <= events
    commit(taken, 2)
    for _ in range(2):
        with pytest.raises(FencedError):
            commit(store, 2)
    assert one.membership.fenced
    assert not two.membership.fenced
    assert takeovers(two) == {Departure.RELEASED: 0, Departure.EXPIRED: 1}
    # It comes back, and does not get the watch with that.
    one.membership._attend()
    with pytest.raises(OwnedElsewhereError, match="two owns the watch"):
        one.open(WATCH)
    store.release()
    assert database.fetch(OWNER) == [("two",)]


def test_an_owner_that_comes_back_at_the_last_moment_keeps_its_watch(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = join("one"), join("two")
    store = one.open(WATCH)
    claim = Claim(two.membership.me.id, one.membership.me.id)
    monkeypatch.setattr(two, "_claim", lambda _: claim)
    with pytest.raises(OwnedElsewhereError, match="one owns the watch"):
        two.open(WATCH)
    two.remove(WATCH)
    commit(store, 1)


def test_an_owner_that_was_away_for_all_keeps_its_watches(
    join: Join, clock: FakeClock, database: Database
) -> None:
    one, two = join("one"), join("two")
    stay_in_contact(two, clock)
    store = one.open(WATCH)
    two.membership._lose_contact(StateError("the database is away"))
    for name in ("one", "two"):
        database.fetch(EXPIRE, name)
    two.membership._attend()
    with pytest.raises(OwnedElsewhereError):
        two.open(WATCH)
    commit(store, 1)
    one.membership._attend()
    stay_in_contact(two, clock)
    with pytest.raises(OwnedElsewhereError):
        two.open(WATCH)


def test_the_watches_of_a_server_that_has_stopped_are_free(url: str, clock: FakeClock) -> None:
    """Also those that it could not release."""
    with used_alone(PostgresEngine(url, clock, "one")) as engine:
        commit(engine.open(WATCH), 1)
    with used_alone(PostgresEngine(url, clock, "two")) as engine:
        assert engine.open(WATCH).journal.next_seq == 2
        assert takeovers(engine) == {Departure.RELEASED: 1, Departure.EXPIRED: 0}


def test_streams_go_on_when_a_watch_is_released(join: Join, database: Database) -> None:
    """Their server is a reader in the same step; nothing beyond its position is confirmed."""
    one = join("one")
    store = one.open(WATCH)
    commit(store, 1, 2, 3)
    store.journal.confirm(1)
    store.release(streams=2, confirmed_seq=2)
    assert database.fetch(READERS) == [("one", 2, 2)]
    store = one.open(WATCH)
    store.release(streams=1)
    assert database.fetch(READERS) == [("one", 1, 1)]


def test_a_server_that_has_not_joined_opens_nothing(
    url: str, clock: FakeClock, database: Database
) -> None:
    with PostgresEngine(url, clock) as engine:
        with pytest.raises(StateError, match="not among those that use the database"):
            engine.open(WATCH)
        with pytest.raises(StateError, match="starting"):
            engine.probe()
    assert database.fetch("SELECT * FROM watcher.watch") == []


def test_what_others_own_is_not_touched(join: Join, database: Database) -> None:
    one, two = join("one"), join("two")
    store = one.open(WATCH)
    commit(store, 1)
    for touch in (
        lambda: two.renew_ids(WATCH),
        lambda: two.rewind(WATCH, seq=1, time_s=None),
        lambda: two.export_watch(WATCH).__enter__(),
    ):
        with pytest.raises(OwnedElsewhereError):
            touch()
    two.remove(WATCH)
    database.fetch("UPDATE watcher.watch SET used_at = 0")
    two.open(Identity("", "other", "file:///other")).release()
    two.remove_unused()
    assert WATCH in two.summaries()
    commit(store, 2)
    store.release()
    two.remove_unused()
    assert WATCH not in two.summaries()


def test_a_watch_that_does_not_run_has_no_owner_afterwards(join: Join, database: Database) -> None:
    one = join("one")
    one.open(WATCH).release()
    one.renew_ids(WATCH)
    one.rewind(WATCH, seq=1, time_s=None)
    assert database.fetch(OWNER) == [(None,)]


def test_the_configuration_is_kept_for_any_server(join: Join, database: Database) -> None:
    one, two = join("one"), join("two")
    assert two.document(WATCH) == b""
    store = one.open(WATCH, b"a: 1")
    assert store.document_version == 1
    assert two.document(WATCH) == b"a: 1"
    for document, version in ((b"a: 1", 1), (b"", 1), (b"a: 2", 2)):
        store = one.open(WATCH, document)
        assert store.document_version == version
    assert two.document(WATCH) == b"a: 2"
    for node in ("node-a", "node-a", None):
        store.note_node(node)
        assert database.fetch("SELECT node FROM watcher.watch") == [(node,)]
        assert two.survey(60.0).watches[WATCH].node == node


def test_watches_of_a_principal_are_counted_over_all_servers(join: Join) -> None:
    """Those of others do not count, nor does one that is there already."""
    engines = [join("one"), join("two")]
    engines[0].open(Identity("bob", "orders", "file:///data"), max_watches=1)

    def open_it(number: int) -> bool:
        identity = Identity("alice", f"watch-{number}", "file:///data")
        try:
            engines[number % 2].open(identity, max_watches=3)
        except LimitError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        opened = [*pool.map(open_it, range(8))]
    assert sum(opened) == 3
    first = opened.index(True)
    assert open_it(first)
    with pytest.raises(LimitError, match="the state of 3 watches for this token"):
        engines[0].open(Identity("alice", "more", "file:///data"), max_watches=3)


# Queues


QUEUE, OTHER_QUEUE = "eu-west-1/123456789012/landing", "eu-west-1/123456789012/other"
FIRST, SECOND = (WATCH._replace(name=name) for name in ("first", "second"))


@pytest.mark.parametrize("is_new", [True, False])
def test_of_servers_that_open_two_watches_at_once_one_gets_the_queue(
    join: Join, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    one, two = join("one"), join("two")
    if not is_new:
        one.open(FIRST).release()
        two.open(SECOND).release()
    look, both = openings._free_queue, Barrier(2)

    def look_at_once(*values: Any) -> None:  # noqa: ANN401 - what it takes
        look(*values)
        both.wait(DEADLINE_S)

    def open_it(engine: PostgresEngine, watch: Identity) -> bool:
        try:
            engine.open(watch, queue=QUEUE)
        except ConflictError:
            return False
        return True

    monkeypatch.setattr(openings, "_free_queue", look_at_once)
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(open_it, (one, two), (FIRST, SECOND))) == 1


def test_a_queue_is_free_once_the_watch_that_reads_it_is_released(
    join: Join, database: Database
) -> None:
    one, two = join("one"), join("two")
    first = one.open(FIRST, queue=QUEUE)
    with pytest.raises(ConflictError, match="another watch reads the queue"):
        two.open(SECOND, queue=QUEUE)
    # Nothing was made of it.
    assert database.fetch("SELECT name FROM watcher.watch") == [("first",)]
    second = two.open(SECOND, queue=OTHER_QUEUE)
    again = one.open(FIRST, queue=QUEUE)
    commit(again, 1)
    again.release()
    with pytest.raises(ConflictError):
        one.open(FIRST, queue=OTHER_QUEUE)
    second.release()
    two.open(SECOND, queue=QUEUE)
    one.open(FIRST, queue=OTHER_QUEUE)
    assert first.failure is None


def test_a_queue_is_taken_from_a_dead_server_with_its_watch(
    join: Join, clock: FakeClock, database: Database
) -> None:
    """A server that was paused then reads it no longer than it takes to notice that."""
    one, two = join("one"), join("two")
    first = one.open(FIRST, queue=QUEUE)
    commit(first, 1)
    database.fetch(EXPIRE, "one")
    with pytest.raises(ConflictError):
        two.open(SECOND, queue=QUEUE)
    stay_in_contact(two, clock)
    two.open(SECOND, queue=QUEUE)
    with pytest.raises(FencedError):
        commit(first, 2)
    assert {*database.fetch(OWNER)} == {(None,), ("two",)}
    with pytest.raises(ConflictError):
        two.open(FIRST, queue=QUEUE)
