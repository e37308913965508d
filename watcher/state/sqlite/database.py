"""A state file as a database: migrations, transactions, and what happens to a damaged file.

The only importer of ``sqlite3``. WAL with ``synchronous=FULL`` makes a commit durable at the cost
of one fsync (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing, contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from watcher.clock import Clock
from watcher.errors import StateError
from watcher.limits.turns import release
from watcher.state.meter import Failure, StateMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FREE_BYTES = 1024 * 1024
FREE_SHARE = 0.25
"""Free space that a file may keep: this many bytes, or this share of the file if that is more."""

TIDY_BYTES = 16 * 1024 * 1024
"""Bytes that one ``tidy`` gives back at most: it keeps other threads out of the file meanwhile."""

CACHE_BYTES = 8 * 1024 * 1024
"""Maximum size of the page cache of one file in use."""

CACHES_BYTES = 48 * 1024 * 1024
"""Total size of all page caches from which a cache reuses its pages instead of growing."""

WAL_BYTES = 4 * 1024 * 1024
"""Size to which a large WAL is truncated; SQLite checkpoints at about this size anyway."""

ROWS = 32
"""Rows in one statement, which takes a third less time than a statement for each, and lets other
threads interrupt this one only once."""

_SUFFIXES = ("-wal", "-shm", "-journal", "")
"""Suffixes of a state file and its side files. The file comes last: side files that a crash leaves
behind would be taken for those of a new file."""

_WAIT_S = 10.0
"""Seconds to wait for a lock that another process holds on a file."""

_READ_WAIT_S = 1.0
"""Seconds that a reader beside a server waits for a lock; a person waits for its answer."""

_IDLE_TIDIES = 2
"""Calls of ``tidy`` after the last use at which the page cache is emptied."""

_INCREMENTAL = 2
"""Value of ``PRAGMA auto_vacuum`` in a file that can give back free pages."""

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_HINTS = {
    "SQLITE_FULL": "free space in the state directory",
    "SQLITE_READONLY": "make the state directory writable",
    "SQLITE_CANTOPEN": "make the state directory writable",
    # A full disk, when the write-ahead log is opened: https://sqlite.org/rescode.html#ioerr_shmsize.
    "SQLITE_IOERR_SHMSIZE": "free space in the state directory",
    "SQLITE_IOERR": "check the disk of the state directory",
    "SQLITE_CORRUPT": "connect again to start afresh; the file is kept",
    "SQLITE_NOTADB": "connect again to start afresh; the file is kept",
}


class Database:
    """One connection shared by threads under a lock; opening it migrates the file.

    Args:
        path: The file; made if it is not there, in a directory that exists.
        shared_memory: False on a network file system, where WAL cannot work: then the file has a
            rollback journal and is locked for this process.
        meter: Measures transactions; one of its own if not given.

    Attributes:
        path: The file.
        connection: SQLite's own connection.
        found_damage: Whether an operation has failed because the file is damaged.

    Raises:
        StateError: The file cannot be opened, is damaged, or was written by a newer version.
    """

    def __init__(
        self, path: Path, *, shared_memory: bool = True, meter: StateMeter | None = None
    ) -> None:
        self.path = path
        self._meter = meter or StateMeter(Clock())
        self.found_damage = False
        self._lock = threading.RLock()
        self._tidies_left = 0
        with self.guarded():
            self.connection = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(shared_memory=shared_memory)
            except BaseException:
                self.connection.close()
                raise

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            self.connection.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement; the call and the reading of its rows belong into ``guarded``."""
        return self.connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row of values, within ``transaction``."""
        self.connection.executemany(statement, rows)

    def execute_rows(self, statement: str, marks: str, values: Sequence[Any]) -> None:
        """Execute a statement for many rows, ``ROWS`` at a time, within ``transaction``.

        Args:
            statement: Has ``{}`` where the marks of its rows belong.
            marks: The marks of one row, in parentheses.
            values: What is bound to them, row after row.
        """
        width = marks.count("?")
        size = width * ROWS
        rest = len(values) - len(values) % size
        if rest:
            many = statement.format(", ".join([marks] * ROWS))
            for start in range(0, rest, size):
                self.connection.execute(many, values[start : start + size])
        self.connection.executemany(
            statement.format(marks),
            [values[start : start + width] for start in range(rest, len(values), width)],
        )

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep other threads out and translate SQLite's errors; reentrant.

        Raises:
            StateError: A statement within has failed.
        """
        with self._lock:
            self._tidies_left = _IDLE_TIDIES
            try:
                yield
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorname", type(error).__name__)
                message = f"state file cannot be used: {error} ({code})"
                hint = next(
                    (hint for kind, hint in _HINTS.items() if code.startswith(kind)),
                    "see the server's log",
                )
                self.found_damage |= code.startswith(_DAMAGE)
                self._meter.fail(Failure.FAILED)
                raise StateError(message, place=str(self.path), hint=hint) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything within, or nothing if it raises; includes ``guarded``.

        Raises:
            StateError: A statement within, or the commit, has failed.
        """
        with self.guarded(), self._meter.step():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                release()
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has work to do, now or at a later call."""
        return self._tidies_left > 0

    def tidy(self) -> None:
        """Give back a portion of the free space, or the page cache of a file no longer in use.

        Raises:
            StateError: The file cannot be read or written.
        """
        tidies_left = max(0, self._tidies_left - 1)
        with self.guarded():
            if self._has_free_pages():
                self._shrink()
                tidies_left = max(1, tidies_left)
            elif not tidies_left:
                self._release_memory()
            self._tidies_left = tidies_left

    def _has_free_pages(self) -> bool:
        """Return whether pages should be given back; a file without ``auto_vacuum`` reuses them."""
        least = max(FREE_BYTES / self._pragma("page_size"), FREE_SHARE * self._pragma("page_count"))
        return (
            self._pragma("auto_vacuum") == _INCREMENTAL and self._pragma("freelist_count") > least
        )

    def _shrink(self) -> None:
        # Only executescript() steps the pragma to its end; execute() frees a single page.
        self.connection.executescript(
            f"PRAGMA incremental_vacuum({TIDY_BYTES // self._pragma('page_size')})"
        )
        # The file is truncated by a checkpoint only.
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _release_memory(self) -> None:
        """Empty the page cache."""
        # With the next page that it reads, SQLite allocates memory for twenty pages, or for as many
        # as the cache may hold: so that page is read while this is one.
        self.execute("PRAGMA cache_size = 1")
        self.execute("PRAGMA shrink_memory")
        self._pragma("user_version")
        self.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")

    def _pragma(self, name: str) -> int:
        (value,) = self.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def _prepare(self, *, shared_memory: bool) -> None:
        if not self._pragma("page_count"):
            # Takes effect only before the first page is written.
            self.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if shared_memory:
            self.execute("PRAGMA journal_mode = WAL")
        else:
            self.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.execute("PRAGMA journal_mode = TRUNCATE")
        self.execute("PRAGMA synchronous = FULL")
        # Debian builds SQLite with secure_delete, which would write zeros to every page that
        # becomes free: as many bytes as the journal that was confirmed.
        self.execute("PRAGMA secure_delete = FAST")
        self.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self.execute(f"PRAGMA soft_heap_limit = {CACHES_BYTES}")
        version = self._pragma("user_version")
        parts = schema_parts()
        if version > len(parts):
            raise StateError(
                f"state file has schema version {version}, this program knows {len(parts)}",
                place=str(self.path),
                hint="run the newer version, or move the file away to start afresh",
            )
        # A script's statements do not enter the connection's statement cache.
        for number, part in enumerate(parts[version:], start=version + 1):
            self.connection.executescript(
                f"BEGIN IMMEDIATE; {part}; PRAGMA user_version = {number}; COMMIT"
            )
        self._release_memory()


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a state file for reading, without changing it, also while a server uses it.

    Raises:
        StateError: The file cannot be read, or a server on a network file system has locked it.
    """
    # Without a WAL file nobody writes. SQLite would then make one, unless the file is immutable.
    mode = "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_READ_WAIT_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StateError(f"state file cannot be read: {error}", place=str(path)) from error


def is_damaged(error: StateError) -> bool:
    """Return whether an error was raised because the file is damaged, so it must be set aside."""
    return getattr(error.__cause__, "sqlite_errorname", "").startswith(_DAMAGE)


def set_aside(path: Path, clock: Clock) -> Path:
    """Rename a damaged state file and its side files, and return its new path."""
    aside = path.with_suffix(f".damaged-{clock.wall_ns()}")
    for suffix in _SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def remove(path: Path) -> None:
    """Remove a state file and its side files, if they are there."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def schema_parts() -> list[str]:
    """Return one script for each version of the schema, in order."""
    text = files("watcher.state.sqlite").joinpath("schema.sql").read_text(encoding="utf-8")
    return re.split(r"^-- version \d+$", text, flags=re.MULTILINE)[1:]
