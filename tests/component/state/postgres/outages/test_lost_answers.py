"""Answers of the database that are lost: what was written is found out, and nothing is twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.outages.away import (
    LARGE,
    blocked,
    commit,
    configure,
    steps,
    waiting,
    written,
)
from support.client import wait_until
from support.cutting_relay import CuttingRelay
from support.postgres import Cluster
from support.state import journalled
from watcher.errors import FencedError
from watcher.model import Delta, Payload
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_a_lost_answer_is_asked_for(
    relayed: PostgresStore, relay: CuttingRelay, database: Database, size: str, *, is_written: bool
) -> None:
    """One statement, or a transaction: the step is there once, whatever had become of it."""
    commit(relayed, 1)
    before = steps(database)
    text = b"COMMIT" if size == "large" else b""
    done = relay.cut_once(lambda is_answer, data: is_answer == is_written and text in data)
    commit(relayed, 2, 3, data=LARGE if size == "large" else b"x")
    assert done.is_set()
    assert steps(database) == before + 1
    commit(relayed, 4)
    assert written(database) == [1, 2, 3, 4]


@pytest.mark.parametrize("is_written", [True, False])
def test_a_confirmation_whose_answer_was_lost_is_repeated(
    relayed: PostgresStore, relay: CuttingRelay, database: Database, *, is_written: bool
) -> None:
    """Once or twice: the store has the cursor that the database has, and what is left."""
    commit(relayed, 1, 2, data=b"xx")
    commit(relayed, 3, 4)
    confirmer = relayed._sharing.confirmer
    confirmer._database = relayed._session._database
    done = relay.cut_once(lambda is_answer, data: is_answer == is_written and b"COMMIT" in data)
    relayed.journal.confirm(3)
    assert done.is_set()
    assert database.fetch("SELECT cursor FROM watcher.counters") == [(3,)]
    assert (relayed.journal.cursor, relayed.journal.size_bytes) == (3, 1)
    assert written(database) == [4]
    relayed.journal.confirm(4)
    assert (relayed.journal.cursor, relayed.journal.size_bytes) == (4, 0)


def test_a_large_step_that_was_cut_in_the_middle_is_rendered_again(
    relayed: PostgresStore, relay: CuttingRelay, database: Database
) -> None:
    """What is counted is what was written."""
    sizes = list[int]()

    class Payloads:
        def __iter__(self) -> Iterator[Payload]:
            sizes.append(0)
            for seq in range(1, 6):
                sizes[-1] += 1
                yield Payload(seq, LARGE)

    done = relay.cut_once(lambda is_answer, _: is_answer and sizes == [3])
    relayed.commit(Delta(), Payloads(), changes=5)
    assert done.is_set()
    assert sizes == [3, 5]
    assert relayed.journal.size_bytes == 5 * len(LARGE)
    assert written(database) == [1, 2, 3, 4, 5]


def test_a_step_that_is_written_late_is_not_written_twice(  # noqa: PLR0913, PLR0917 - fixtures
    relayed: PostgresStore,
    relay: CuttingRelay,
    database: Database,
    cluster: Cluster,
    url: str,
    pool: ThreadPoolExecutor,
) -> None:
    """The server goes on with a statement whose connection it does not know to be lost."""
    schema = parse_url(url).schema
    with psycopg.connect(cluster.url) as locking:
        locking.execute(f"SELECT FROM {schema}.counters FOR UPDATE".encode())
        writing = pool.submit(commit, relayed, 1)
        wait_until(lambda: waiting(database) == 1, "the step waits")
        relay.cut_clients()
        wait_until(lambda: waiting(database) == 2, "the question waits behind it")
        locking.rollback()
    writing.result()
    assert journalled(relayed) == [1]
    commit(relayed, 2)
    assert steps(database) == 2


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_backend_that_is_killed_in_a_step(  # noqa: PLR0913, PLR0917 - fixtures
    store: PostgresStore,
    database: Database,
    cluster: Cluster,
    url: str,
    pool: ThreadPoolExecutor,
    size: str,
) -> None:
    """Which the database answers by a restart of all."""
    locking = psycopg.connect(cluster.url)
    locking.execute(f"SELECT FROM {parse_url(url).schema}.counters FOR UPDATE".encode())
    writing = pool.submit(commit, store, 1, 2, data=LARGE if size == "large" else b"x")
    wait_until(lambda: waiting(database) == 1, "the step waits")
    ((pid,),) = database.fetch("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    os.kill(int(pid), signal.SIGKILL)
    writing.result()
    locking.close()
    assert written(database) == [1, 2]


def test_a_watch_that_was_taken_over_meanwhile_is_not_written(
    engine: PostgresEngine, relayed: PostgresStore, relay: CuttingRelay, database: Database
) -> None:
    """The question whether the step is there finds another epoch."""
    successors = []

    def take_over(is_answer: bool, _: bytes) -> bool:  # noqa: FBT001 - see CuttingRelay
        if not is_answer:
            successors.append(engine.open(WATCH))
        return not is_answer

    relay.cut_once(take_over)
    for _ in range(2):
        with pytest.raises(FencedError):
            commit(relayed, 1)
    assert database.fetch("SELECT 1 FROM watcher.journal") == []
    successors[0].close()


def test_a_commit_that_was_cancelled_before_a_standby_had_it_is_asked_for(
    store: PostgresStore, database: Database, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """By a write, which waits for the standby itself."""
    before, is_over = steps(database), False
    in_sync = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def write() -> int:
        seq = 0
        while not is_over:
            seq += 1
            commit(store, seq)
        return seq

    writing = pool.submit(write)
    try:
        configure(cluster, "synchronous_standby_names = 'nobody'")
        steps_in_sync = f"{in_sync} AND query LIKE '%fence%'"
        wait_until(lambda: bool(database.fetch(steps_in_sync)), "a step waits")
        cancelled = {pid for (pid,) in database.fetch(in_sync)}
        for pid in cancelled:
            database.fetch("SELECT pg_cancel_backend($1::int8::int)", pid)
        asking = f"{in_sync} AND query LIKE '%epoch = epoch%'"
        wait_until(lambda: bool(database.fetch(asking)), "the question waits")
        is_over = True
        blocked(writing)
    finally:
        is_over = True
        configure(cluster, "synchronous_standby_names = ''")
    last = writing.result()
    assert written(database) == [*range(1, last + 1)]
    assert steps(database) == before + last
