"""A state file as a database: opened and brought to the current schema, shared by threads, and set aside when it is damaged.

The only importer of ``sqlite3``. WAL with ``synchronous=FULL`` makes a commit durable at the cost of one fsync
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FREE_BYTES = 1024 * 1024
FREE_SHARE = 0.25
"""A file gives back what is free in it when that is more than so many bytes and more than this share of it."""

TIDY_BYTES = 16 * 1024 * 1024
"""So much is given back at once: nobody else can use the file meanwhile."""

CACHE_BYTES = 8 * 1024 * 1024
"""What the cache of one file takes at most, as long as it is in use."""

CACHES_BYTES = 48 * 1024 * 1024
"""Where the caches of all files take so much, none grows: it uses its own pages again."""

WAL_BYTES = 4 * 1024 * 1024
"""What a WAL keeps on disk after a large transaction: as much as it takes anyway, until SQLite copies it to its file."""

_WAIT_S = 10.0
_RESTLESS = 2
_INCREMENTAL = 2
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_HINTS = {
    "SQLITE_FULL": "free space in the state directory",
    "SQLITE_READONLY": "make the state directory writable",
    "SQLITE_CANTOPEN": "make the state directory writable",
    "SQLITE_IOERR": "check the disk of the state directory",
    "SQLITE_CORRUPT": "connect again to start afresh; the file is kept",
    "SQLITE_NOTADB": "connect again to start afresh; the file is kept",
}


class Database:
    """One connection, for the thread that writes and those that read; a lock keeps them apart.

    Attributes:
        path: The file.
        connection: SQLite's own.
        found_damage: Something has failed because the file is damaged.
    """

    def __init__(self, path: Path, *, shared_memory: bool = True) -> None:
        """Open the file, make it if it is not there, and bring it to the current schema.

        Args:
            path: The file; its directory must exist.
            shared_memory: False on a network file system, where WAL cannot work: a rollback journal is used instead.

        Raises:
            StateError: It cannot be opened, is damaged, or was written by a newer version.
        """
        self.path = path
        self.found_damage = False
        self._lock = threading.RLock()
        self._unrest = 0
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
        """Execute a statement; call it, and read what it returns, within ``guarded`` or ``transaction``."""
        return self.connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement with many values, likewise."""
        self.connection.executemany(statement, rows)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep other threads out, and turn SQLite's errors into ``StateError``; it may be entered again within itself."""
        with self._lock:
            self._unrest = _RESTLESS
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
                raise StateError(message, place=str(self.path), hint=hint) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything within durable, or nothing; guarded as well."""
        with self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has something to do, now or when it is called again."""
        return self._unrest > 0

    def tidy(self) -> None:
        """Give back what is free in the file, in portions, and the memory of the cache when nothing was done since the last call.

        Raises:
            StateError: The file cannot be read or written.
        """
        unrest = max(0, self._unrest - 1)
        with self.guarded():
            if self._has_free_pages():
                self._shrink()
                unrest = max(1, unrest)
            elif not unrest:
                self._release_memory()
            self._unrest = unrest

    def _has_free_pages(self) -> bool:
        """Tell whether pages are to be given back; a file from before that was possible cannot, and uses them again."""
        least = max(FREE_BYTES / self._pragma("page_size"), FREE_SHARE * self._pragma("page_count"))
        return (
            self._pragma("auto_vacuum") == _INCREMENTAL and self._pragma("freelist_count") > least
        )

    def _shrink(self) -> None:
        # The library goes on after each page for a script alone.
        self.connection.executescript(
            f"PRAGMA incremental_vacuum({TIDY_BYTES // self._pragma('page_size')})"
        )
        # Only then the file ends where its pages do.
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _release_memory(self) -> None:
        """Empty the cache."""
        # With the first page that it reads, SQLite takes memory for twenty, or for as many as the cache may have.
        self.execute("PRAGMA cache_size = 1")
        self.execute("PRAGMA shrink_memory")
        self._pragma("user_version")
        self.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")

    def _pragma(self, name: str) -> int:
        (value,) = self.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def _prepare(self, *, shared_memory: bool) -> None:
        if not self._pragma("page_count"):
            # Only now, before the first page is written, a file learns to give back others.
            self.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if shared_memory:
            self.execute("PRAGMA journal_mode = WAL")
        else:
            self.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.execute("PRAGMA journal_mode = TRUNCATE")
        self.execute("PRAGMA synchronous = FULL")
        # Debian's SQLite would write zeros to all pages that become free: as much again as was said.
        self.execute("PRAGMA secure_delete = FAST")
        self.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self.execute(f"PRAGMA soft_heap_limit = {CACHES_BYTES}")
        version = self._pragma("user_version")
        parts = schema_parts()
        if version > len(parts):
            message = f"state file has schema version {version}, this program knows {len(parts)}"
            raise StateError(
                message,
                place=str(self.path),
                hint="run the newer version, or move the file away to start afresh",
            )
        # As scripts, whose statements are not kept for another time.
        for number, part in enumerate(parts[version:], start=version + 1):
            self.connection.executescript(
                f"BEGIN IMMEDIATE; {part}; PRAGMA user_version = {number}; COMMIT"
            )
        self._release_memory()


@contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """Provide a state file to read from, without changing it, also while a server uses it.

    Raises:
        StateError: It cannot be read, or a server on a network file system has it for itself.
    """
    # Without a WAL nobody writes; then SQLite is told so, or it would make a WAL of its own.
    mode = "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1"
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=1.0)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StateError(f"state file cannot be read: {error}", place=str(path)) from error


def is_damaged(error: StateError) -> bool:
    """Tell whether the error says that the file itself is damaged, so that only setting it aside helps."""
    return getattr(error.__cause__, "sqlite_errorname", "").startswith(_DAMAGE)


def set_aside(path: Path) -> Path:
    """Rename a damaged state file, with its side files, and return its new name."""
    aside = path.with_suffix(f".damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm", "-journal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def schema_parts() -> list[str]:
    """Return the statements of each version of the schema, as scripts."""
    text = files("watcher.state.sqlite").joinpath("schema.sql").read_text(encoding="utf-8")
    return re.split(r"^-- version \d+$", text, flags=re.MULTILINE)[1:]
