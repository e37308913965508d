"""When an event counts as delivered: by time and by signs of life, since the contract has no acknowledgement. Pure: time is a parameter.

An event is confirmed when it was written at least ``window`` ago on a stream that is still open (a dead client is noticed by keepalive
well within the window) and that flow control has not blocked since: bytes that the transport took may still wait in the client.
"""

from __future__ import annotations

import math
import threading
from collections import deque

GRAIN_S = 0.5
"""Writes this close together share one mark."""

BLOCKED_S = 1.0
"""A write that takes longer was blocked by flow control."""


class Position:
    """How far one stream has come. Written by the stream, read by the watch's thread.

    Args:
        seq: The stream begins after this sequence number.
    """

    def __init__(self, seq: int) -> None:
        self.written_seq = seq
        self._confirmed_seq = seq
        self._lock = threading.Lock()
        self._marks: deque[tuple[float, int]] = deque()
        self._writing_since_s: float | None = None

    def begin_write(self, now_s: float) -> None:
        """Note that a payload is handed to the transport."""
        self._writing_since_s = now_s

    def end_write(self, seq: int, now_s: float) -> None:
        """Note that the transport took the payload whose last change is ``seq``."""
        with self._lock:
            since_s, self._writing_since_s = self._writing_since_s, None
            if since_s is not None and now_s - since_s > BLOCKED_S and self._marks:
                # The client had stopped reading: everything not yet confirmed has waited in front of it until now.
                self._marks = deque([(now_s, self._marks[-1][1])])
            # Rounded up, so that no event is confirmed before its own window is over.
            mark_s = math.ceil(now_s / GRAIN_S) * GRAIN_S
            if self._marks and self._marks[-1][0] == mark_s:
                self._marks.pop()
            self._marks.append((mark_s, seq))
            self.written_seq = seq

    def confirmed_seq(self, now_s: float, window_s: float) -> int:
        """Return the last sequence number that counts as delivered on this stream."""
        with self._lock:
            if self._writing_since_s is None or now_s - self._writing_since_s <= BLOCKED_S:
                while self._marks and self._marks[0][0] <= now_s - window_s:
                    self._confirmed_seq = self._marks.popleft()[1]
            return self._confirmed_seq
