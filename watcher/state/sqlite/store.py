"""The state file of one watch: meta data, index and journal, and the transaction that joins them.

What a scan found and the events about it become durable together. After a crash either both are
there, or neither is and the next scan finds the difference again.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.ids import (
    end_seqs,
    format_former,
    new_uid,
    parse_former,
    renew,
    unused_after,
    unused_ranges,
)
from watcher.state.port import Summary
from watcher.state.sqlite.database import Database, open_read_only
from watcher.state.sqlite.groups import SqliteGroups
from watcher.state.sqlite.index import SqliteIndex, read_gates
from watcher.state.sqlite.issued import Issued
from watcher.state.sqlite.journal import BYTES_BETWEEN, OLDEST, SqliteJournal
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.model import Delta, Payload
    from watcher.state.meter import StateMeter


class SqliteStore:
    """One state file; implements ``port.WatchStore``.

    Args:
        path: The file; made if it is not there, in a directory that exists.
        clock: Dates what is written.
        shared_memory: See ``Database``.
        note_issued: Takes the last id after each commit that has issued any.
        meter: Measures transactions; one of its own if not given.

    Attributes:
        path: The file.
        uid: Random; the first part of the id of every event from now on.
        former_uids: The first parts of ids before the last renewals, each with the number after its
            last.
        ids_renewed_at: When the ids were last renewed, seconds since the epoch; 0 for never.
        is_new: Whether this opening has made the file.
        index: What the place held when it was last read.
        groups: The groups that have changed.
        journal: What was found and is not yet confirmed.

    Raises:
        StateError: The file cannot be opened, is damaged, or was written by a newer version.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        shared_memory: bool = True,
        note_issued: Callable[[Issued], None] = lambda _: None,
        meter: StateMeter | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._note_issued = note_issued
        self._db = Database(path, shared_memory=shared_memory, meter=meter)
        try:
            self._former = parse_former(self.meta("former_ids"))
            self.former_uids = end_seqs(self._former)
            self.ids_renewed_at = float(self.meta("ids_renewed_at") or 0)
            self.journal = SqliteJournal(self._db, clock, unused_ranges(self._former))
            self.index = SqliteIndex(self._db)
            self.groups = SqliteGroups(self._db)
            uid = self.meta("uid")
            self.is_new = uid is None
            self.uid = uid or self._make_uid()
        except StateError:
            self._db.close()
            raise

    document_version = 0
    """Number of the configuration that is kept: none is, since no other server needs it."""

    @property
    def issued(self) -> Issued:
        """The last id."""
        return Issued(self.uid, self.journal.next_seq)

    @property
    def found_damage(self) -> bool:
        """Whether an operation has failed because the file is damaged."""
        return self._db.found_damage

    @property
    def failure(self) -> None:
        """Why the store is of no further use: another operation may work after one that fails."""
        return

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` has work to do, now or at a later call."""
        return self._db.is_untidy

    def note_streams(self, streams: int) -> None:
        """Do nothing: no other server is there."""

    def begin_confirming(self) -> None:
        """Do nothing: the cursor follows from each confirmation."""

    def tidy(self) -> None:
        """Release memory and disk space that are no longer needed; see ``Database.tidy``."""
        self._db.tidy()

    def release(
        self,
        streams: int = 0,  # noqa: ARG002 - no other server is there
        confirmed_seq: int | None = None,  # noqa: ARG002 - no other server is there
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    def note_node(self, node: str | None) -> None:
        """Do nothing: no server is on another node."""

    def meta(self, key: str) -> str | None:
        """Return the value that ``set_meta`` has kept, or None."""
        with self._db.guarded():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, **values: str | None) -> None:
        """Keep values by key, in one transaction; None removes a key."""
        with self._db.transaction():
            self._write_meta(values)

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
                if delta.groups is not None:
                    self.groups.write(delta.groups)
                appended = self.journal.append(payloads, pending, changes)
                self._db.execute(
                    "UPDATE counters SET next_id = ?, entries = ?, next_seq = ?",
                    (self.index.id_limit, entries, appended.next_seq),
                )
            self.index.accept(delta, entries)
            self.journal.accept(appended)
        if changes:
            self._note_issued(self.issued)

    def deferring(self) -> AbstractContextManager[None]:
        """Return a block in which each commit is durable: there is no other process to wait for."""
        return nullcontext()

    def renew_ids(self, *, above_seq: int = 0) -> None:
        """Give the events from now on ids that no event has had; see ``port.WatchStore``.

        Args:
            above_seq: A sequence number that may have been used.

        Raises:
            StateError: Nothing was written.
        """
        with self._db.guarded():
            former = renew(self._former, self.uid, self.journal.next_seq, above_seq)
            next_seq = former[-1].next_seq
            uid, now_s = new_uid(), self._clock.wall()
            with self._db.transaction():
                self._write_meta(
                    {
                        "uid": uid,
                        "former_ids": format_former(former),
                        "ids_renewed_at": str(now_s),
                    }
                )
                self._db.execute("UPDATE counters SET next_seq = ?", (next_seq,))
            self.uid, self.ids_renewed_at = uid, now_s
            self._former, self.former_uids = former, end_seqs(former)
            self.journal.leap(unused_ranges(former))
        self._note_issued(self.issued)

    def _write_meta(self, values: Mapping[str, str | None]) -> None:
        for key, value in values.items():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _make_uid(self) -> str:
        uid = new_uid()
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
        gates = read_gates(db.execute)
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
        skipped=unused_after(unused_ranges(parse_former(meta.get("former_ids"))), cursor),
        ids_renewed_at=float(meta.get("ids_renewed_at", 0)),
        held_back=HeldBack.of(gates),
    )
