"""When a watch scans: at intervals, at once for a reason, ever more rarely while scans fail."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from watcher.sources.cost import JITTER

if TYPE_CHECKING:
    from watcher.clock import Clock

BACKOFF_MIN_S = 1.0
"""Longest wait before an unavailable place is tried again, after its first failure."""

BACKOFF_MAX_S = 60.0
"""Longest wait after many failures; each failure doubles the wait up to this."""


class Schedule:
    """The due time of one watch's next scan, or of the next try to open its place.

    A new schedule is due at once.

    Args:
        clock: The time.

    Attributes:
        backoff_s: Longest wait after the next failure, in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.backoff_s = BACKOFF_MIN_S
        self._planned_s = 0.0
        self._expedited_s = float("inf")
        self._clock = clock
        self._reason = ""

    @property
    def due_s(self) -> float:
        """When the scan or the try is due, on the monotonic clock."""
        return min(self._planned_s, self._expedited_s)

    @property
    def is_out_of_turn(self) -> bool:
        """Whether a scan was requested for a reason, and has not begun."""
        return bool(self._reason)

    def is_due(self) -> bool:
        """Return whether the due time has come."""
        return self._clock.monotonic() >= self.due_s

    def begin(self) -> str:
        """Start a scan and return why it is out of turn; empty for a regular one."""
        reason, self._reason = self._reason, ""
        return reason

    def request(self, reason: str = "", due_s: float = 0.0) -> None:
        """Make the next scan due at once, or later where it must not begin before.

        Args:
            reason: Why it is out of turn; empty keeps the reason of an earlier request.
            due_s: When it may begin, on the monotonic clock.
        """
        self._plan(due_s)
        self._reason = reason or self._reason

    def expedite(self, due_s: float) -> None:
        """Make the next scan due at a time on the monotonic clock, at the latest."""
        self._expedited_s = min(self._expedited_s, due_s)

    def relax(self) -> None:
        """Make the next scan due when it was before it was expedited."""
        self._expedited_s = float("inf")

    def succeed(self, interval_s: float) -> None:
        """Record a completed scan: the next one is due after the interval, with jitter."""
        self.backoff_s = BACKOFF_MIN_S
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - only spreads load
        self._plan(self._clock.monotonic() + interval_s * jitter)

    def fail(self, pause_s: float = 0.0) -> float:
        """Record a failed scan: the next try is due after the backoff, which doubles.

        Args:
            pause_s: Shortest wait in seconds, where the backoff is shorter.

        Returns:
            The seconds until the next try.
        """
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - only spreads load
        wait_s = max(self.backoff_s * jitter, pause_s)
        self._plan(self._clock.monotonic() + wait_s)
        self.backoff_s = min(self.backoff_s * 2, BACKOFF_MAX_S)
        return wait_s

    def _plan(self, due_s: float) -> None:
        self._planned_s, self._expedited_s = due_s, float("inf")
