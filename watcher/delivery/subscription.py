"""A stream's part of a watch's journal: what it writes next, and what it has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock
    from watcher.delivery.payload_cache import PayloadCache
    from watcher.delivery.position import StreamPosition
    from watcher.model import Payload
    from watcher.state.port import Journal

READ_PAYLOADS = 256
"""Maximum number of payloads in one read."""

READ_BYTES = 64 * 1024
"""Maximum size of one read in bytes: what a client buffers. Thousands of streams hold one each."""


class Subscription:
    """One stream's part of a journal; made by ``Publisher.subscribe``, used by one task at a time.

    Args:
        position: Where the stream is.
        journal: Where payloads are read from that the cache does not have.
        cache: The newest payloads.
        clock: Times writes and redeliveries.

    Attributes:
        position: The same.
    """

    def __init__(
        self, position: StreamPosition, journal: Journal, cache: PayloadCache, clock: Clock
    ) -> None:
        self.position = position
        self._journal = journal
        self._cache = cache
        self._clock = clock

    def due_in_s(self) -> float | None:
        """Return the seconds until a redelivery is due, 0 for now; None if none will be."""
        return self.position.due_in_s(self._clock.monotonic())

    def read_from_memory(self) -> list[Payload] | None:
        """Return the next payloads without touching the disk; None when some are only there.

        Redeliveries are never in memory; see ``due_in_s``.
        """
        return self._cache.after(self.position.resume(), limit=READ_PAYLOADS, max_bytes=READ_BYTES)

    def read(self) -> list[Payload]:
        """Return the next payloads, redeliveries that are due first; may wait for the disk.

        Returns:
            In order; empty when there is nothing to write now.

        Raises:
            StateError: The state cannot be read.
        """
        seq = self.position.resume()
        if due := self.position.due_for_redelivery(self._clock.monotonic()):
            payloads = self._journal.read_unconfirmed(
                due, limit=READ_PAYLOADS, max_bytes=READ_BYTES
            )
            if payloads:
                self.position.requeue(range(payloads[-1].seq + 1, due.stop))
                return payloads
        payloads_or_none = self._cache.after(seq, limit=READ_PAYLOADS, max_bytes=READ_BYTES)
        if payloads_or_none is not None:
            return payloads_or_none
        return self._journal.read(seq, limit=READ_PAYLOADS, max_bytes=READ_BYTES)

    def writing(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        """Yield those of some payloads that are to be written, without acknowledged ones.

        Each counts as written when the next one is asked for: write one within each round of the
        loop. The time in between is the time that the transport took, which flow control can
        extend without bound.
        """
        now_s = self._clock.monotonic()
        for payload in payloads:
            if payload.seq in self._journal.acknowledged:
                self.position.skip(payload.seq)
                continue
            self.position.begin_write(now_s)
            yield payload
            now_s = self._clock.monotonic()
            self.position.end_write(payload.seq, now_s)
