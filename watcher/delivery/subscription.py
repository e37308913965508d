"""A stream's part of a watch's journal: what it writes next, and what it has written."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock
    from watcher.delivery.payload_cache import PayloadCache
    from watcher.delivery.position import StreamPosition
    from watcher.delivery.rate import TokenBucket
    from watcher.delivery.unacknowledged import UnacknowledgedLimit
    from watcher.model import Payload
    from watcher.state.journal_port import Journal

READ_PAYLOADS = 256
"""Maximum number of payloads in one read."""

READ_BYTES = 64 * 1024
"""Maximum size of one read in bytes: what a client buffers. Thousands of streams hold one each."""


class Wait(StrEnum):
    """What a stream that has something to write waits for, by its configuration."""

    RATE = "rate"
    """``rate``: it has written as many payloads as it may for now."""
    ACKNOWLEDGEMENTS = "acknowledgements"
    """``max_unacknowledged``: all that it may write is written, and not acknowledged."""


class Subscription:
    """One stream's part of a journal; made by ``Publisher.subscribe``, used by one task at a time.

    Args:
        position: Where the stream is.
        journal: Where payloads are read from that the cache does not have.
        cache: The newest payloads.
        clock: Times writes and redeliveries.
        bucket: How fast the stream may write; None for as fast as it can.
        limit: What may be written while nothing more is acknowledged; None for everything.

    Attributes:
        position: The same.
        bucket: The same.
    """

    def __init__(  # noqa: PLR0913 - all that a stream deals with
        self,
        position: StreamPosition,
        journal: Journal,
        cache: PayloadCache,
        clock: Clock,
        *,
        bucket: TokenBucket | None = None,
        limit: UnacknowledgedLimit | None = None,
    ) -> None:
        self.position = position
        self._journal = journal
        self._cache = cache
        self._clock = clock
        self.bucket = bucket
        self._limit = limit
        # Whether the bucket was empty at the last reading.
        self._is_throttled = False
        # Whether the last reading was of redeliveries.
        self._was_redelivery = False

    def due_in_s(self) -> float | None:
        """Return the seconds until a redelivery is due, or the rate allows more, 0 for now.

        Returns:
            None if neither will be.
        """
        now_s = self._clock.monotonic()
        due_in_s = self.position.due_in_s(now_s)
        if self._is_throttled and self.bucket is not None:
            return self.bucket.wait_s(now_s)
        return due_in_s

    def waits_for(self) -> Wait | None:
        """Return what keeps the stream from writing now, though there is something; any thread."""
        now_s = self._clock.monotonic()
        written_seq, last_seq = self.position.written_seq, self._cache.last_seq
        allowed_seq = last_seq if self._limit is None else min(last_seq, self._limit.last_seq)
        has_more = written_seq < allowed_seq or self.position.due_in_s(now_s) == 0.0
        if has_more and self.bucket is not None and self.bucket.wait_s(now_s):
            return Wait.RATE
        if self._limit is not None and self._limit.is_reached:
            return Wait.ACKNOWLEDGEMENTS if allowed_seq <= written_seq < last_seq else None
        return None

    def read_from_memory(self) -> list[Payload] | None:
        """Return the next payloads without touching the disk; None when some are only there.

        Redeliveries are never in memory; see ``due_in_s``.

        Raises:
            UnavailableError: Another stream's confirmation has passed this one.
        """
        seq, count = self.position.resume(), self._admitted()
        payloads = self._new_from_memory(seq, count) if count else []
        # The cursor is known before what follows is in memory.
        self._check_passed(seq)
        return payloads

    def read(self) -> list[Payload]:
        """Return the next payloads, redeliveries that are due first; may wait for the disk.

        Under a rate, redeliveries and new payloads take turns, or those would leave no room.

        Returns:
            In order; empty when there is nothing to write now.

        Raises:
            UnavailableError: Another stream's confirmation has passed this one.
            StateError: The state cannot be read.
        """
        seq, count = self.position.resume(), self._admitted()
        self._check_passed(seq)
        if not count:
            return []
        if self._was_redelivery and self.bucket is not None:
            self._was_redelivery = False
            if payloads := self._new(seq, count):
                return payloads
        if due := self.position.due_for_redelivery(self._clock.monotonic()):
            payloads = self._journal.read_unconfirmed(due, limit=count, max_bytes=READ_BYTES)
            if payloads:
                self.position.requeue(range(payloads[-1].seq + 1, due.stop))
                self._was_redelivery = True
                return payloads
        return self._new(seq, count)

    def writing(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        """Yield those of some payloads that are to be written, without acknowledged ones.

        Each counts as written when the next one is asked for: write one within each round of the
        loop. The time in between is the time that the transport took, which flow control can
        extend without bound.
        """
        # Looked up once: this is all that a stream computes for an event beside its message.
        position, journal, monotonic = self.position, self._journal, self._clock.monotonic
        now_s = monotonic()
        for payload in payloads:
            seq = payload.seq
            if seq <= journal.cursor or seq in journal.acknowledged:
                if self._is_bound:
                    # The next reading ends the stream.
                    return
                position.skip(seq)
                continue
            if self._limit is not None and seq > self._limit.last_seq:
                # A replay came between; it has rewound the stream.
                return
            if self.bucket is not None:
                self.bucket.take(now_s)
            position.begin_write(now_s)
            yield payload
            now_s = monotonic()
            position.end_write(seq, now_s)

    @property
    def _is_bound(self) -> bool:
        """Whether the stream must write all that follows where it is."""
        return self.position.is_bound and not self.position.skips_confirmed

    def _check_passed(self, seq: int) -> None:
        """Make sure that nothing is confirmed that the stream has yet to write.

        On one server the slowest stream holds the cursor. A server that was taken for dead, or has
        lost a watch to another one, no longer does, and its streams may miss what was confirmed.

        Args:
            seq: The stream goes on after it.

        Raises:
            UnavailableError: Another stream's confirmation has passed this one.
        """
        if seq < self._journal.cursor and self._is_bound:
            raise UnavailableError(
                "another stream's confirmation has passed this one", hint="connect again"
            )

    def _admitted(self) -> int:
        """Return how many payloads may be read now."""
        if self.bucket is None:
            return READ_PAYLOADS
        count = self.bucket.available(self._clock.monotonic())
        self._is_throttled = not count
        return min(count, READ_PAYLOADS)

    def _new(self, seq: int, count: int) -> list[Payload]:
        payloads = self._new_from_memory(seq, count)
        if payloads is not None:
            self._check_passed(seq)
            return payloads
        if self._limit is None:
            payloads = self._journal.read(seq, limit=count, max_bytes=READ_BYTES)
            # What is confirmed may be dropped before it is read.
            self._check_passed(seq)
            self._cache.keep_page(seq, payloads)
            return payloads
        seqs = range(seq + 1, self._limit.last_seq + 1)
        return self._journal.read_unconfirmed(seqs, limit=count, max_bytes=READ_BYTES)

    def _new_from_memory(self, seq: int, count: int) -> list[Payload] | None:
        if self._limit is None:
            payloads = self._cache.after(seq, limit=count, max_bytes=READ_BYTES)
            # What a page from before the cursor has is confirmed, and may be all that it has.
            if payloads is None and seq >= self._journal.cursor:
                return self._cache.page(seq, limit=count)
            return payloads
        last_seq = self._limit.last_seq
        if seq >= last_seq:
            return []
        payloads = self._cache.after(seq, limit=count, max_bytes=READ_BYTES)
        if payloads is None:
            return None
        return [payload for payload in payloads if payload.seq <= last_seq]
