"""What operators see of an engine of state: how long it writes, what fails, when it answered."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watcher.clock import Clock

STEP_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds in seconds of the buckets of steps: from a fast local disk to a database away."""


class Failure(StrEnum):
    """Why an operation on the state has failed; the values are those of the metric."""

    AWAY = "away"
    """The database could not be reached, or its connection was lost."""
    BUSY = "busy"
    """No connection became free."""
    FAILED = "failed"
    """The database or the state file could not do it."""


class StateMeter:
    """Counts what one engine does. Any thread may use it.

    Args:
        clock: Measures durations.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._steps = Histogram(STEP_BOUNDS_S)
        self._failures: Counter[Failure] = Counter()
        self._answered_s = clock.monotonic()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Measure a step, which is durable at the end of the block; one that raises is none."""
        begun_s = self._clock.monotonic()
        yield
        now_s = self._answered_s = self._clock.monotonic()
        with self._lock:
            self._steps.observe(now_s - begun_s)

    def answer(self) -> None:
        """Note that the state has answered."""
        self._answered_s = self._clock.monotonic()

    def fail(self, failure: Failure) -> None:
        """Count an operation that has failed, even if it is repeated."""
        with self._lock:
            self._failures[failure] += 1

    @property
    def steps(self) -> Histogram:
        """The steps that were written, by the time that they took."""
        steps = Histogram(STEP_BOUNDS_S)
        with self._lock:
            steps.add(self._steps)
        return steps

    @property
    def failures(self) -> Mapping[Failure, int]:
        """How many operations have failed, by why."""
        with self._lock:
            return dict.fromkeys(Failure, 0) | self._failures

    def unanswered_s(self) -> float:
        """Return the seconds since the state last answered, or since the start of the engine."""
        return self._clock.monotonic() - self._answered_s
