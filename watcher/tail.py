"""The newest payloads of a watch, in memory, so that streams which keep up never read the state file. Pure, but for its lock."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.model import Payload

TAIL_BYTES = 4 * 1024 * 1024
TAIL_PAYLOADS = 8192
"""What a tail holds at most."""


class Tail:
    """A window on the end of a journal. Safe between threads.

    Args:
        seq: The journal's last sequence number when the tail begins.
    """

    def __init__(self, seq: int) -> None:
        self._lock = threading.Lock()
        self._floor = seq
        self._size_bytes = 0
        self._payloads: deque[Payload] = deque()

    def extend(self, payloads: Iterable[Payload]) -> None:
        """Add payloads that were committed, in order."""
        with self._lock:
            for payload in payloads:
                self._payloads.append(payload)
                self._size_bytes += len(payload.data)
            while len(self._payloads) > TAIL_PAYLOADS or self._size_bytes > TAIL_BYTES:
                oldest = self._payloads.popleft()
                self._size_bytes -= len(oldest.data)
                self._floor = oldest.seq

    def after(self, seq: int, limit: int) -> list[Payload] | None:
        """Return at most ``limit`` payloads after a sequence number, in order; None when some of them are not in memory any more."""
        with self._lock:
            if seq < self._floor:
                return None
            start = bisect_right(self._payloads, seq, key=lambda payload: payload.seq)
            return list(islice(self._payloads, start, start + limit))
