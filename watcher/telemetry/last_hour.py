"""What a watch has done in the last hour, minute by minute, for people who look at it.

Both series lie on the monotonic clock, since the wall clock may be set back, and begin with the
watch: they are not kept over restarts. Each has the size of ``SERIES_BYTES``, however much happens.
"""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.clock import Clock

MINUTES = 60
"""Minutes that a series has; the last one is the present one."""

MINUTE_S = 60
"""Seconds of a minute."""

SERIES_BYTES = MINUTES * 4
"""Size of the numbers of a series in bytes: single precision is exact up to 16 million."""


class MinuteSeries:
    """One number for each of the last ``MINUTES`` minutes. Not safe between threads.

    Args:
        now_s: The time on the monotonic clock.
    """

    def __init__(self, now_s: float) -> None:
        self._values = array("f", bytes(SERIES_BYTES))
        self._minute = int(now_s // MINUTE_S)

    def add(self, now_s: float, value: float) -> None:
        """Add to the number of the present minute."""
        self._values[self._slot(now_s)] += value

    def raise_to(self, now_s: float, value: float) -> None:
        """Raise the number of the present minute to a value, if it is below."""
        slot = self._slot(now_s)
        self._values[slot] = max(self._values[slot], value)

    def values(self, now_s: float) -> list[float]:
        """Return the numbers, the oldest first; empty if all are 0."""
        end = self._slot(now_s) + 1
        return [*self._values[end:], *self._values[:end]] if any(self._values) else []

    def _slot(self, now_s: float) -> int:
        """Return where the present minute is, after those that have passed were cleared."""
        minute = int(now_s // MINUTE_S)
        for passed in range(max(self._minute, minute - MINUTES) + 1, minute + 1):
            self._values[passed % MINUTES] = 0.0
        self._minute = max(self._minute, minute)
        return minute % MINUTES


class LagSeries:
    """The age of the oldest unconfirmed payload, at its greatest in each minute. Thread-safe.

    Between two notes that payload is the same, so its age needs no sampling: the minutes between
    are filled in afterwards.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted_s = clock.monotonic()
        self._series = MinuteSeries(self._noted_s)
        self._lock = threading.Lock()
        self._oldest_at: float | None = None
        self._since_s = 0.0

    def note(self, oldest_at: float | None) -> None:
        """Note which payload is the oldest now, by its commit time.

        Args:
            oldest_at: Seconds since the epoch; None if all are confirmed.
        """
        with self._lock:
            now_s = self._catch_up()
            if oldest_at is not None and oldest_at != self._oldest_at:
                self._since_s = now_s - max(0.0, self._clock.wall() - oldest_at)
            self._oldest_at = oldest_at

    def values(self) -> list[float]:
        """Return the greatest age of each minute in seconds, as ``MinuteSeries.values`` does."""
        with self._lock:
            return self._series.values(self._catch_up())

    def _catch_up(self) -> float:
        """Fill in the minutes since the last note, and return the time."""
        now_s = self._clock.monotonic()
        if self._oldest_at is not None:
            first = max(self._noted_s, now_s - MINUTES * MINUTE_S) // MINUTE_S
            for minute in range(int(first), int(now_s // MINUTE_S) + 1):
                # Of a minute that has passed, its last moment.
                at_s = min(now_s, (minute + 1) * MINUTE_S - 1e-3)
                self._series.raise_to(at_s, at_s - self._since_s)
        self._noted_s = now_s
        return now_s
