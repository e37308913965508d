"""Whose turn it is to compute, of threads that wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from support.client import wait_until
from support.clock import FakeClock
from support.turn_taker import TurnTaker
from watcher.clock import Clock
from watcher.limits.turns import (
    HEAD_START_S,
    LEASE_S,
    SHARE,
    SLICE_S,
    Turns,
    pause,
    portion,
    release,
)

DEADLINE_S = 60.0

PORTION_S = 0.9 * LEASE_S
"""Seconds that a thread computes between two pauses: nearly all that it may."""

Start = Callable[[], TurnTaker]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def turns(clock: FakeClock) -> Turns:
    return Turns(clock)


@pytest.fixture
def start(clock: FakeClock, turns: Turns) -> Iterator[Start]:
    """Return a function that starts a thread; in the end all leave, whatever they wait for."""
    started: list[TurnTaker] = []

    def start() -> TurnTaker:
        started.append(TurnTaker(turns))
        return started[-1]

    yield start
    ends = [taker.close() for taker in started]

    def have_ended() -> bool:
        clock.advance(LEASE_S)
        return all(end.done() for end in ends)

    wait_until(have_ended, "all threads have left")


def finish(*steps: Future[object]) -> None:
    """Wait until steps are done."""
    for step in steps:
        step.result(DEADLINE_S)


def await_waiting(turns: Turns, count: int = 1) -> None:
    """Wait until this number of threads wait for their turn."""
    wait_until(lambda: len(turns._waiters) == count, f"{count} wait")


def compute(taker: TurnTaker, clock: FakeClock, portions: int) -> None:
    """Have a thread compute in its turn, which no other one takes from it."""
    for _ in range(portions):
        clock.advance(PORTION_S)
        finish(taker.do(pause))


def give_way(busy: TurnTaker, other: TurnTaker, turns: Turns) -> Future[object]:
    """Have a thread come while another one computes, which pauses for it; return that pause."""
    begun = other.begin()
    await_waiting(turns)
    paused = busy.do(pause)
    finish(begun)
    return paused


def test_one_thread_computes_at_a_time() -> None:
    """Threads that always want their turn never have it together, and each has all its turns."""
    turns, computing, most, passes = Turns(Clock(), DEADLINE_S), [0], [0], [0]

    def compute_often() -> None:
        with turns.make().taken():
            for _ in range(200):
                computing[0] += 1
                most[0] = max(most[0], computing[0])
                # The system call gives the interpreter lock away.
                threading.Event().wait(0)
                passes[0] += 1
                computing[0] -= 1
                pause()

    threads = [threading.Thread(target=compute_often, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert (most, passes) == ([1], [8 * 200])


def test_a_thread_that_has_had_less_goes_first_at_a_pause(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """The one that paused goes on once the other has ended."""
    busy, other = start(), start()
    finish(busy.begin())
    clock.advance(PORTION_S)
    begun = other.begin()
    await_waiting(turns)
    assert not begun.done()
    paused = busy.do(pause)
    finish(begun)
    assert not paused.done()
    finish(other.end(), paused)


def test_a_thread_that_has_had_more_waits_on_at_a_pause(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """It has its turn when the one that paused has ended."""
    busy, other = start(), start()
    finish(busy.begin())
    compute(busy, clock, 1)
    paused = give_way(busy, other, turns)
    clock.advance(PORTION_S / 10)
    finish(other.do(pause))
    assert not paused.done()
    finish(other.end(), paused)


def test_another_thread_computes_after_a_release(turns: Turns, start: Start) -> None:
    """The next pause takes the turn again."""
    first, second = start(), start()
    finish(first.begin())
    begun = second.begin()
    await_waiting(turns)
    finish(first.do(release), begun)
    paused = first.do(pause)
    await_waiting(turns)
    assert not paused.done()
    finish(second.end(), paused)


def test_a_turn_without_a_pause_is_over_after_a_time(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """A waiting thread has the next one; the thread that lost it waits for it at its pause."""
    blocked, other = start(), start()
    finish(blocked.begin())
    begun = other.begin()
    await_waiting(turns)
    clock.advance(LEASE_S)
    finish(begun)
    paused = blocked.do(pause)
    await_waiting(turns)
    assert not paused.done()
    finish(other.end(), paused)


def test_each_turn_is_over_after_a_time_however_many_wait(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """One of those that wait looks at the time, and another one once it has its turn itself."""
    takers = [start() for _ in range(5)]
    finish(takers[0].begin())
    begun = [taker.begin() for taker in takers[1:]]
    await_waiting(turns, 4)
    for left in (3, 2, 1, 0):
        clock.advance(LEASE_S)
        await_waiting(turns, left)
    finish(*begun)


def test_a_thread_that_blocks_is_not_charged_for_it(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """After an hour in which its place has not answered it is not an hour behind."""
    blocked, other = start(), start()
    finish(blocked.begin())
    begun = other.begin()
    await_waiting(turns)
    clock.blocked_s += 3600
    clock.advance(3600)
    finish(begun)
    paused = blocked.do(pause)
    await_waiting(turns)
    clock.advance(PORTION_S)
    yielded = other.do(pause)
    finish(paused)
    assert not yielded.done()


def test_a_thread_that_comes_has_a_head_start_and_no_more(
    clock: FakeClock, turns: Turns, start: Start
) -> None:
    """One that has been busy for long does not wait until the other one has been, too."""
    busy, other = start(), start()
    finish(busy.begin())
    compute(busy, clock, 100)
    paused = give_way(busy, other, turns)
    clock.advance(HEAD_START_S * 0.9)
    finish(other.do(pause))
    assert not paused.done()
    clock.advance(HEAD_START_S * 0.2 + SLICE_S)
    yielded = other.do(pause)
    finish(paused)
    assert not yielded.done()


def test_a_turn_that_has_ended_does_not_count(clock: FakeClock, turns: Turns, start: Start) -> None:
    """A thread that had much to do before goes before one that is busy now."""
    former, busy = start(), start()
    finish(former.begin())
    clock.advance(PORTION_S)
    finish(former.end(), busy.begin())
    clock.advance(PORTION_S / 10)
    paused = give_way(busy, former, turns)
    assert not paused.done()


def test_a_portion_is_smaller_while_another_thread_waits(turns: Turns, start: Start) -> None:
    """It is never nothing."""
    first, second = start(), start()
    finish(first.begin())
    assert first.do(lambda: portion(800)).result(DEADLINE_S) == 800
    begun = second.begin()
    await_waiting(turns)
    assert first.do(lambda: portion(800)).result(DEADLINE_S) == 800 // SHARE
    assert first.do(lambda: portion(1)).result(DEADLINE_S) == 1
    finish(first.end(), begun)
    assert second.do(lambda: portion(800)).result(DEADLINE_S) == 800


def test_an_exception_ends_the_turn(turns: Turns, start: Start) -> None:
    """Another thread has its turn, and the one that failed does not take it again by pausing."""
    failing, other = start(), start()
    turn = turns.make()

    def fail() -> None:
        with turn.taken():
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        failing.do(fail).result(DEADLINE_S)
    finish(other.begin(), failing.do(pause))


def test_outside_of_turns_nothing_waits(start: Start) -> None:
    """Threads that have no turn pause and release while another one has its own."""
    finish(start().begin())
    pause()
    release()
    assert portion(7) == 7
