"""Positions: where the streams of a server are, as it tells the owner of a watch."""

from __future__ import annotations

from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import (
    commit,
    join,
    joining,
    note,
    readers_of,
    refreshed,
    report,
)
from support.clock import FakeClock
from watcher.errors import StateError
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.following import ORPHANED_S
from watcher.state.postgres.store import PostgresStore


def test_a_position_that_was_looked_up_before_a_join_is_not_written(
    other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    note(followed, 4)
    position = followed.position()
    assert position is not None
    with joining(followed, 2):
        note(followed, 5)
        assert followed.position() is None
    assert other._sharing.readers.write([position]) == set()
    other.following.report()
    assert readers_of(database) == [(2, 0)]
    report(other, followed, 5)
    assert readers_of(database) == [(2, 5)]


def test_a_position_is_not_noted_if_a_stream_has_come_since_it_was_looked_up(
    other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    followed.begin_confirming()
    followed.note_streams(2)
    followed.journal.confirm(5)
    other.following.report()
    assert readers_of(database) == [(2, 0)]


def test_a_position_that_was_looked_up_before_a_replay_is_not_written(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    report(other, followed, 4)
    owned.journal.confirm(4, keep_s=100)
    assert owned.journal.rewind(seq=2) == 1
    assert readers_of(database) == [(1, 1)]
    report(other, followed, 5)
    assert readers_of(database) == [(1, 1)]
    (found,) = (each for each in other.following.refresh() if each.rewound_to is not None)
    assert (found.rewound_to, followed.journal.cursor) == (1, 1)
    report(other, followed, 5)
    assert readers_of(database) == [(1, 1)]
    followed.resume()
    report(other, followed, 3)
    assert readers_of(database) == [(1, 3)]


def test_a_stream_joins_between_a_replay_and_its_discovery(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    report(other, followed, 4)
    owned.journal.confirm(4, keep_s=100)
    owned.journal.rewind(seq=2)
    join(followed, 2)
    assert followed.journal.cursor == 1
    report(other, followed, 5)
    assert readers_of(database) == [(2, 1)]
    assert [each.rewound_to for each in refreshed(other)] == [1]
    refreshed(other)
    report(other, followed, 5)
    assert readers_of(database) == [(2, 5)]


def test_the_streams_of_a_release_are_those_of_a_follower(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine
) -> None:
    commit(owned, 1, 2, 3)
    owned.release(streams=2, confirmed_seq=2)
    with closing(other.open(WATCH)) as store, closing(owner.following.open(WATCH)) as followed:
        store.journal.confirm(3)
        assert store.journal.cursor == 2
        with joining(followed, 2):
            store.journal.confirm(3)
        report(owner, followed, 3)
        store.journal.confirm(3)
        assert store.journal.cursor == 3


def test_streams_that_end_before_they_have_moved_hold_up_nothing_for_long(
    owner: PostgresEngine, owned: PostgresStore, database: Database, clock: FakeClock
) -> None:
    owned.release(streams=1)
    for _ in range(2):
        owner.survey(60.0)
        owner.following.report()
        assert readers_of(database) == [(1, 0)]
    clock.advance(ORPHANED_S)
    owner.survey(60.0)
    owner.following.report()
    assert readers_of(database) == []


def test_the_row_of_a_server_goes_with_its_last_store(
    other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    """Unless it follows the watch again by then."""
    join(followed)
    followed.close()
    with closing(other.following.open(WATCH)) as again:
        join(again)
        followed.close()
        other.following.report()
        assert readers_of(database) == [(1, 0)]
    other.following.report()
    assert readers_of(database) == []
    with pytest.raises(StateError, match="followed no more"):
        again.join()


def test_a_row_that_somebody_has_removed_is_made_again(
    other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    """Others remove the rows of a server that was paused for long."""
    join(followed, 3)
    report(other, followed, 2)
    database.fetch("DELETE FROM watcher.reader")
    refreshed(other)
    assert readers_of(database) == [(3, 0)]
    report(other, followed, 4)
    assert readers_of(database) == [(3, 4)]


def test_nothing_is_written_while_nothing_has_changed(
    other: PostgresEngine, followed: PostgresFollowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(followed)
    report(other, followed, 3)
    statements: list[str] = []
    monkeypatch.setattr(other._database, "fetch", lambda *values: statements.append(values[0]))
    for _ in range(3):
        report(other, followed, 3)
    assert not statements


def test_positions_are_written_once_the_database_is_back(
    other: PostgresEngine, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    other._database.close()
    with pytest.raises(StateError):
        report(other, followed, 4)
    other._database._is_closed = False
    other.following.report()
    assert readers_of(database) == [(1, 4)]
