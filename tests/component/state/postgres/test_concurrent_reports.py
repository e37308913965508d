"""Reports of streams by several threads of one server: none waits for another for ever, or loses.

One thread reports once a second; another one does at once where it replaces a configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from threading import Event
from typing import Any

import pytest

from component.state.postgres.sharing import join
from support.client import DEADLINE_S, wait_until
from watcher.model import Identity
from watcher.state.postgres import servers
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.readers import Position, Readers, Streams
from watcher.state.postgres.store import PostgresStore

WATCHES = [Identity("", f"{number:02}", "file:///data") for number in range(40)]


@pytest.fixture
def stores(owner: PostgresEngine) -> Iterator[list[PostgresStore]]:
    """Return many watches, in the order of their numbers."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(owner.open(each))) for each in WATCHES]


@pytest.fixture
def followed(
    stores: list[PostgresStore], other: PostgresEngine
) -> Iterator[list[PostgresFollowed]]:
    """Return the same watches as the other server sees them, each with a stream."""
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(other.following.open(each))) for each in WATCHES]
        for each in opened:
            join(each)
        assert len(opened) == len(stores)
        yield opened


def meet(
    database: Database, table: str, watch: int, reports: Sequence[Callable[[], object]]
) -> None:
    """Make reports at the same time, each of which has to wait for a row in the middle of theirs.

    Args:
        database: Locks the row, until all wait.
        table: The table.
        watch: The watch of the row.
        reports: Called in threads of their own.
    """
    locked = f"SELECT 1 FROM watcher.{table} WHERE watch = $1 FOR UPDATE"  # noqa: S608 - a constant
    waiting = """
        SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND query LIKE $1
    """
    with ThreadPoolExecutor(len(reports)) as pool:
        with database.transaction() as transaction:
            transaction.fetch(locked, watch)
            running = [pool.submit(report) for report in reports]
            wait_until(
                lambda: (
                    database.fetch(waiting, f"%{database.target.schema}.%") == [(len(reports),)]
                ),
                "all wait",
                pause_s=0.01,
            )
        for each in running:
            each.result()


def test_positions_that_are_written_in_any_order(
    other: PostgresEngine, followed: list[PostgresFollowed], database: Database
) -> None:
    positions = [Position(each.number, each._version or 0, 2, 0) for each in followed]
    readers = other._sharing.readers
    meet(
        database,
        "reader",
        positions[len(positions) // 2].watch,
        [lambda: readers.write(positions), lambda: readers.write(positions[::-1])],
    )
    assert database.fetch("SELECT DISTINCT streams FROM watcher.reader") == [(2,)]


def test_numbers_of_streams_that_are_written_in_any_order(
    owner: PostgresEngine, stores: list[PostgresStore], url: str, database: Database
) -> None:
    numbers = [Streams(each.number, each._session.permission[1], 2) for each in stores]
    with ExitStack() as stack:
        writers = []
        for noted in (numbers, numbers[::-1]):
            connected = stack.enter_context(closing(Database(parse_url(url), "writer")))
            # Rows are looked up one by one then, as those of large tables are.
            connected.fetch("SET enable_hashjoin = off")
            connected.fetch("SET enable_mergejoin = off")
            connected.fetch("SET enable_seqscan = off")
            writers.append(Readers(connected, owner.membership.me.id))
            for each in noted:
                writers[-1].note_streams(each)
        meet(
            database,
            "counters",
            numbers[len(numbers) // 2].watch,
            [writer.write_streams for writer in writers],
        )
    assert database.fetch("SELECT DISTINCT streams FROM watcher.counters") == [(2,)]


def test_rows_that_are_removed_while_positions_are_written(
    other: PostgresEngine, followed: list[PostgresFollowed], database: Database
) -> None:
    """By whichever way: of watches that have no streams, or of a server that has gone."""
    positions = [Position(each.number, each._version or 0, 2, 0) for each in followed[::-1]]
    readers = other._sharing.readers
    readers.leave(each.watch for each in positions)
    meet(
        database,
        "reader",
        positions[len(positions) // 2].watch,
        [
            lambda: readers.write(positions),
            readers.remove_left,
            lambda: servers.leave(database, other.membership.me.id),
        ],
    )
    assert database.fetch("SELECT 1 FROM watcher.reader") == []


def test_a_report_writes_nothing_over_a_later_one(
    owner: PostgresEngine,
    stores: list[PostgresStore],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A number that was taken before is written first, however long its thread takes."""
    store, begun = stores[0], Event()
    fetch = owner._database.fetch
    with ThreadPoolExecutor(2) as pool:
        later: list[Future[None]] = []

        def fetch_late(statement: str, *values: Any) -> Any:  # noqa: ANN401 - passed on
            if not begun.is_set():
                begun.set()
                wait_until(lambda: bool(later), "the other report begins", pause_s=0.001)
                # It is over at once, or waits for this one.
                wait(later, timeout=0.5)
            return fetch(statement, *values)

        store.note_streams(2)
        monkeypatch.setattr(owner._database, "fetch", fetch_late)
        first = pool.submit(owner.following.report)
        assert begun.wait(DEADLINE_S)
        store.note_streams(1)
        later.append(pool.submit(owner.following.report))
        first.result()
        later[0].result()
    query = "SELECT streams FROM watcher.counters WHERE watch = $1"
    assert database.fetch(query, store.number) == [(1,)]
