"""Keeps payloads of a watch in memory, so that streams seldom read the disk.

It has the newest, for streams that keep up, and what one of several streams has just read, for the
others that catch up with it. Pure, but for its lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from watcher.model import fitting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from watcher.model import Payload

CACHE_BYTES = 4 * 1024 * 1024
"""Maximum size of one cache's payloads in bytes."""

CACHE_PAYLOADS = 8192
"""Maximum number of payloads in one cache."""

PAGES_BYTES = 1024 * 1024
"""Maximum size of one cache's pages in bytes; they share the cache's part of the budget."""

BUDGET_BYTES = 32 * 1024 * 1024
"""Maximum size of the payloads in all caches of a process in bytes."""


class CacheBudget:
    """The bytes that several caches share, and their lock.

    Args:
        max_bytes: Beyond it, caches are emptied, beginning with the one that grew least recently.

    Attributes:
        lock: Held by a cache during each of its calls.
    """

    def __init__(self, max_bytes: int) -> None:
        self.lock = threading.Lock()
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._sizes_bytes: dict[PayloadCache, int] = {}

    def note(self, cache: PayloadCache, size_bytes: int) -> None:
        """Note the new size of a cache and make room; the caller holds the lock."""
        self._size_bytes += size_bytes - self._sizes_bytes.pop(cache, 0)
        if size_bytes:
            self._sizes_bytes[cache] = size_bytes
        while self._size_bytes > self._max_bytes:
            stalest = next(iter(self._sizes_bytes))
            self._size_bytes -= self._sizes_bytes.pop(stalest)
            stalest.empty()


_BUDGET = CacheBudget(BUDGET_BYTES)


class NewestPayloads:
    """The last payloads of an iteration that is too large for memory.

    Args:
        max_bytes: Maximum size of what is kept in bytes; the last payload is kept in any case.

    Attributes:
        payloads: Those that are kept, in order.
        dropped_seq: The sequence number of the last payload before them; None when all are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.payloads: deque[Payload] = deque()
        self.clear()

    def clear(self) -> None:
        """Begin with another iteration."""
        self._size_bytes = 0
        self.payloads.clear()
        self.dropped_seq: int | None = None

    def passing(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        """Yield payloads and keep the last of them."""
        for payload in payloads:
            self.payloads.append(payload)
            self._size_bytes += len(payload.data)
            while self._size_bytes > self._max_bytes and len(self.payloads) > 1:
                oldest = self.payloads.popleft()
                self._size_bytes -= len(oldest.data)
                self.dropped_seq = oldest.seq
            yield payload


class PayloadCache:
    """The end of one journal, kept while it has readers, and pages before. Safe between threads.

    Args:
        seq: The journal's last sequence number so far.
        budget: Shared with other caches.
    """

    def __init__(self, seq: int, budget: CacheBudget = _BUDGET) -> None:
        self._budget = budget
        self._floor = seq
        self._size_bytes = 0
        self._payloads: deque[Payload] = deque()
        self._pages: dict[int, list[Payload]] = {}
        self._pages_bytes = 0
        self._readers = 0

    @property
    def last_seq(self) -> int:
        """The sequence number of the last payload that was committed."""
        with self._budget.lock:
            return self._payloads[-1].seq if self._payloads else self._floor

    def set_readers(self, readers: int) -> None:
        """Keep what is added from now on, pages only for several streams; drop all without any.

        Args:
            readers: Number of streams.
        """
        with self._budget.lock:
            self._readers = readers
            if not readers:
                self.empty()
            elif readers == 1:
                self._drop_pages()
            self._budget.note(self, self._size_bytes + self._pages_bytes)

    def extend(self, payloads: Collection[Payload], *, dropped_seq: int | None = None) -> None:
        """Add payloads that were committed, in order.

        Args:
            payloads: The last committed payloads, or all.
            dropped_seq: The last committed sequence number that is missing between the cache and
                ``payloads``; None when nothing is missing.
        """
        with self._budget.lock:
            if dropped_seq is not None:
                self.empty()
                self._floor = dropped_seq
            self._payloads.extend(payloads)
            if not self._readers:
                self.empty()
                return
            self._size_bytes += _size_bytes(payloads)
            while len(self._payloads) > CACHE_PAYLOADS or self._size_bytes > CACHE_BYTES:
                oldest = self._payloads.popleft()
                self._size_bytes -= len(oldest.data)
                self._floor = oldest.seq
            self._budget.note(self, self._size_bytes + self._pages_bytes)

    def keep_page(self, seq: int, payloads: list[Payload]) -> None:
        """Keep what a stream has read from the journal, for others that are where it was.

        Args:
            seq: The sequence number that it was read after.
            payloads: The payloads that follow, in order.
        """
        with self._budget.lock:
            if self._readers < 2 or not payloads or seq in self._pages:  # noqa: PLR2004 - one would never read it again
                return
            self._pages[seq] = payloads
            self._pages_bytes += _size_bytes(payloads)
            while self._pages_bytes > PAGES_BYTES:
                self._pages_bytes -= _size_bytes(self._pages.pop(next(iter(self._pages))))
            self._budget.note(self, self._size_bytes + self._pages_bytes)

    def page(self, seq: int, *, limit: int) -> list[Payload] | None:
        """Return the page that was read after a sequence number; None if there is none.

        Args:
            seq: The sequence number.
            limit: Maximum number of payloads.
        """
        with self._budget.lock:
            page = self._pages.get(seq)
        return None if page is None else page[:limit]

    def after(self, seq: int, *, limit: int, max_bytes: int) -> list[Payload] | None:
        """Return payloads after a sequence number, in order; None when some have left the cache.

        Args:
            seq: Only payloads after it are returned.
            limit: Maximum number of payloads.
            max_bytes: Maximum size in bytes; one payload is returned in any case.
        """
        with self._budget.lock:
            if seq < self._floor:
                return None
            start = bisect_right(self._payloads, seq, key=lambda payload: payload.seq)
            return fitting(islice(self._payloads, start, start + limit), max_bytes)

    def empty(self) -> None:
        """Drop all payloads; the caller, the cache or its budget, holds the lock."""
        if self._payloads:
            self._floor = self._payloads[-1].seq
        self._payloads.clear()
        self._size_bytes = 0
        self._drop_pages()

    def _drop_pages(self) -> None:
        self._pages.clear()
        self._pages_bytes = 0


def _size_bytes(payloads: Iterable[Payload]) -> int:
    return sum(len(payload.data) for payload in payloads)
