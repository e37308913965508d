"""Confirmations: nothing is confirmed that not all streams of all servers have read."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import (
    commit,
    cursor_of,
    join,
    refreshed,
    report,
)
from support.client import wait_until
from support.clock import FakeClock
from watcher.state.postgres.confirmer import Confirmation
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore


def test_the_cursor_stays_with_the_slowest_stream_of_all_servers(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    owned.journal.confirm(5)
    assert (cursor_of(database), owned.journal.cursor) == (0, 0)
    report(other, followed, 3)
    owned.journal.confirm(5)
    assert (cursor_of(database), owned.journal.cursor, owned.journal.size_bytes) == (3, 3, 2)
    followed.note_streams(0)
    other.following.report()
    owned.journal.confirm(5)
    assert (cursor_of(database), owned.journal.cursor) == (5, 5)
    assert owned.journal.oldest_at is None
    refreshed(other)
    assert (followed.journal.cursor, followed.journal.depth) == (5, 0)


def test_nothing_is_confirmed_that_is_not_there(owned: PostgresStore, database: Database) -> None:
    commit(owned, 1)
    owned.journal.confirm(7)
    assert cursor_of(database) == 1


def test_a_stream_that_joins_waits_for_a_confirmation_and_begins_behind_it(
    owner: PostgresEngine,
    owned: PostgresStore,
    followed: PostgresFollowed,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The readers are looked at under a lock, which the join needs."""
    with ThreadPoolExecutor() as pool:

        def judge() -> bool:
            # Between the lock and the look.
            joins.append(pool.submit(join, followed))
            wait_until(lambda: is_waiting(database), "the join waits for the lock")
            return True

        joins: list[Future[None]] = []
        monkeypatch.setattr(owner._sharing.confirmer, "_judges", judge)
        owned.journal.confirm(4)
        joins[0].result()
    assert cursor_of(database) == followed.journal.cursor == 4


def is_waiting(database: Database) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    return bool(database.fetch(query, "%INSERT INTO%reader%")[0][0])


def test_a_confirmation_leaves_out_a_watch_that_a_stream_joins(
    owner: PostgresEngine, owned: PostgresStore, followed: PostgresFollowed, database: Database
) -> None:
    """It waits for nothing, and confirms the others."""
    with closing(owner.open(WATCH._replace(name="free"))) as free:
        commit(free, 1, 2)
        with database.transaction() as transaction:
            transaction.fetch(
                "SELECT FROM watcher.counters WHERE watch = $1 FOR UPDATE", followed.number
            )
            owned.journal.confirm(4)
            free.journal.confirm(2)
        assert (owned.journal.cursor, free.journal.cursor) == (0, 2)
    owned.journal.confirm(4)
    assert owned.journal.cursor == 4


def test_joins_and_confirmations_at_the_same_time(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    """Whatever comes first: the cursor never passes a stream that has joined."""

    def confirm() -> None:
        for seq in range(2, 122):
            commit(owned, seq + 4)
            owned.journal.confirm(seq)

    with ThreadPoolExecutor(1) as pool:
        confirming = pool.submit(confirm)
        while not confirming.done():
            with followed.join():
                begins_at = followed.journal.cursor
                followed.note_streams(1)
            for _ in range(3):
                assert cursor_of(database) <= begins_at
            followed.note_streams(0)
            other.following.report()
        confirming.result()


def test_the_streams_of_a_dead_server_hold_up_nothing(
    owned: PostgresStore, owner: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    """But only once it cannot be that an outage has kept it from renewing its lease."""
    join(followed)
    database.fetch(
        "INSERT INTO watcher.server (id, name, node, version, lease_until) "
        "VALUES ('00000000-0000-0000-0000-000000000001', 'dead', '', '', '-infinity')"
    )
    database.fetch("UPDATE watcher.reader SET server = '00000000-0000-0000-0000-000000000001'")
    confirmer = owner._sharing.confirmer
    confirmer._judges = lambda: False
    owned.journal.confirm(5)
    assert cursor_of(database) == 0
    confirmer._judges = lambda: True
    owned.journal.confirm(5)
    assert cursor_of(database) == 5


def test_watches_are_confirmed_together(owner: PostgresEngine, database: Database) -> None:
    names = [f"watch-{number}" for number in range(40)]
    stores = [owner.open(WATCH._replace(name=name)) for name in names]
    for store in stores:
        commit(store, 1, 2, 3)
    commits = owner.meter.steps.count
    with ThreadPoolExecutor(len(stores)) as pool:
        with database.transaction() as transaction:
            # The first one waits here, so that the others gather.
            transaction.fetch("LOCK TABLE watcher.counters IN EXCLUSIVE MODE")
            confirming = [pool.submit(store.journal.confirm, 2) for store in stores]
            waiting = owner._sharing.confirmer._waiting
            wait_until(lambda: len(waiting) == len(stores) - 1, "the others wait")
        for each in confirming:
            each.result()
    assert {store.journal.cursor for store in stores} == {2}
    assert owner.meter.steps.count == commits + 2
    for store in stores:
        store.close()


def test_a_confirmation_that_was_asked_for_before_a_replay_does_not_undo_it(
    owner: PostgresEngine, owned: PostgresStore, database: Database
) -> None:
    commit(owned, 1, 2, 3, 4, 5)
    owned.journal.confirm(4, keep_s=100)
    asked = Confirmation(*owned._session.permission, seq=5, kept_since=0.0)
    assert owned.journal.rewind(seq=2) == 1
    assert owner._sharing.confirmer.confirm(asked).is_refused
    assert cursor_of(database) == 1


def test_retained_payloads_are_kept(owned: PostgresStore, clock: FakeClock) -> None:
    commit(owned, 1, 2)
    clock.advance(10)
    commit(owned, 3, 4)
    owned.journal.confirm(3, keep_s=5)
    assert [each.seq for each in owned.journal.read(0, limit=9, max_bytes=99)] == [3, 4]
