"""The newest payloads of a watch, in memory, so that streams which keep up never read the state file. Pure, but for its lock."""

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

TAIL_BYTES = 4 * 1024 * 1024
TAIL_PAYLOADS = 8192
"""What a tail holds at most."""

ROOM_BYTES = 32 * 1024 * 1024
"""What all tails of a process hold at most."""


class CacheBudget:
    """What several tails share: their lock, and how much they hold together.

    Args:
        max_bytes: When they would hold more, those are emptied that have not grown for the longest time.
    """

    def __init__(self, max_bytes: int) -> None:
        self.lock = threading.Lock()
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._sizes_bytes: dict[PayloadCache, int] = {}

    def note(self, tail: PayloadCache, size_bytes: int) -> None:
        """Note how much a tail that has changed holds now, and make room; call it with the lock."""
        self._size_bytes += size_bytes - self._sizes_bytes.pop(tail, 0)
        if size_bytes:
            self._sizes_bytes[tail] = size_bytes
        while self._size_bytes > self._max_bytes:
            stalest = next(iter(self._sizes_bytes))
            self._size_bytes -= self._sizes_bytes.pop(stalest)
            stalest.empty()


_ROOM = CacheBudget(ROOM_BYTES)


class Newest:
    """The last of some payloads that pass by.

    Args:
        max_bytes: So much of them is kept, and the last one in any case.

    Attributes:
        payloads: Those that are kept, in order.
        left_out: The sequence number of the last one before them; None when all are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self.payloads: deque[Payload] = deque()
        self.left_out: int | None = None

    def passing(self, payloads: Iterable[Payload]) -> Iterator[Payload]:
        """Yield payloads, and keep the last of them."""
        for payload in payloads:
            self.payloads.append(payload)
            self._size_bytes += len(payload.data)
            while self._size_bytes > self._max_bytes and len(self.payloads) > 1:
                oldest = self.payloads.popleft()
                self._size_bytes -= len(oldest.data)
                self.left_out = oldest.seq
            yield payload


class PayloadCache:
    """A window on the end of a journal, open for as long as somebody reads. Safe between threads.

    Args:
        seq: The journal's last sequence number when the tail begins.
        room: Shared with other tails.
    """

    def __init__(self, seq: int, room: CacheBudget = _ROOM) -> None:
        self._room = room
        self._floor = seq
        self._size_bytes = 0
        self._payloads: deque[Payload] = deque()
        self._is_open = False

    def open(self) -> None:
        """Hold what is added from now on."""
        with self._room.lock:
            self._is_open = True

    def close(self) -> None:
        """Hold nothing any more; it may be opened again."""
        with self._room.lock:
            self._is_open = False
            self.empty()
            self._room.note(self, 0)

    def extend(self, payloads: Collection[Payload], *, left_out: int | None = None) -> None:
        """Add payloads that were committed, in order.

        Args:
            payloads: The last that were, or all.
            left_out: The sequence number of the last one that is not among them, if there is one that the tail has not either.
        """
        with self._room.lock:
            if left_out is not None:
                self.empty()
                self._floor = left_out
            self._payloads.extend(payloads)
            if not self._is_open:
                self.empty()
                return
            self._size_bytes += sum(len(payload.data) for payload in payloads)
            while len(self._payloads) > TAIL_PAYLOADS or self._size_bytes > TAIL_BYTES:
                oldest = self._payloads.popleft()
                self._size_bytes -= len(oldest.data)
                self._floor = oldest.seq
            self._room.note(self, self._size_bytes)

    def after(self, seq: int, *, limit: int, max_bytes: int) -> list[Payload] | None:
        """Return payloads after a sequence number, in order; None when some of them are not in memory any more.

        Args:
            seq: See there.
            limit: Not more than so many.
            max_bytes: See ``fitting``.
        """
        with self._room.lock:
            if seq < self._floor:
                return None
            start = bisect_right(self._payloads, seq, key=lambda payload: payload.seq)
            return fitting(islice(self._payloads, start, start + limit), max_bytes)

    def empty(self) -> None:
        """Drop all payloads; only its room calls this."""
        if self._payloads:
            self._floor = self._payloads[-1].seq
        self._payloads.clear()
        self._size_bytes = 0
