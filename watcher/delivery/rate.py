"""How fast a stream may write: a token bucket. Pure: time is a parameter."""

from __future__ import annotations

import math

BURST_S = 1.0
"""Seconds of its rate that a stream may write at once after it had nothing to write."""

PORTION_S = 0.05
"""Seconds that an empty bucket fills at least: a fast stream is not woken for each payload."""

ROUNDING = 1e-6
"""Part of a token that sums of floating-point numbers may lack."""


class TokenBucket:
    """The payloads that one stream may write now; begins full. Used by one task at a time.

    Args:
        per_s: Payloads per second.
        now_s: The time.
    """

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s * BURST_S)
        self._tokens = self._size
        self._at_s = now_s
        self._filled_at_s = now_s

    def available(self, now_s: float) -> int:
        """Return how many payloads may be written now."""
        if now_s < self._filled_at_s:
            return 0
        return max(1, math.floor(self._level(now_s) + ROUNDING))

    def take(self, now_s: float) -> None:
        """Note that a payload is written, one of those that are available."""
        self._tokens, self._at_s = self._level(now_s) - 1, now_s
        if self._tokens + ROUNDING < 1:
            portion = max(1.0, self._per_s * PORTION_S)
            self._filled_at_s = now_s + (portion - self._tokens) / self._per_s

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until a payload may be written; 0 if one may be now."""
        return max(0.0, self._filled_at_s - now_s)

    def _level(self, now_s: float) -> float:
        return min(self._size, self._tokens + (now_s - self._at_s) * self._per_s)
