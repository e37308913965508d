"""Decides how many requests are on their way to a store at once: as many as keep us busy, and half as many when it asks for less. Pure."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_AFTER_MAX_S = 60.0
ROUND_S = 1.0
"""Answers that ask for less within this time are to requests that were sent at once, and count as one."""


class ConcurrencyLimit:
    """How many requests may be on their way at once. Thread-safe.

    What the store has made less grows again by one for each so many answers as are allowed at once.

    Args:
        most: Never more.
        clock: Monotonic seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._wanted = 1
        self._allowed = most
        self._borne = 0
        self._clock = clock
        self._slowed_s = float("-inf")
        self._resume_s = float("-inf")
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many may be on their way now; at least 1."""
        return min(self._wanted, self._allowed)

    @property
    def wait_s(self) -> float:
        """How long no request may be sent; 0 when one may."""
        return max(0.0, self._resume_s - self._clock())

    def slow_down(self, retry_after_s: float) -> None:
        """Note that the store asks for less, and for how long it wants none."""
        with self._lock:
            now_s = self._clock()
            self._resume_s = max(self._resume_s, now_s + min(retry_after_s, RETRY_AFTER_MAX_S))
            if now_s - self._slowed_s > ROUND_S:
                self._slowed_s, self._allowed, self._borne = now_s, max(1, self.limit // 2), 0

    def on_response(self, *, was_waiting: bool) -> None:
        """Note that an answer is taken.

        Args:
            was_waiting: It is not there yet: more requests at once would be of use. Else fewer would do.
        """
        with self._lock:
            self._wanted = (
                min(self._wanted + 1, self._most) if was_waiting else max(self._wanted - 1, 1)
            )
            self._borne += 1
            if self._borne >= self._allowed:
                self._borne, self._allowed = 0, min(self._allowed + 1, self._most)
