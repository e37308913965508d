"""The journal of one watch in the database: payloads until they are confirmed, and the cursor."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.model import Payload
from watcher.state.ids import unused_after
from watcher.state.port import Unconfirmed
from watcher.state.postgres.arrays import int8_array
from watcher.state.postgres.inserts import insert
from watcher.state.postgres.session import one
from watcher.state.postgres.steps import STATEMENT_BYTES, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.state.postgres.session import Session

OPENED = """
    SELECT coalesce((
        SELECT array_agg(seq) FROM watcher.journal
        WHERE watch = $1 AND seq > ? AND is_acknowledged
    ), '{}'::int8[])
"""
_BEYOND = """
    SELECT
        coalesce((
            SELECT sum(octet_length(payload)) FROM watcher.journal
            WHERE watch = $1 AND seq > ? AND seq <= ?
        ), 0)::int8,
        (SELECT committed_at FROM watcher.journal
            WHERE watch = $1 AND seq > ? ORDER BY seq LIMIT 1)
"""
"""Bytes of the payloads after one sequence number, up to another; commit time of the first payload
after a third."""

_READ = """
    SELECT seq, payload FROM (
        SELECT seq, payload, sum(octet_length(payload)) OVER before AS total_bytes,
            row_number() OVER before AS number
        FROM (
            SELECT seq, payload FROM watcher.journal
            WHERE watch = $1 AND {condition} ORDER BY seq LIMIT ?
        ) AS first
        WINDOW before AS (ORDER BY seq)
    ) AS counted
    WHERE total_bytes <= ? OR number = 1 ORDER BY seq
"""
_AFTER = _READ.format(condition="seq > ?")
_UNCONFIRMED = _READ.format(condition="seq >= ? AND seq < ? AND NOT is_acknowledged")
_COUNT = """
    SELECT count(*), coalesce(max(seq), 0) FROM (
        SELECT seq FROM watcher.journal
        WHERE watch = $1 AND seq > ? AND NOT is_acknowledged ORDER BY seq LIMIT ?
    ) AS first
"""
_PENDING = "SELECT seq, event FROM watcher.pending WHERE watch = $1 ORDER BY seq"
_SEAL = "DELETE FROM watcher.pending WHERE watch = $1 AND seq <= ?"
_DROP = "DELETE FROM watcher.journal WHERE watch = $1 AND seq <= ?"
_DROP_OLD = """
    DELETE FROM watcher.journal WHERE watch = $1 AND seq <= ? AND seq < coalesce((
        SELECT seq FROM watcher.journal WHERE watch = $1 AND committed_at >= ?
        ORDER BY seq LIMIT 1
    ), ?)
"""
_FIRST = "SELECT seq FROM watcher.journal WHERE watch = $1 AND {condition} ORDER BY seq LIMIT 1"
_FIRST_BY_SEQ = _FIRST.format(condition="seq >= ?")
_FIRST_BY_TIME = _FIRST.format(condition="committed_at >= ?")
_HOLDERS = """
    SELECT DISTINCT holder.seq FROM unnest(?::int8[]) AS given (seq)
    CROSS JOIN LATERAL (
        SELECT seq FROM watcher.journal
        WHERE watch = $1 AND seq >= given.seq ORDER BY seq LIMIT 1
    ) AS holder
"""
_REACHED = """
    SELECT seq FROM watcher.journal WHERE watch = $1 AND seq > ? AND seq < coalesce((
        SELECT seq FROM watcher.journal
        WHERE watch = $1 AND seq > ? AND NOT is_acknowledged AND seq <> ALL(?::int8[])
        ORDER BY seq LIMIT 1
    ), ?)
    ORDER BY seq
"""
_ACKNOWLEDGE = """
    UPDATE watcher.journal SET is_acknowledged = true WHERE watch = $1 AND seq = ANY(?::int8[])
"""
_REVOKE = """
    UPDATE watcher.journal SET is_acknowledged = false
    WHERE watch = $1 AND seq >= ? AND is_acknowledged
"""
_BEFORE = "SELECT max(seq) FROM watcher.journal WHERE watch = $1 AND seq < ?"

MAX_SEQ = (1 << 63) - 1
"""Largest ``int8``, which is above all sequence numbers."""


class Appending:
    """What a step appends to the journal: payloads, consumed as they are written, and events.

    Args:
        payloads: In order; iterated once more if the step has to be repeated.
        pending: Events that wait for their batch, consumed after the payloads.
        next_seq: Those from before this number are in the database already.
        at: When the step is committed, seconds since the epoch.

    Attributes:
        at: When it is committed, seconds since the epoch.
        size_bytes: Bytes of the payloads consumed so far.
        first: What appends the first of them.
        has_more: Whether there may be others.
    """

    def __init__(
        self, payloads: Iterable[Payload], pending: Iterable[Payload], next_seq: int, at: float
    ) -> None:
        self.at = at
        self._payloads = payloads
        self._next_seq = next_seq
        self._pending = pending
        self._begin()
        self.has_more = self.size_bytes >= STATEMENT_BYTES

    def _begin(self) -> None:
        self.size_bytes = 0
        self._last_seq = 0
        self._is_consumed = False
        self._portions = self._make_portions(self._payloads)
        self.first = [*islice(self._portions, 1)]

    def restart(self) -> None:
        """Begin with the first payload again if others were consumed.

        Raises:
            StateError: The payloads were an iterator.
        """
        if self._is_consumed:
            if iter(self._payloads) is self._payloads:
                raise StateError("the step cannot be repeated")
            self._begin()

    def rest(self) -> Iterator[Part]:
        """Return what appends the payloads after the first ones, portion by portion."""
        self._is_consumed = True
        return self._portions

    def end(self) -> list[Part]:
        """Return what replaces pending events, once all payloads were consumed."""
        parts = [Part(_SEAL, (self._last_seq,))] if self._last_seq else []
        if waiting := [event for event in self._pending if event.seq >= self._next_seq]:
            seqs, events = zip(*waiting, strict=True)
            parts.append(insert("pending", {"seq": seqs, "event": events}))
        return parts

    def _make_portions(self, payloads: Iterable[Payload]) -> Iterator[Part]:
        portion: list[Payload] = []
        begun_bytes = 0
        for payload in payloads:
            portion.append(payload)
            self._last_seq = payload.seq
            self.size_bytes += len(payload.data)
            if self.size_bytes - begun_bytes >= STATEMENT_BYTES:
                yield self._append(portion)
                portion, begun_bytes = [], self.size_bytes
        if portion:
            yield self._append(portion)

    def _append(self, payloads: Sequence[Payload]) -> Part:
        seqs, data = zip(*payloads, strict=True)
        return insert(
            "journal", {"seq": seqs, "committed_at": [self.at] * len(seqs), "payload": data}
        )


class PostgresJournal:
    """The journal of one watch; implements ``port.Journal``.

    Args:
        session: The way to the database.
        clock: Its wall clock dates payloads.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        unused: Ranges of sequence numbers that no change has, in order.

    Attributes:
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        acknowledged: Sequence numbers of the payloads beyond the cursor that are confirmed.
        size_bytes: Bytes of the payloads beyond the cursor.
        oldest_at: When the first payload beyond the cursor was committed, seconds since the epoch.
        unused: Ranges of sequence numbers that no change has, in order.

    Raises:
        StateError: The journal cannot be read.
    """

    def __init__(
        self,
        session: Session,
        clock: Clock,
        *,
        next_seq: int,
        cursor: int,
        unused: Sequence[range] = (),
    ) -> None:
        self._session = session
        self._clock = clock
        self.next_seq = next_seq
        self.cursor = cursor
        self.unused = unused
        self.acknowledged: set[int] = {*one(session.read(OPENED, cursor))[0]}
        self.size_bytes, self.oldest_at = self._beyond(cursor, next_seq, cursor)

    @property
    def depth(self) -> int:
        """Changes beyond the cursor, including those that wait for their batch to fill."""
        return self.next_seq - 1 - self.cursor - unused_after(self.unused, self.cursor)

    # Appending, as parts of a step of the store

    def append(self, payloads: Iterable[Payload], pending: Iterable[Payload]) -> Appending:
        """Return what appends payloads, and events that wait for their batch to fill."""
        return Appending(payloads, pending, self.next_seq, self._clock.wall())

    def accept(self, appending: Appending, next_seq: int) -> None:
        """Count what was appended, after its step was committed."""
        self.next_seq = next_seq
        self.size_bytes += appending.size_bytes
        if appending.size_bytes and self.oldest_at is None:
            self.oldest_at = appending.at

    def leap(self, unused: Sequence[range]) -> None:
        """Go on after ranges of sequence numbers that no change has; the step is committed."""
        self.next_seq, self.unused = unused[-1].stop, unused

    # Reading

    def read(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads after a sequence number, in order; see ``port.Journal``."""
        rows = self._session.read(_AFTER, after_seq, limit, max_bytes)
        return [Payload._make(row) for row in rows]

    def read_unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the unconfirmed payloads of a range, in order; see ``port.Journal``."""
        first = max(seqs.start, self.cursor + 1)
        rows = self._session.read(_UNCONFIRMED, first, seqs.stop, limit, max_bytes)
        return [Payload._make(row) for row in rows]

    def count_unconfirmed(self, after_seq: int, *, limit: int) -> Unconfirmed:
        """Return number and end of the first unconfirmed payloads; see ``port.Journal``."""
        rows = self._session.read(_COUNT, max(after_seq, self.cursor), limit)
        return Unconfirmed(*one(rows))

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch to fill, in order."""
        return [Payload._make(row) for row in self._session.read(_PENDING)]

    # Confirming

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:
        """Move the cursor up to ``seq``; drop confirmed payloads older than ``keep_s`` seconds."""
        if seq <= self.cursor:
            return
        with self._session.guarded():
            passed_bytes, oldest_at = self._beyond(self.cursor, seq, seq)
            self._session.write({"cursor": seq}, [self._drop(seq, keep_s)])
            self.cursor, self.oldest_at = seq, oldest_at
            self.size_bytes -= passed_bytes

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> AbstractSet[int]:
        """Confirm single payloads; up to the cursor, drop those older than ``keep_s`` seconds."""
        with self._session.guarded():
            rows = self._holders([seq for seq in seqs if seq > self.cursor]) - self.acknowledged
            reached = self._reached(rows)
            if not rows and not reached:
                return rows
            cursor = reached[-1] if reached else self.cursor
            passed_bytes, oldest_at = self._beyond(self.cursor, cursor, cursor)
            # In one statement no row may be written twice: up to the cursor none needs a mark.
            marked = [seq for seq in rows if seq > cursor]
            parts = [Part(_ACKNOWLEDGE, (int8_array(marked),))] if marked else []
            if reached:
                parts.append(self._drop(cursor, keep_s))
            self._session.write({"cursor": cursor}, parts)
            # Changed in place: a copy would cost each acknowledgement as much as all before it.
            self.acknowledged |= rows
            self.acknowledged.difference_update(reached)
            self.cursor, self.oldest_at = cursor, oldest_at
            self.size_bytes -= passed_bytes
            return rows

    def rewind(self, *, seq: int | None = None, time_s: float | None = None) -> int:
        """Revoke confirmations as far back as payloads are kept; return the new cursor."""
        with self._session.guarded():
            found = (
                self._session.read(_FIRST_BY_SEQ, seq)
                if time_s is None
                else self._session.read(_FIRST_BY_TIME, time_s)
            )
            if not found or found[0][0] > max(self.cursor, *self.acknowledged, 0):
                return self.cursor
            first = int(found[0][0])
            # A payload begins where the one before it ends. Of the first that is kept, only the
            # last change is known.
            (before,) = one(self._session.read(_BEFORE, first))
            cursor = min(self.cursor, first - 1 if before is None else int(before))
            self._session.write({"cursor": cursor}, [Part(_REVOKE, (first,))])
            self.acknowledged = {kept for kept in self.acknowledged if kept < first}
            self.cursor = cursor
            self.size_bytes, self.oldest_at = self._beyond(cursor, self.next_seq, cursor)
            return cursor

    def expire(self, keep_s: float) -> None:
        """Drop the confirmed payloads that are older than ``keep_s`` seconds."""
        self._session.write({}, [self._drop(self.cursor, keep_s)])

    def _holders(self, seqs: Sequence[int]) -> set[int]:
        """Return the numbers of the payloads that hold some changes."""
        if not seqs:
            return set()
        return {seq for (seq,) in self._session.read(_HOLDERS, int8_array(seqs))}

    def _reached(self, confirmed: set[int]) -> list[int]:
        """Return the payloads between the cursor and the first one that is not confirmed, in order.

        Args:
            confirmed: Payloads that count as confirmed beside those that are.
        """
        values = (self.cursor, self.cursor, int8_array([*confirmed]), MAX_SEQ)
        return [seq for (seq,) in self._session.read(_REACHED, *values)]

    def _drop(self, confirmed: int, keep_s: float) -> Part:
        if not keep_s:
            return Part(_DROP, (confirmed,))
        return Part(_DROP_OLD, (confirmed, self._clock.wall() - keep_s, MAX_SEQ))

    def _beyond(self, after_seq: int, last_seq: int, cursor: int) -> tuple[int, float | None]:
        """Return the bytes between two sequence numbers, and when the first after a third was."""
        size_bytes, oldest_at = one(self._session.read(_BEYOND, after_seq, last_seq, cursor))
        return size_bytes, oldest_at
