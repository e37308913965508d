"""The journal of one watch in its state file: payloads until they are confirmed, and the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from watcher.model import Payload, fitting
from watcher.state.ids import unused_after
from watcher.state.journal_port import Unconfirmed
from watcher.state.sqlite.database import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.state.sqlite.database import Database

OLDEST = "SELECT committed_at FROM journal WHERE seq > ? ORDER BY seq LIMIT 1"
"""Commit time of the first payload after a sequence number."""

BYTES_BETWEEN = """
    SELECT coalesce(sum(length(payload)), 0) FROM journal WHERE seq > ? AND seq <= ?
"""
"""Bytes of the payloads after one sequence number, up to another."""

WRITTEN_BYTES = 1024 * 1024
"""Bytes of payloads that wait for their statement: large ones have fewer in one."""

_APPEND, _MARKS = "INSERT INTO journal VALUES {}", "(?, ?, ?, 0)"
_WRITTEN_VALUES = ROWS * _MARKS.count("?")

MAX_SEQ = (1 << 63) - 1
"""Largest integer of SQLite, which is above all sequence numbers."""

FIRST_UNCONFIRMED = """
    SELECT count(*), coalesce(max(seq), 0) FROM
        (SELECT seq FROM journal WHERE seq > ? AND NOT is_acknowledged ORDER BY seq LIMIT ?)
"""
"""Number and end of the first payloads after a sequence number that are not acknowledged."""


class Appended(NamedTuple):
    """What an ``append`` adds to the journal once its transaction is committed.

    Attributes:
        next_seq: Sequence number of the next change.
        size_bytes: Bytes of the payloads.
        at: When they are committed, seconds since the epoch.
        has_pending: Whether events wait for their batch.
    """

    next_seq: int
    size_bytes: int
    at: float
    has_pending: bool


class SqliteJournal:
    """The journal of one state file; implements ``journal_port.Journal``.

    Args:
        db: The file.
        clock: Its wall clock dates payloads.

    Attributes:
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        acknowledged: Sequence numbers of the payloads beyond the cursor that are confirmed.
        size_bytes: Bytes of the payloads beyond the cursor.
        oldest_at: When the first payload beyond the cursor was committed, seconds since the epoch.
        unused: Ranges of sequence numbers that no change has, in order.

    Raises:
        StateError: The file cannot be read.
    """

    def __init__(self, db: Database, clock: Clock, unused: Sequence[range] = ()) -> None:
        self._db = db
        self._clock = clock
        self.unused = unused
        with db.guarded():
            self.next_seq: int
            self.cursor: int
            self.next_seq, self.cursor = db.execute(
                "SELECT next_seq, cursor FROM counters"
            ).fetchone()
            beyond = db.execute(
                "SELECT seq FROM journal WHERE seq > ? AND is_acknowledged", (self.cursor,)
            )
            self.acknowledged = {seq for (seq,) in beyond.fetchall()}
            self.size_bytes = self._bytes_between(self.cursor, self.next_seq)
            self.oldest_at = self._oldest_at()
            self._has_pending = db.execute("SELECT 1 FROM pending LIMIT 1").fetchone() is not None

    @property
    def depth(self) -> int:
        """Changes beyond the cursor, including those that wait for their batch to fill."""
        return self.next_seq - 1 - self.cursor - unused_after(self.unused, self.cursor)

    # Appending, within a transaction of the store

    def append(
        self, payloads: Iterable[Payload], pending: Iterable[Payload], changes: int
    ) -> Appended:
        """Write payloads and pending events within the caller's transaction, which counts them.

        Args:
            payloads: In order, consumed one by one; they replace pending events up to their
                numbers.
            pending: Events that wait for their batch, consumed after ``payloads``; those from
                before ``next_seq`` are in the file already.
            changes: Number of sequence numbers used.

        Returns:
            What ``accept`` takes once the transaction is committed.
        """
        now_s, last_seq, size_bytes = self._clock.wall(), 0, 0
        values: list[Any] = []
        room_bytes = WRITTEN_BYTES
        for seq, data in payloads:
            last_seq, size_bytes = seq, size_bytes + len(data)
            values += (seq, data, now_s)
            room_bytes -= len(data)
            if len(values) == _WRITTEN_VALUES or room_bytes <= 0:
                self._db.execute_rows(_APPEND, _MARKS, values)
                values.clear()
                room_bytes = WRITTEN_BYTES
        self._db.execute_rows(_APPEND, _MARKS, values)
        if last_seq and self._has_pending:
            self._db.execute("DELETE FROM pending WHERE seq <= ?", (last_seq,))
        waiting = [*pending]
        if new := [event for event in waiting if event.seq >= self.next_seq]:
            self._db.executemany("INSERT INTO pending VALUES (?, ?)", new)
        has_pending = bool(waiting) or (self._has_pending and not last_seq)
        return Appended(self.next_seq + changes, size_bytes, now_s, has_pending)

    def accept(self, appended: Appended) -> None:
        """Count what was appended, after its transaction was committed."""
        self.next_seq, self._has_pending = appended.next_seq, appended.has_pending
        self.size_bytes += appended.size_bytes
        if appended.size_bytes and self.oldest_at is None:
            self.oldest_at = appended.at

    def leap(self, unused: Sequence[range]) -> None:
        """Go on after ranges of sequence numbers that no change has; the transaction is over."""
        self.next_seq, self.unused = unused[-1].stop, unused

    # Reading

    def read(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads after a sequence number, in order; see ``journal_port.Journal``."""
        return self._read("seq > ?", (after_seq,), limit, max_bytes)

    def read_unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the unconfirmed payloads of a range, in order; see ``journal_port.Journal``."""
        first = max(seqs.start, self.cursor + 1)
        return self._read(
            "seq >= ? AND seq < ? AND NOT is_acknowledged", (first, seqs.stop), limit, max_bytes
        )

    def count_unconfirmed(self, after_seq: int, *, limit: int) -> Unconfirmed:
        """Return number and end of the first unconfirmed payloads; see ``journal_port.Journal``."""
        with self._db.guarded():
            values = (max(after_seq, self.cursor), limit)
            return Unconfirmed(*self._db.execute(FIRST_UNCONFIRMED, values).fetchone())

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch to fill, in order."""
        with self._db.guarded():
            rows = self._db.execute("SELECT seq, event FROM pending ORDER BY seq").fetchall()
        return [Payload._make(values) for values in rows]

    # Confirming

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:
        """Move the cursor up to ``seq``; drop confirmed payloads older than ``keep_s`` seconds."""
        if seq <= self.cursor:
            return
        with self._db.guarded():
            with self._db.transaction():
                confirmed_bytes = self._advance(seq, keep_s)
            self.size_bytes -= confirmed_bytes
            self._set_cursor(seq)

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> AbstractSet[int]:
        """Confirm single payloads; up to the cursor, drop those older than ``keep_s`` seconds."""
        with self._db.guarded():
            cursor, confirmed_bytes = self.cursor, 0
            with self._db.transaction():
                found = {self._first("seq >= ?", seq) for seq in seqs if seq > cursor}
                rows = {seq for seq in found if seq is not None} - self.acknowledged
                self._db.executemany(
                    "UPDATE journal SET is_acknowledged = 1 WHERE seq = ?", [(seq,) for seq in rows]
                )
                reached = self._confirmed_after(cursor)
                if reached:
                    cursor = reached[-1]
                    confirmed_bytes = self._advance(cursor, keep_s)
            # Changed in place: a copy would cost each acknowledgement as much as all before it.
            self.acknowledged |= rows
            self._set_cursor(cursor)
            self.acknowledged.difference_update(reached)
            self.size_bytes -= confirmed_bytes
            return rows

    def refresh_acknowledged(self, acknowledgements: int, *, keep_s: float = 0.0) -> bool:  # noqa: ARG002 - as the port has it
        """Do nothing: no other server is there."""
        return False

    def rewind(self, *, seq: int | None = None, time_s: float | None = None) -> int:
        """Revoke confirmations as far back as payloads are kept; return the new cursor."""
        with self._db.guarded():
            first = (
                self._first("seq >= ?", seq)
                if time_s is None
                else self._first("committed_at >= ?", time_s)
            )
            if first is None or first > max(self.cursor, *self.acknowledged, 0):
                return self.cursor
            # A payload begins where the one before it ends. Of the first that is kept, only the
            # last change is known.
            (before,) = self._db.execute(
                "SELECT max(seq) FROM journal WHERE seq < ?", (first,)
            ).fetchone()
            cursor = min(self.cursor, first - 1 if before is None else before)
            with self._db.transaction():
                self._db.execute("UPDATE counters SET cursor = ?", (cursor,))
                self._db.execute("UPDATE journal SET is_acknowledged = 0 WHERE seq >= ?", (first,))
            self.acknowledged = {kept for kept in self.acknowledged if kept < first}
            self._set_cursor(cursor)
            self.size_bytes = self._bytes_between(cursor, self.next_seq)
            return cursor

    def expire(self, keep_s: float) -> None:
        """Drop the confirmed payloads that are older than ``keep_s`` seconds."""
        with self._db.transaction():
            self._drop(self.cursor, keep_s)

    def _confirmed_after(self, cursor: int) -> list[int]:
        """Return the payloads between a cursor and the first unconfirmed one, in order."""
        waiting = self._first("seq > ? AND NOT is_acknowledged", cursor)
        rows = self._db.execute(
            "SELECT seq FROM journal WHERE seq > ? AND seq < ? ORDER BY seq",
            (cursor, MAX_SEQ if waiting is None else waiting),
        )
        return [seq for (seq,) in rows.fetchall()]

    def _advance(self, seq: int, keep_s: float) -> int:
        """Move the cursor in the file, and return the bytes of the payloads that it passes."""
        passed_bytes = self._bytes_between(self.cursor, seq)
        self._db.execute("UPDATE counters SET cursor = ?", (seq,))
        self._drop(seq, keep_s)
        return passed_bytes

    def _drop(self, confirmed: int, keep_s: float) -> None:
        kept = self._first("committed_at >= ?", self._clock.wall() - keep_s) if keep_s else None
        end = confirmed + 1 if kept is None else min(confirmed + 1, kept)
        self._db.execute("DELETE FROM journal WHERE seq < ?", (end,))

    def _set_cursor(self, cursor: int) -> None:
        self.cursor = cursor
        self.oldest_at = self._oldest_at()

    def _oldest_at(self) -> float | None:
        row = self._db.execute(OLDEST, (self.cursor,)).fetchone()
        return None if row is None else float(row[0])

    def _bytes_between(self, after_seq: int, last_seq: int) -> int:
        (size_bytes,) = self._db.execute(BYTES_BETWEEN, (after_seq, last_seq)).fetchone()
        return int(size_bytes)

    def _first(self, condition: str, value: float | None) -> int | None:
        """Return the sequence number of the first payload that meets a condition."""
        query = f"SELECT seq FROM journal WHERE {condition} ORDER BY seq LIMIT 1"  # noqa: S608 - only constants
        row = self._db.execute(query, (value,)).fetchone()
        return None if row is None else int(row[0])

    def _read(
        self, condition: str, values: Sequence[int], limit: int, max_bytes: int
    ) -> list[Payload]:
        query = f"SELECT seq, payload FROM journal WHERE {condition} ORDER BY seq LIMIT ?"  # noqa: S608 - only constants
        with self._db.guarded():
            rows = self._db.execute(query, (*values, limit))
            return fitting(map(Payload._make, rows), max_bytes)
