"""A clock that stands still until a test moves it."""

import time

from watcher.clock import NS_PER_S, Clock


class FakeClock(Clock):
    """A clock at a fixed time; ``advance`` moves its readings.

    Attributes:
        blocked_s: Seconds in which threads have waited; they have computed in all others.
    """

    def __init__(self, now_s: float = 1000.0, now_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        self.now_s = now_s
        self.now_ns = now_ns
        self.blocked_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def thread_cpu(self) -> float:
        return self.now_s - self.blocked_s

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def wall_ns(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.now_s += seconds
        self.now_ns += round(seconds * NS_PER_S)


class LeapingClock(Clock):
    """The real time, and how far a test has moved it."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class DiskClock(FakeClock):
    """A fake clock whose wall time is ahead of the disk's, with which times of files compare."""

    ahead_s = 0.0

    def wall_ns(self) -> int:
        """Return the present time."""
        return time.time_ns() + round(self.ahead_s * NS_PER_S)
