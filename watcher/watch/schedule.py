"""When a watch reads its whole place: at intervals, out of turn for a reason, and ever more rarely while it fails.

Pure, but for its dice: time is a parameter, in seconds of one monotonic clock.
"""

from __future__ import annotations

import random

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 60.0
"""How long an unavailable place is left alone before the next try: doubled from the one to the other, with jitter."""

JITTER = 0.1


class Schedule:
    """When the next scan of one watch is due; the first is at once.

    Attributes:
        due_s: That time; of a place that is unavailable, when it is tried again.
        backoff_s: At most so long a place that becomes unavailable now is left alone.
    """

    def __init__(self) -> None:
        self.due_s = 0.0
        self.backoff_s = BACKOFF_MIN_S
        self._reason = ""

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is time."""
        return now_s >= self.due_s

    def begin(self) -> str:
        """Note that the scan begins, and return why it came out of turn; empty when it did not."""
        reason, self._reason = self._reason, ""
        return reason

    def request(self, reason: str = "") -> None:
        """Have the next scan come at once, which is out of turn if there is a reason."""
        self.due_s, self._reason = 0.0, reason or self._reason

    def expedite(self, now_s: float, interval_s: float) -> None:
        """Have the next scan come no later than after an interval."""
        self.due_s = min(self.due_s, now_s + interval_s)

    def succeed(self, now_s: float, interval_s: float) -> None:
        """Note that a scan was completed, and when the next one is due: watches that started together do not go on together."""
        self.backoff_s = BACKOFF_MIN_S
        self.due_s = now_s + interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - only spreads load

    def fail(self, now_s: float) -> None:
        """Note that the place cannot be read."""
        self.due_s = now_s + self.backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - likewise
        self.backoff_s = min(self.backoff_s * 2, BACKOFF_MAX_S)
