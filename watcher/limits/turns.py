"""Turns of threads that have much to compute: one at a time, whoever has computed least first.

Threads of Python share one interpreter lock. A thread gives it away whenever it asks the kernel,
dozens of times for a single event, and of a hundred threads that want it each has to wait for all
others until it has it back. So they wait here instead, and the one whose turn it is has the lock
nearly alone. It pauses every few milliseconds for a thread that has computed less: a thread with
one event to report waits for no other that has thousands.

A turn is for what computes. Before something that may take long without, such as a disk or a store,
it is released; where that is not known before, it is over after ``LEASE_S``. The next pause takes
it again.
"""

from __future__ import annotations

import heapq
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.clock import Clock

LEASE_S = 0.1
"""Seconds without a pause after which a turn is over, many times what lies between two."""

IDLE_S = 0.02
"""Seconds without a turn after which what a thread has computed before no longer counts: it had
nothing to do."""

SHARE = 8
"""While others wait for their turn, a thread does this part of its usual work between pauses."""

_CURRENT: ContextVar[Turn | None] = ContextVar("turn", default=None)


def pause() -> None:
    """Let a thread go first that waits and has computed less; outside of turns, do nothing."""
    if (turn := _CURRENT.get()) is not None:
        turn.pause()


def release() -> None:
    """Let others compute until the next pause, before something that takes long for itself."""
    if (turn := _CURRENT.get()) is not None:
        turn.end()


def portion(size: int) -> int:
    """Return how much to do until the next pause: less than usual while other threads wait.

    Args:
        size: What is usual.
    """
    turn = _CURRENT.get()
    return size if turn is None or not turn.is_wanted else max(1, size // SHARE)


@dataclass(order=True, slots=True)
class _Waiter:
    """A turn that waits, and the lock that is released when it begins; the least comes first."""

    used_s: float
    number: int
    turn: Turn = field(compare=False)
    gate: threading.Lock = field(compare=False)


class Turns:
    """The turns of the threads of one process.

    Args:
        clock: Measures what threads compute, and how long turns take.
        lease_s: See ``LEASE_S``.
    """

    def __init__(self, clock: Clock, lease_s: float = LEASE_S) -> None:
        self.clock = clock
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._holder: Turn | None = None
        self._waiters: list[_Waiter] = []
        self._numbers = count()
        self._paused_s = 0.0

    def make(self) -> Turn:
        """Return the turn of a thread, which it takes again and again."""
        return Turn(self)

    # For a turn

    @property
    def is_wanted(self) -> bool:
        """Whether a thread waits for its turn."""
        return bool(self._waiters)

    def take(self, turn: Turn, used_s: float) -> None:
        """Wait until it is the turn of a thread that has used some processor seconds."""
        with self._lock:
            if self._holder is None:
                self._give(turn)
                return
            waiter = _Waiter(used_s, next(self._numbers), turn, threading.Lock())
            waiter.gate.acquire()
            heapq.heappush(self._waiters, waiter)
        while not waiter.gate.acquire(timeout=self._lease_s):
            with self._lock:
                if self.clock.monotonic() - self._paused_s >= self._lease_s:
                    self._pass_on()

    def keep(self, turn: Turn, used_s: float) -> bool:
        """Return whether a thread still has the turn, and none waits that has used less."""
        with self._lock:
            if self._holder is not turn:
                return False
            self._paused_s = self.clock.monotonic()
            return not self._waiters or self._waiters[0].used_s >= used_s

    def leave(self, turn: Turn) -> None:
        """End the turn of a thread, unless it is over already."""
        with self._lock:
            if self._holder is turn:
                self._pass_on()

    def _pass_on(self) -> None:
        self._holder = None
        if self._waiters:
            first = heapq.heappop(self._waiters)
            self._give(first.turn)
            first.gate.release()

    def _give(self, turn: Turn) -> None:
        self._holder, self._paused_s = turn, self.clock.monotonic()


class Turn:
    """The turns of one thread, one after the other; see the functions of this module."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._clock = turns.clock
        self._used_s = 0.0
        self._begun_s: float | None = None
        self._ended_s = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn in a block."""
        if self._clock.monotonic() - self._ended_s > IDLE_S:
            self._used_s = 0.0
        self._begin()
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)
            self.end()

    @property
    def is_wanted(self) -> bool:
        """Whether another thread waits for its turn."""
        return self._turns.is_wanted

    def pause(self) -> None:
        """See the function."""
        if not self._turns.keep(self, self._computed_s()):
            self.end()
            self._begin()

    def end(self) -> None:
        """Let others compute."""
        self._used_s, self._begun_s = self._computed_s(), None
        self._ended_s = self._clock.monotonic()
        self._turns.leave(self)

    def _begin(self) -> None:
        self._turns.take(self, self._used_s)
        self._begun_s = self._clock.thread_cpu()

    def _computed_s(self) -> float:
        begun_s = self._begun_s
        return self._used_s + (0.0 if begun_s is None else self._clock.thread_cpu() - begun_s)
