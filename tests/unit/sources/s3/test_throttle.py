"""As many requests run at once as are of use and as the store allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clock import FakeClock
from watcher.sources.s3.throttle import RETRY_AFTER_MAX_S, ROUND_S, ConcurrencyLimit

MOST = 16
LONG_S = 1000.0
"""Longer than any round and any wait."""


class Bench:
    def __init__(self, most: int = MOST, limit: int = 1) -> None:
        self.clock = FakeClock(now_s=0.0)
        self.limit = ConcurrencyLimit(most, self.clock)
        self.on_response(limit - 1)

    def on_response(self, responses: int, *, was_waiting: bool = True) -> list[int]:
        """Take this many responses and return the limit after each."""
        return [self._take(was_waiting=was_waiting) for _ in range(responses)]

    def slow_down(self, *, at_s: float, retry_after_s: float = 0.0) -> int:
        """Have the store throttle at a time and return the limit."""
        self.clock.now_s = at_s
        self.limit.slow_down(retry_after_s)
        return self.limit.limit

    def _take(self, *, was_waiting: bool) -> int:
        self.limit.on_response(was_waiting=was_waiting)
        return self.limit.limit


@pytest.mark.parametrize(("most", "limits"), [(1, [1, 1, 1]), (2, [2, 2, 2]), (4, [2, 3, 4, 4, 4])])
def test_it_grows_while_responses_are_awaited(most: int, limits: list[int]) -> None:
    """It begins with one request and adds one for each response that was waited for."""
    bench = Bench(most)
    assert (bench.limit.limit, bench.limit.wait_s) == (1, 0.0)
    assert bench.on_response(len(limits)) == limits


def test_it_shrinks_while_responses_are_ready() -> None:
    """Each response that was ready takes one request away; the next awaited one brings it back."""
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
    """What runs, not what may run, is halved each time that the store throttles, once a round."""
    bench = Bench(limit=limit)
    assert [bench.slow_down(at_s=at_s) for at_s in times_s] == limits


def test_it_recovers_by_one_per_round() -> None:
    """After throttling, the limit grows by one for every full round of responses."""
    bench = Bench(8, limit=8)
    assert bench.slow_down(at_s=0.0) == 4
    assert bench.on_response(4) == [4, 4, 4, 5]
    assert bench.on_response(5) == [5, 5, 5, 5, 6]
    assert bench.on_response(6 + 7 + 8)[-1] == 8
    assert bench.on_response(20) == [8] * 20


def test_a_recovery_begins_anew() -> None:
    """Responses before the throttling do not count towards its recovery; later ones do."""
    bench = Bench(8, limit=8)
    bench.slow_down(at_s=0.0)
    assert bench.on_response(3) == [4, 4, 4]
    assert bench.slow_down(at_s=ROUND_S) == 4
    assert bench.slow_down(at_s=2 * ROUND_S) == 2
    assert bench.on_response(2) == [2, 3]


def test_recovery_stays_below_what_is_of_use() -> None:
    """A store that has recovered gets no more requests than are of use."""
    bench = Bench(limit=4)
    bench.slow_down(at_s=0.0)
    bench.on_response(100, was_waiting=False)
    assert bench.limit.limit == 1
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
    """No request is sent for the time that the store names, up to a cap."""
    bench = Bench()
    bench.slow_down(at_s=8.0, retry_after_s=retry_after_s)
    assert bench.limit.wait_s == wait_s
    for share in (0.25, 0.75, 1.0):
        bench.clock.now_s = 8.0 + wait_s * share
        assert bench.limit.wait_s == wait_s * (1 - share)
    bench.clock.now_s = LONG_S
    assert bench.limit.wait_s == 0.0


# Quarters of a second are exact numbers, and so are their sums.
seconds = st.integers(0, 300).map(lambda quarters: quarters / 4)
steps = st.lists(st.one_of(st.booleans(), st.tuples(seconds, seconds)), max_size=60)


@given(most=st.integers(1, 20), steps=steps)
def test_it_stays_within_its_bounds(most: int, steps: list[bool | tuple[float, float]]) -> None:
    """In any history one request may run, never more than the maximum, and no wait is too long."""
    bench = Bench(most)
    limit = bench.limit
    slowed_s = -LONG_S
    for step in steps:
        former, former_wait_s = limit.limit, limit.wait_s
        if isinstance(step, bool):
            limit.on_response(was_waiting=step)
            assert former - (not step) <= limit.limit <= former + 1
            assert limit.wait_s == former_wait_s
        else:
            passed_s, retry_after_s = step
            bench.clock.now_s += passed_s
            assert (limit.limit, limit.wait_s) == (former, max(0.0, former_wait_s - passed_s))
            is_new_round = bench.clock.now_s - slowed_s > ROUND_S
            slowed_s = bench.clock.now_s if is_new_round else slowed_s
            limit.slow_down(retry_after_s)
            assert limit.limit == (max(1, former // 2) if is_new_round else former)
            assert limit.wait_s == max(
                former_wait_s - passed_s, min(retry_after_s, RETRY_AFTER_MAX_S)
            )
        assert 1 <= limit.limit <= most
        assert 0.0 <= limit.wait_s <= RETRY_AFTER_MAX_S
