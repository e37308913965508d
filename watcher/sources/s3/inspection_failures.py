"""Decides when keys that could not be inspected are inspected again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintedKey

RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
"""Seconds until a key is inspected again after its first failure, and after many."""

PAUSE_MAX_S = 10.0
"""Longest pause in seconds in which no key is inspected, after several in a row have failed."""


class InspectionFailures:
    """The failures of inspections that lie behind, of all keys of one bucket.

    One key that fails delays no other. Where different keys fail in a row, it is the store that
    fails, and no key is inspected for a while.

    Args:
        clock: The time.

    Attributes:
        count: Number of failures since the start.
        problem: Message of the last failure; empty once a key could be inspected after it.
        resume_s: When keys may be inspected again, on the monotonic clock; in the past if now.
    """

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self.problem = ""
        self.resume_s = 0.0
        self._clock = clock
        self._last_key = b""
        self._pause_s = 0.0

    @property
    def is_pausing(self) -> bool:
        """Whether no key is to be inspected now."""
        return self._clock.monotonic() < self.resume_s

    def note_failure(self, hinted: HintedKey, problem: str) -> float:
        """Note that a key could not be inspected; return the seconds until it is again.

        Args:
            hinted: The key.
            problem: The message.
        """
        self.count += 1
        self.problem = problem
        if self._last_key not in {b"", hinted.key} and not self.is_pausing:
            self._pause_s = min(2 * self._pause_s or RETRY_MIN_S, PAUSE_MAX_S)
            self.resume_s = self._clock.monotonic() + self._pause_s
        self._last_key = hinted.key
        delay_s = min(RETRY_MIN_S * 2.0**hinted.failures, RETRY_MAX_S)
        hinted.failures += 1
        return delay_s

    def note_success(self, hinted: HintedKey) -> None:
        """Note that a key could be inspected, and so can others."""
        hinted.failures = 0
        self.problem, self._last_key, self._pause_s, self.resume_s = "", b"", 0.0, 0.0
