"""The due times of scans and retries."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from watcher.sources.cost import JITTER
from watcher.watch.schedule import BACKOFF_MAX_S, BACKOFF_MIN_S, Schedule

INTERVAL_S = 30.0
TRIES = 50


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def schedule(clock: FakeClock) -> Schedule:
    """Return a schedule whose first scan, due at once, has succeeded."""
    schedule = Schedule(clock)
    assert schedule.is_due()
    schedule.succeed(INTERVAL_S)
    return schedule


def test_the_next_scan_is_due_after_the_interval_with_jitter(
    schedule: Schedule, clock: FakeClock
) -> None:
    due_s = set()
    for _ in range(TRIES):
        schedule.succeed(INTERVAL_S)
        assert abs(schedule.due_s - clock.monotonic() - INTERVAL_S) <= INTERVAL_S * JITTER
        due_s.add(schedule.due_s)
    assert len(due_s) > 1
    assert not schedule.is_due()
    clock.advance(2 * INTERVAL_S)
    assert schedule.is_due()


def test_a_requested_scan_is_due_at_once_and_returns_its_reason_once(schedule: Schedule) -> None:
    schedule.request("notifications were lost")
    schedule.request()
    assert schedule.is_due()
    assert [schedule.begin(), schedule.begin()] == ["notifications were lost", ""]


def test_a_requested_scan_is_not_due_before_it_may_begin(
    schedule: Schedule, clock: FakeClock
) -> None:
    schedule.request("the journal was full", due_s=clock.monotonic() + 1.0)
    assert not schedule.is_due()
    clock.advance(1.0)
    assert schedule.is_due()


def test_a_scan_is_expedited_and_never_put_off(schedule: Schedule, clock: FakeClock) -> None:
    schedule.succeed(INTERVAL_S)
    due_s = clock.monotonic() + 1.0
    schedule.expedite(due_s)
    schedule.expedite(due_s + 1.0)
    assert schedule.due_s == due_s


def test_retries_back_off_with_jitter_until_a_success(schedule: Schedule, clock: FakeClock) -> None:
    backoff_s = BACKOFF_MIN_S
    for _ in range(TRIES):
        wait_s = schedule.fail()
        assert schedule.due_s == clock.monotonic() + wait_s
        assert backoff_s / 2 <= wait_s <= backoff_s
        backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
    assert schedule.backoff_s == BACKOFF_MAX_S
    schedule.succeed(INTERVAL_S)
    assert schedule.backoff_s == BACKOFF_MIN_S


def test_a_pause_is_waited_for_where_it_is_longer_than_the_backoff(schedule: Schedule) -> None:
    assert schedule.fail(INTERVAL_S) == INTERVAL_S
    assert schedule.fail(BACKOFF_MIN_S / 2) >= BACKOFF_MIN_S
