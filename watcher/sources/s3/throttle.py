"""Decides how many requests run at once: enough to keep the watch busy, fewer when throttled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.clock import Clock

RETRY_AFTER_MAX_S = 60.0
"""Longest Retry-After that is respected; the value comes from the network."""
ROUND_S = 1.0
"""Throttled responses within this time answer requests that were sent together: they count once."""


class ConcurrencyLimit:
    """Number of requests that may run at once. Thread-safe.

    It grows by one for each response that was waited for, and shrinks by one for each that was
    ready. When the store throttles, it is halved, and recovers by one for every full round of
    responses.

    Args:
        maximum: Upper bound.
        clock: The clock of the server.

    Attributes:
        maximum: Upper bound.
    """

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.maximum = maximum
        self._clock = clock
        self._useful = 1
        self._allowed = maximum
        self._responses = 0
        self._halved_s = float("-inf")
        self._resume_s = float("-inf")
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Number of requests that may run now; at least 1."""
        return min(self._useful, self._allowed)

    @property
    def allowed(self) -> int:
        """Number of requests that may run now as far as the store goes; at least 1."""
        return self._allowed

    @property
    def wait_s(self) -> float:
        """Seconds until the next request may be sent; 0 when it may be sent now."""
        return max(0.0, self._resume_s - self._clock.monotonic())

    def slow_down(self, retry_after_s: float) -> None:
        """Note that the store throttles.

        Args:
            retry_after_s: Seconds for which it wants no request; 0 where it does not say.
        """
        with self._lock:
            now_s = self._clock.monotonic()
            self._resume_s = max(self._resume_s, now_s + min(retry_after_s, RETRY_AFTER_MAX_S))
            if now_s - self._halved_s > ROUND_S:
                self._halved_s, self._allowed, self._responses = now_s, max(1, self.limit // 2), 0

    def on_response(self, *, was_waiting: bool) -> None:
        """Note that a response is taken.

        Args:
            was_waiting: It has not arrived yet, so more requests at once would be of use.
        """
        with self._lock:
            self._useful = (
                min(self._useful + 1, self.maximum) if was_waiting else max(self._useful - 1, 1)
            )
            self._responses += 1
            if self._responses >= self._allowed:
                self._responses, self._allowed = 0, min(self._allowed + 1, self.maximum)
