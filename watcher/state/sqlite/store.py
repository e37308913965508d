"""The state file of one watch: meta data, index and journal, and the transaction that joins them.

What a scan found and the events about it become durable together. After a crash either both are
there, or neither is and the next scan finds the difference again.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.port import Summary
from watcher.state.sqlite.database import Database, open_read_only
from watcher.state.sqlite.index import SqliteIndex
from watcher.state.sqlite.journal import BYTES_BETWEEN, OLDEST, SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.model import Delta, Payload


class SqliteStore:
    """One state file; implements ``port.WatchStore``.

    Args:
        path: The file; made if it is not there, in a directory that exists.
        clock: Dates what is written.
        shared_memory: See ``Database``.

    Attributes:
        path: The file.
        uid: Random, made with the file; the first part of every event id.
        is_new: Whether this opening has made the file.
        index: What the place held when it was last read.
        journal: What was found and is not yet confirmed.

    Raises:
        StateError: The file cannot be opened, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path, clock: Clock, *, shared_memory: bool = True) -> None:
        self.path = path
        self._db = Database(path, shared_memory=shared_memory)
        try:
            self.journal = SqliteJournal(self._db, clock)
            self.index = SqliteIndex(self._db)
            uid = self.meta("uid")
            self.is_new = uid is None
            self.uid = uid or self._make_uid()
        except StateError:
            self._db.close()
            raise

    @property
    def found_damage(self) -> bool:
        """Whether an operation has failed because the file is damaged."""
        return self._db.found_damage

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has work to do, now or at a later call."""
        return self._db.is_untidy

    def tidy(self) -> None:
        """Release memory and disk space that are no longer needed; see ``Database.tidy``."""
        self._db.tidy()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    def meta(self, key: str) -> str | None:
        """Return the value that ``set_meta`` has kept, or None."""
        with self._db.guarded():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, **values: str | None) -> None:
        """Keep values by key, in one transaction; None removes a key."""
        with self._db.transaction():
            for key, value in values.items():
                if value is None:
                    self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def commit(
        self,
        delta: Delta,
        payloads: Iterable[Payload] = (),
        pending: Iterable[Payload] = (),
        *,
        changes: int = 0,
    ) -> None:
        """Make one step durable in one transaction; see ``port.WatchStore``.

        Raises:
            StateError: Nothing was written, and no sequence number is used.
        """
        with self._db.guarded():
            with self._db.transaction():
                entries = self.index.write(delta)
                appended = self.journal.append(payloads, pending, changes)
            self.index.entries = entries
            self.journal.accept(appended)

    def _make_uid(self) -> str:
        uid = uuid.uuid4().hex[:16]
        self.set_meta(uid=uid)
        return uid


def read_summary(path: Path) -> Summary:
    """Return the summary of a state file without changing it, also while a server uses it.

    Raises:
        StateError: The file cannot be read, or a server on a network file system has locked it.
    """
    with open_read_only(path) as db:
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        entries, next_seq, cursor = db.execute(
            "SELECT entries, next_seq, cursor FROM counters"
        ).fetchone()
        (journal_bytes,) = db.execute(BYTES_BETWEEN, (cursor, next_seq)).fetchone()
        oldest = db.execute(OLDEST, (cursor,)).fetchone()
    return Summary(
        name=meta.get("name", ""),
        place=meta.get("place", ""),
        principal=meta.get("principal", ""),
        entries=entries,
        next_seq=next_seq,
        cursor=cursor,
        journal_bytes=journal_bytes,
        oldest_at=None if oldest is None else oldest[0],
        used_at=int(meta.get("used_at", 0)),
    )
