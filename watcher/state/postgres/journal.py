"""The journal of one watch in the database: payloads until they are confirmed, and the cursor."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.postgres.arrays import int8_array
from watcher.state.postgres.confirmer import Confirmation
from watcher.state.postgres.inserts import insert
from watcher.state.postgres.readers import rewind_readers
from watcher.state.postgres.session import one
from watcher.state.postgres.shared_journal import SharedJournal
from watcher.state.postgres.steps import STATEMENT_BYTES, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.model import Payload
    from watcher.state.postgres.confirmer import Confirmer
    from watcher.state.postgres.session import Session

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
        SELECT seq, is_acknowledged FROM watcher.journal
        WHERE watch = $1 AND seq >= given.seq ORDER BY seq LIMIT 1
    ) AS holder
    WHERE NOT is_acknowledged
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


class PostgresJournal(SharedJournal):
    """The journal of one watch at its owner; implements ``journal_port.Journal``.

    Args:
        session: The way to the database.
        clock: Its wall clock dates payloads.
        confirmer: Writes what time has confirmed.
        announce: Called when followers have something to read, or to forget.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        unused: Ranges of sequence numbers that no change has, in order.

    Raises:
        StateError: The journal cannot be read.
    """

    def __init__(  # noqa: PLR0913 - what it needs, and what it begins with
        self,
        session: Session,
        clock: Clock,
        confirmer: Confirmer,
        announce: Callable[[], None],
        *,
        next_seq: int,
        cursor: int,
        unused: Sequence[range] = (),
    ) -> None:
        super().__init__(session.read, next_seq=next_seq, cursor=cursor, unused=unused)
        self._session = session
        self._clock = clock
        self._confirmer = confirmer
        self._announce = announce
        marks = self._payloads.marks(cursor)
        self.acknowledged = marks.acknowledged
        # Servers that do not own the watch mark payloads, and leave the cursor to the owner.
        self._acknowledgements = -1 if marks.acknowledged else marks.acknowledgements
        self._measure()

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
        """Return the payloads after a sequence number, in order; see ``Journal.read``.

        Raises:
            FencedError: Another server owns the watch, and may have dropped payloads.
        """
        with self._session.guarded():
            page = self._payloads.page(after_seq, limit=limit, max_bytes=max_bytes)
            if page.cursor > self.cursor:
                # Confirmed elsewhere, or here by an attempt whose answer was lost.
                self._session.verify()
            return page.payloads

    # Confirming

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:
        """Move the cursor up to ``seq``, or as far as all followers have the journal."""
        if seq <= self.cursor:
            return
        with self._session.guarded():
            kept_since = self._clock.wall() - keep_s if keep_s else None
            confirmed = self._confirmer.confirm(
                Confirmation(*self._session.permission, seq, kept_since)
            )
            if confirmed.is_refused:
                self._session.verify()
            if confirmed.cursor <= self.cursor:
                return
            passed_bytes = confirmed.passed_bytes
            if confirmed.former != self.cursor:
                # What was passed before is not there any more to be counted.
                beyond, _ = self._payloads.beyond(confirmed.cursor, self.next_seq, confirmed.cursor)
                passed_bytes = self.size_bytes - beyond
            self._move(confirmed.cursor, passed_bytes, confirmed.oldest_at)

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> AbstractSet[int]:
        """Confirm single payloads; up to the cursor, drop those older than ``keep_s`` seconds."""
        with self._session.guarded():
            rows = self._holders([seq for seq in seqs if seq > self.cursor])
            self._acknowledge(rows, keep_s)
            return rows

    def refresh_acknowledged(self, acknowledgements: int, *, keep_s: float = 0.0) -> bool:
        """Take in what other servers have acknowledged; see ``Journal``."""
        with self._session.guarded():
            if acknowledgements <= self._acknowledgements:
                return False
            marks = self._payloads.marks(self.cursor)
            self.acknowledged = marks.acknowledged
            self._acknowledge(set(), keep_s)
            self._acknowledgements = max(self._acknowledgements, marks.acknowledgements)
            # Followers may write more, wherever it was acknowledged.
            self._announce()
            return True

    def _acknowledge(self, rows: set[int], keep_s: float) -> None:
        """Mark payloads, and move the cursor up to the first that is not confirmed."""
        reached = self._reached(rows)
        if not rows and not reached:
            return
        cursor = reached[-1] if reached else self.cursor
        beyond = self._payloads.beyond(self.cursor, cursor, cursor)
        # In one statement no row may be written twice: up to the cursor none needs a mark.
        marked = [seq for seq in rows if seq > cursor]
        parts = [Part(_ACKNOWLEDGE, (int8_array(marked),))] if marked else []
        if reached:
            parts.append(self._drop(cursor, keep_s))
        self._session.write({"cursor": cursor, "acknowledgements": 1}, parts)
        self._acknowledgements += 1
        # Changed in place: a copy would cost each acknowledgement as much as all before it.
        self.acknowledged |= rows
        self.acknowledged.difference_update(reached)
        self._move(cursor, *beyond)

    def _move(self, cursor: int, passed_bytes: int, oldest_at: float | None) -> None:
        self.cursor, self.oldest_at = cursor, oldest_at
        self.size_bytes -= passed_bytes
        self._announce()

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
            self._session.write(
                {"cursor": cursor, "rewinds": 1, "readings": 1},
                [Part(_REVOKE, (first,)), rewind_readers(cursor)],
            )
            self._announce()
            self.acknowledged = {kept for kept in self.acknowledged if kept < first}
            self.cursor = cursor
            self._measure()
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
