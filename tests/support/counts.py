"""Counts what work takes, in figures that neither the machine nor its load changes."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from watcher.state.port import WatchStore
from watcher.state.sqlite.store import SqliteStore


class Counts:
    """What one piece of work has taken.

    Attributes:
        calls: Calls of Python functions, with each resumption of a generator.
        native_calls: Calls of functions that are written in C, by name.
        statements: SQL statements, each execution with other values by itself.
        written_bytes: Growth of the log of the state file.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.native_calls: Counter[str] = Counter()
        self.statements = 0
        self.written_bytes = 0

    def note(self, _frame: FrameType, event: str, function: Any) -> None:  # noqa: ANN401 - as sys.setprofile calls it
        """Note an event of the interpreter."""
        if event == "call":
            self.calls += 1
        elif event == "c_call":
            self.native_calls[function.__qualname__] += 1

    def add(self, other: Counts) -> None:
        """Add what another piece of work has taken."""
        self.calls += other.calls
        self.native_calls += other.native_calls
        self.statements += other.statements
        self.written_bytes += other.written_bytes

    def note_statement(self, _statement: str) -> None:
        """Note an execution of a statement."""
        self.statements += 1


@contextmanager
def counted(store: WatchStore) -> Iterator[Counts]:
    """Count what the block takes, in this thread and in those that it starts.

    Args:
        store: The state in which its statements are counted.
    """
    assert isinstance(store, SqliteStore)
    counts, connection = Counts(), store._db.connection
    log = store.path.with_name(f"{store.path.name}-wal")
    before_bytes = log.stat().st_size if log.exists() else 0
    connection.set_trace_callback(counts.note_statement)
    threading.setprofile(counts.note)
    sys.setprofile(counts.note)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        connection.set_trace_callback(None)
        counts.written_bytes = log.stat().st_size - before_bytes
