"""A clock that stands still until a test moves it."""

import time

from watcher.clock import NS_PER_S, Clock


class FakeClock(Clock):
    """Starts at a fixed time; ``advance`` moves both its readings.

    Attributes:
        now_s: What ``monotonic`` returns.
        now_ns: What ``wall_ns`` returns.
    """

    def __init__(self, now_s: float = 1000.0, now_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        self.now_s = now_s
        self.now_ns = now_ns

    def monotonic(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.now_s += seconds
        self.now_ns += round(seconds * NS_PER_S)


class DiskClock(FakeClock):
    """A fake clock with the wall time of the disk, with which the times of files are compared.

    Attributes:
        ahead_s: Seconds by which the wall time is ahead of the disk's.
    """

    ahead_s = 0.0

    def wall_ns(self) -> int:
        """Return the present time."""
        return time.time_ns() + round(self.ahead_s * NS_PER_S)
