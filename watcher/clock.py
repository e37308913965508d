"""The one clock. Whatever needs the time is given one, so that tests can set it."""

import time

NS_PER_S = 1_000_000_000


class Clock:
    """The time of this machine; made once by the composition root and passed down."""

    # Not a function of its own, which would take longer than the reading: streams read it for each
    # event.
    monotonic = staticmethod(time.monotonic)
    """Returns seconds that never go back, for intervals and deadlines."""

    def thread_cpu(self) -> float:
        """Return the processor seconds that the calling thread has used."""
        return time.thread_time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch, for payloads, state files and people."""
        return time.time_ns()

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self.wall_ns() / NS_PER_S
