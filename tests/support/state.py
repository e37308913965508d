"""State for tests: one state file, or any engine of state behind its port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support.postgres import SHARED
from watcher.clock import Clock
from watcher.model import Delta, Entry, Row
from watcher.state.membership import used_alone
from watcher.state.port import StateEngine, WatchStore
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.sqlite.directory import StateDirectory
from watcher.state.sqlite.store import SqliteStore

EngineFactory = Callable[[Path, Clock], AbstractContextManager[StateEngine]]


def open_postgres(directory: Path, clock: Clock) -> AbstractContextManager[PostgresEngine]:
    """Return the engine on a schema of the shared cluster that belongs to a directory."""
    return used_alone(PostgresEngine(SHARED.url(str(directory)), clock))


@contextmanager
def joined(entering: AbstractContextManager[PostgresEngine]) -> Iterator[PostgresEngine]:
    """Enter an engine as one of the servers that share its database."""
    with entering as engine:
        engine.membership.follow(lambda: None)
        yield engine


ENGINES: dict[str, EngineFactory] = {"sqlite": StateDirectory, "postgres": open_postgres}
"""Every engine of state by name, as ``factory(directory, clock)``; a directory keeps its state."""


def open_store(
    path: Path, clock: Clock | None = None, *, shared_memory: bool = True
) -> SqliteStore:
    """Open a state file, with the clock of this machine if none is given."""
    return SqliteStore(path, clock or Clock(), shared_memory=shared_memory)


def open_pooled(directory: Path, clock: Clock) -> AbstractContextManager[PostgresEngine]:
    """Return the engine on such a schema, through PgBouncer."""
    return used_alone(PostgresEngine(SHARED.pooler_url(str(directory)), clock))


POOLED: dict[str, EngineFactory] = {"pgbouncer": open_pooled} if "PGBOUNCER" in os.environ else {}
"""What is no engine of its own, but must keep the same promises where it can be tested."""


def without_sync(store: WatchStore) -> None:
    """Let an engine commit without waiting for the disk, where a test does not judge durability."""
    if isinstance(store, SqliteStore):
        store._db.execute("PRAGMA synchronous = OFF")


def add(store: WatchStore, *paths: bytes) -> list[Row]:
    """Put entries into the index without a change."""
    rows = [store.index.new_row(Entry(path, size=1, mtime_ns=2)) for path in paths]
    store.commit(Delta(upserts=rows, created=len(rows)))
    return rows


def indexed(store: WatchStore, prefix: bytes = b"") -> list[bytes]:
    """Return the paths in the index."""
    return [path for page in store.index.paths_under(prefix) for _, path in page]


def journalled(store: WatchStore) -> list[int]:
    """Return the sequence numbers of the payloads in the journal."""
    return [payload.seq for payload in store.journal.read(0, limit=1000, max_bytes=1 << 20)]
