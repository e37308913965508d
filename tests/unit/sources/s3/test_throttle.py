"""Decides whether as many requests are on their way as keep us busy and as the store bears; time is a number here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.sources.s3.throttle import RETRY_AFTER_MAX_S, ROUND_S, ConcurrencyLimit

MOST = 16
LONG_S = 1000.0
"""Longer than any round and any wait."""


class Bench:
    """A throttle with a clock that stands still until it is set."""

    def __init__(self, most: int = MOST, limit: int = 1) -> None:
        self.now_s = 0.0
        self.throttle = ConcurrencyLimit(most, lambda: self.now_s)
        self.on_response(limit - 1)

    def on_response(self, answers: int, *, was_waiting: bool = True) -> list[int]:
        """Take so many answers and return the limit after each."""
        return [self._bear(was_waiting=was_waiting) for _ in range(answers)]

    def slow_down(self, *, at_s: float, retry_after_s: float = 0.0) -> int:
        """Have the store ask for less at a time and return the limit."""
        self.now_s = at_s
        self.throttle.slow_down(retry_after_s)
        return self.throttle.limit

    def _bear(self, *, was_waiting: bool) -> int:
        self.throttle.on_response(was_waiting=was_waiting)
        return self.throttle.limit


@pytest.mark.parametrize(
    ("most", "limits"),
    [(1, [1, 1, 1]), (2, [2, 2, 2]), (4, [2, 3, 4, 4, 4])],
)
def test_it_grows_while_answers_are_awaited(most: int, limits: list[int]) -> None:
    """It begins with one request and adds one for each answer that had to be waited for, up to the most that are allowed."""
    bench = Bench(most)
    assert (bench.throttle.limit, bench.throttle.wait_s) == (1, 0.0)
    assert bench.on_response(len(limits)) == limits


def test_it_shrinks_while_answers_lie_ready() -> None:
    """Each answer that was there already takes one request away, down to one; the next that is awaited brings one back."""
    bench = Bench(4)
    assert bench.on_response(100)[-1] == 4
    assert bench.on_response(5, was_waiting=False) == [3, 2, 1, 1, 1]
    assert bench.on_response(2) == [2, 3]


@pytest.mark.parametrize(
    ("limit", "times_s", "limits"),
    [
        (16, [0.0], [8]),
        (16, [0.0, 0.0, ROUND_S / 2, ROUND_S], [8, 8, 8, 8]),
        (16, [0.0, 2.0, 4.0, 6.0, 8.0], [8, 4, 2, 1, 1]),
        (16, [0.0, 0.75, 1.5, 2.25, 3.0], [8, 8, 4, 4, 2]),
        (5, [0.0, 2.0, 4.0], [2, 1, 1]),
        (1, [0.0, 2.0], [1, 1]),
    ],
)
def test_it_halves_once_per_round(limit: int, times_s: list[float], limits: list[int]) -> None:
    """What is on its way, not what might be, is halved at each time that the store asks for less, but once within a round."""
    bench = Bench(limit=limit)
    assert [bench.slow_down(at_s=at_s) for at_s in times_s] == limits


def test_it_recovers_by_one_per_round() -> None:
    """After the store asked for less, one request more is tried whenever as many answers came as may be on their way."""
    bench = Bench(8, limit=8)
    assert bench.slow_down(at_s=0.0) == 4
    assert bench.on_response(4) == [4, 4, 4, 5]
    assert bench.on_response(5) == [5, 5, 5, 5, 6]
    assert bench.on_response(6 + 7 + 8)[-1] == 8
    assert bench.on_response(20) == [8] * 20


def test_a_recovery_begins_anew() -> None:
    """Answers from before the store asked for less do not count towards the recovery after it; those of the same round do."""
    bench = Bench(8, limit=8)
    bench.slow_down(at_s=0.0)
    assert bench.on_response(3) == [4, 4, 4]
    assert bench.slow_down(at_s=ROUND_S) == 4
    assert bench.slow_down(at_s=2 * ROUND_S) == 2
    assert bench.on_response(2) == [2, 3]


def test_what_keeps_us_busy_is_heeded_after_a_recovery() -> None:
    """A store that bears more again gets no more than are of use."""
    bench = Bench(limit=4)
    bench.slow_down(at_s=0.0)
    bench.on_response(100, was_waiting=False)
    assert bench.throttle.limit == 1
    assert bench.on_response(3) == [2, 3, 4]


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"),
    [
        (0.0, 0.0),
        (0.5, 0.5),
        (RETRY_AFTER_MAX_S, RETRY_AFTER_MAX_S),
        (RETRY_AFTER_MAX_S + 1, RETRY_AFTER_MAX_S),
        (1e9, RETRY_AFTER_MAX_S),
    ],
)
def test_retry_after_is_waited_for(retry_after_s: float, wait_s: float) -> None:
    """As long as the store asks for, but no longer than the cap, no request is sent; the wait ends with time alone."""
    bench = Bench()
    bench.slow_down(at_s=8.0, retry_after_s=retry_after_s)
    assert bench.throttle.wait_s == wait_s
    for share in (0.25, 0.75, 1.0):
        bench.now_s = 8.0 + wait_s * share
        assert bench.throttle.wait_s == wait_s * (1 - share)
    bench.now_s = LONG_S
    assert bench.throttle.wait_s == 0.0


@pytest.mark.parametrize(
    ("told", "resume_s"),
    [
        ([(0.0, 4.0), (0.0, 8.0)], 8.0),
        ([(0.0, 8.0), (0.5, 4.0)], 8.0),
        ([(0.0, 8.0), (2.0, 0.0)], 8.0),
        ([(0.0, 8.0), (5.0, 8.0)], 13.0),
    ],
)
def test_the_longest_wait_counts(told: list[tuple[float, float]], resume_s: float) -> None:
    """Of several answers that ask for a wait the one that ends last decides, also within a round."""
    bench = Bench(limit=MOST)
    for at_s, retry_after_s in told:
        bench.slow_down(at_s=at_s, retry_after_s=retry_after_s)
    assert bench.now_s + bench.throttle.wait_s == resume_s


# Quarters of a second are exact numbers, and so are their sums.
seconds = st.integers(0, 300).map(lambda quarters: quarters / 4)
steps = st.lists(st.one_of(st.booleans(), st.tuples(seconds, seconds)), max_size=60)


@given(most=st.integers(1, 20), steps=steps)
def test_it_stays_within_its_bounds(most: int, steps: list[bool | tuple[float, float]]) -> None:
    """Whatever is told, one request may always be on its way, never more than allowed, no wait is too long, and no step is too large."""
    bench = Bench(most)
    throttle = bench.throttle
    slowed_s = -LONG_S
    for step in steps:
        former, former_wait_s = throttle.limit, throttle.wait_s
        if isinstance(step, bool):
            throttle.on_response(was_waiting=step)
            assert former - (not step) <= throttle.limit <= former + 1
            assert throttle.wait_s == former_wait_s
        else:
            passed_s, retry_after_s = step
            bench.now_s += passed_s
            assert (throttle.limit, throttle.wait_s) == (former, max(0.0, former_wait_s - passed_s))
            is_new_round = bench.now_s - slowed_s > ROUND_S
            slowed_s = bench.now_s if is_new_round else slowed_s
            throttle.slow_down(retry_after_s)
            assert throttle.limit == (max(1, former // 2) if is_new_round else former)
            assert throttle.wait_s == max(
                former_wait_s - passed_s, min(retry_after_s, RETRY_AFTER_MAX_S)
            )
        assert 1 <= throttle.limit <= most
        assert 0.0 <= throttle.wait_s <= RETRY_AFTER_MAX_S
