"""Rows that are written while the next ones are found: in order, exactly once, or with an error."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.state import add, indexed
from watcher.errors import AwayError, FencedError, StateError
from watcher.limits.deadline import limited
from watcher.model import Delta, Entry, Identity, Payload
from watcher.state.postgres.database import POOL_CONNECTIONS, Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import AHEAD_ROWS, PostgresStore

PATHS = [b"%04d" % number for number in range(AHEAD_ROWS)]


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Let no step end before the block does."""
    with database.transaction() as other:
        other.fetch("SELECT 1 FROM watcher.counters FOR UPDATE")
        yield


def is_waiting(database: Database) -> bool:
    return bool(database.fetch("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def rows_of(database: Database) -> int:
    ((rows,),) = database.fetch("SELECT count(*) FROM watcher.entry")
    return int(rows)


def test_rows_are_written_while_the_next_ones_are_found(
    store: PostgresStore, database: Database
) -> None:
    with store.deferring():
        with locked(database):
            add(store, *PATHS)
            assert rows_of(database) == 0
        add(store, b"next")
        assert rows_of(database) == len(PATHS) + 1
    assert indexed(store, b"") == [*PATHS, b"next"]


def test_the_end_of_the_block_waits(store: PostgresStore, database: Database) -> None:
    with store.deferring(), store.deferring():
        add(store, *PATHS)
    assert rows_of(database) == len(PATHS)


def test_what_is_reported_is_written_before_the_commit_returns(
    store: PostgresStore, database: Database
) -> None:
    rows = [store.index.new_row(Entry(path, 1, 2)) for path in PATHS]
    delta, payloads = Delta(rows, created=len(rows)), [Payload(1, b"1")]
    with store.deferring(), ThreadPoolExecutor() as threads:
        with locked(database):
            committing = threads.submit(store.commit, delta, payloads, changes=1)
            with pytest.raises(TimeoutError):
                committing.result(0.5)
        committing.result()
        assert rows_of(database) == len(PATHS)


def test_a_step_that_fails_ends_the_store(store: PostgresStore, database: Database) -> None:
    """Its rows were taken for written."""
    database.fetch(
        "INSERT INTO watcher.entry SELECT watch, 0, 0, 0, 0, 0, 0, false, $1, '', '', '' "
        "FROM watcher.counters",
        PATHS[5],
    )
    deferring = store.deferring()
    deferring.__enter__()
    add(store, *PATHS)
    with pytest.raises(StateError, match="23505"):
        deferring.__exit__(None, None, None)
    with pytest.raises(StateError, match="23505"):
        store.meta("key")
    assert store.failure is not None
    assert rows_of(database) == 1


def test_a_step_that_is_refused_ends_the_store(store: PostgresStore, database: Database) -> None:
    """Nothing follows it, and the next call says so."""
    deferring = store.deferring()
    deferring.__enter__()
    with database.transaction() as other:
        other.fetch("UPDATE watcher.counters SET epoch = epoch + 1")
        add(store, *PATHS)
    with pytest.raises(FencedError):
        deferring.__exit__(None, None, None)
    assert isinstance(store.failure, FencedError)
    with pytest.raises(FencedError):
        store.meta("key")
    assert rows_of(database) == 0


def test_a_step_whose_session_was_ended_is_written_once(
    store: PostgresStore, database: Database
) -> None:
    with store.deferring():
        with locked(database):
            add(store, *PATHS)
            wait_until(lambda: is_waiting(database), "the step waits")
            database.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock'"
            )
            wait_until(lambda: not is_waiting(database), "its session has ended")
        add(store, *(path + b"x" for path in PATHS))
    assert rows_of(database) == 2 * len(PATHS) == store.index.entries


def test_a_thread_that_cannot_wait_leaves_the_step_to_others(
    store: PostgresStore, database: Database
) -> None:
    with store.deferring():
        with locked(database):
            add(store, *PATHS)
            with limited(0.5), pytest.raises(AwayError):
                store.meta("key")
            assert store.failure is None
        assert store.meta("key") is None
    assert rows_of(database) == len(PATHS)


def test_a_watch_is_released_after_its_rows(store: PostgresStore, database: Database) -> None:
    store._deferring = 1
    add(store, *PATHS)
    store.release()
    assert rows_of(database) == len(PATHS)


def test_a_store_is_closed_without_waiting(
    engine: PostgresEngine, store: PostgresStore, database: Database
) -> None:
    """The server carries the step out, or the next opening refuses it."""
    with locked(database):
        store._deferring = 1
        add(store, *PATHS)
        store.close()
    with closing(engine.open(WATCH)) as again:
        assert again.index.entries == rows_of(database)
        add(again, b"next")


def test_half_of_the_connections_are_free_of_steps_whose_answers_wait(
    engine: PostgresEngine, database: Database
) -> None:
    with ExitStack() as stack:
        for number in range(2 * POOL_CONNECTIONS):
            name = Identity("", f"{number}", "file:///data/in")
            store = stack.enter_context(closing(engine.open(name)))
            stack.enter_context(store.deferring())
            add(store, *PATHS)
    assert rows_of(database) == 2 * POOL_CONNECTIONS * len(PATHS)
