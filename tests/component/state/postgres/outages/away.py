"""What tests have in common whose database is away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.client import wait_until
from support.postgres import Cluster
from watcher.model import Delta, Payload
from watcher.state.postgres.database import Database
from watcher.state.postgres.steps import STATEMENT_BYTES
from watcher.state.postgres.store import PostgresStore

AWAY_S = 1.5
PROMPT_S = 5.0
"""Seconds within which waiting ends once it was stopped, on a busy machine."""

LARGE = bytes(STATEMENT_BYTES)


def commit(store: PostgresStore, *seqs: int, data: bytes = b"x") -> None:
    store.commit(Delta(), [Payload(seq, data) for seq in seqs], changes=len(seqs))


def steps(database: Database) -> int:
    ((number,),) = database.fetch("SELECT step FROM watcher.counters")
    return int(number)


def written(database: Database) -> list[int]:
    """Return the sequence numbers in the journal."""
    return [seq for (seq,) in database.fetch("SELECT seq FROM watcher.journal ORDER BY seq")]


def goes_on(store: PostgresStore) -> None:
    reached = store.journal.next_seq
    wait_until(lambda: store.journal.next_seq > reached + 10, "steps are written")


def blocked(future: Future[Any]) -> None:
    """Make sure that something waits: it is not done although there was time."""
    with pytest.raises(TimeoutError):
        future.result(AWAY_S)


def waiting(database: Database) -> int:
    return len(database.fetch("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def configure(cluster: Cluster, setting: str) -> None:
    cluster.execute(f"ALTER SYSTEM SET {setting}")
    cluster.execute("SELECT pg_reload_conf()")


def end_sessions(cluster: Cluster) -> None:
    cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'watcher %'"
    )


@contextmanager
def paused(cluster: Cluster) -> Iterator[None]:
    """Stop all processes of a cluster meanwhile, the one that accepts connections first."""
    processes = _processes(cluster)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue


def _processes(cluster: Cluster) -> list[int]:
    postmaster = int((cluster.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]
