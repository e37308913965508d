"""Turns of threads that have much to compute: one at a time, the one that has had least goes first.

Threads of Python share one interpreter lock. A thread gives it away whenever it asks the kernel,
dozens of times for a single event, and of a hundred threads that want it each has to wait for all
others until it has it back. So they wait here instead, and the one whose turn it is has the lock
nearly alone. It pauses every few milliseconds for a thread that has had less: a thread with one
event to report waits for no other that has thousands.

Turns are counted by the processor time that they take: how long they last is for others to say, who
have the interpreter lock meanwhile. A thread that comes is given a head start and no more, so that
one that has been busy for an hour does not wait until others have been, too.

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

HEAD_START_S = 0.01
"""Seconds of turns that a thread which comes may have before all that are busy: a few events. It is
also how long each of them can keep a busy one waiting."""

SLICE_S = 0.002
"""Seconds of turns that a thread may have beyond one that waits, so that two that are equally busy
do not change places all the time."""

SHARE = 4
"""While others wait for their turn, a thread does this part of its usual work between pauses."""

NOTHING_S = float("-inf")
"""Seconds of turns that a thread has had which comes, before it is given its head start."""

_CURRENT: ContextVar[Turn | None] = ContextVar("turn", default=None)


def pause() -> None:
    """Let a thread go first that waits and has had less; outside of turns, do nothing."""
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
    """A turn that waits; the least comes first.

    Attributes:
        used_s: Seconds of turns that its thread has had.
        number: Of equal ones, the last that came goes first: many that come at once have most
            to do, and what is left to them is hardly less for it.
        turn: The turn.
        is_watching: Its thread looks every ``lease_s`` whether the present turn is over. One of all
            does: a thousand that did would take half of the interpreter's time.
        has_begun: It waits no longer.
        gate: Held by its thread, and released to wake it.
    """

    used_s: float
    number: int
    turn: Turn = field(compare=False)
    is_watching: bool = field(compare=False)
    has_begun: bool = field(default=False, compare=False)
    gate: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def wake(self) -> None:
        """Have its thread look at what has changed; called under the lock of all turns."""
        if self.gate.locked():
            self.gate.release()


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
        self._numbers = count(0, -1)
        self._paused_s = 0.0
        # What the busy thread that has had least has had; never falls.
        self._level_s = 0.0

    def make(self) -> Turn:
        """Return the turn of a thread, which it takes again and again."""
        return Turn(self)

    # For a turn

    @property
    def is_wanted(self) -> bool:
        """Whether a thread waits for its turn."""
        return bool(self._waiters)

    def take(self, turn: Turn, used_s: float) -> float:
        """Wait until it is the turn of a thread.

        Args:
            turn: The turn.
            used_s: Seconds of turns that the thread has had.

        Returns:
            What counts of them: not less than all others have had, but for the head start.
        """
        with self._lock:
            used_s = max(used_s, self._level_s - HEAD_START_S)
            if self._holder is None:
                self._give(turn, used_s)
                return used_s
            waiter = _Waiter(used_s, next(self._numbers), turn, is_watching=not self._waiters)
            waiter.gate.acquire()
            heapq.heappush(self._waiters, waiter)
        while True:
            is_woken = waiter.gate.acquire(timeout=self._lease_s if waiter.is_watching else -1)
            with self._lock:
                if waiter.has_begun:
                    return used_s
                if not is_woken and self.clock.monotonic() - self._paused_s >= self._lease_s:
                    self._pass_on()

    def keep(self, turn: Turn, used_s: float) -> bool:
        """Return whether a thread still has the turn, and none waits that has had much less."""
        with self._lock:
            if self._holder is not turn:
                return False
            self._paused_s = self.clock.monotonic()
            least_s = min(used_s, self._waiters[0].used_s) if self._waiters else used_s
            self._level_s = max(self._level_s, least_s)
            return used_s <= least_s + SLICE_S

    def leave(self, turn: Turn) -> None:
        """End the turn of a thread, unless it is over already."""
        with self._lock:
            if self._holder is turn:
                self._pass_on()

    def _pass_on(self) -> None:
        self._holder = None
        if self._waiters:
            first = heapq.heappop(self._waiters)
            self._give(first.turn, first.used_s)
            first.has_begun = True
            first.wake()
            if first.is_watching and self._waiters:
                # One of those that are likely to wait for long.
                self._waiters[-1].is_watching = True
                self._waiters[-1].wake()

    def _give(self, turn: Turn, used_s: float) -> None:
        self._holder, self._paused_s = turn, self.clock.monotonic()
        self._level_s = max(self._level_s, used_s)


class Turn:
    """The turns of one thread, one after the other; see the functions of this module."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._clock = turns.clock
        self._used_s = NOTHING_S
        self._since_s: float | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn in a block, at whose end there is nothing more to do for now."""
        self._used_s = NOTHING_S
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
        self._count()
        if not self._turns.keep(self, self._used_s):
            self.end()
            self._begin()

    def end(self) -> None:
        """Let others compute."""
        self._count()
        self._since_s = None
        self._turns.leave(self)

    def _begin(self) -> None:
        self._used_s = self._turns.take(self, self._used_s)
        self._since_s = self._clock.thread_cpu()

    def _count(self) -> None:
        """Count what the thread has computed since the last pause."""
        if self._since_s is not None:
            now_s = self._clock.thread_cpu()
            self._used_s += now_s - self._since_s
            self._since_s = now_s
