"""When the next scan is due; time is a number."""

from __future__ import annotations

import pytest

from watcher.watch.schedule import BACKOFF_MAX_S, BACKOFF_MIN_S, JITTER, Schedule

NOW_S = 1000.0
INTERVAL_S = 30.0
TRIES = 50


@pytest.fixture
def schedule() -> Schedule:
    """Return the schedule of a place that has been read, and whose next scan is far away."""
    schedule = Schedule()
    assert schedule.is_due(0.0)
    schedule.succeed(NOW_S, INTERVAL_S)
    return schedule


def test_the_next_scan_comes_after_the_interval_or_so(schedule: Schedule) -> None:
    """Watches that are read together are not read together for ever."""
    due_s = set()
    for _ in range(TRIES):
        schedule.succeed(NOW_S, INTERVAL_S)
        assert abs(schedule.due_s - NOW_S - INTERVAL_S) <= INTERVAL_S * JITTER
        due_s.add(schedule.due_s)
    assert len(due_s) > 1
    assert not schedule.is_due(NOW_S)
    assert schedule.is_due(NOW_S + 2 * INTERVAL_S)


def test_a_reason_is_told_once(schedule: Schedule) -> None:
    """A scan that is asked for comes at once and out of turn; one that has no reason of its own keeps that of the one before it."""
    schedule.request("notifications were lost")
    schedule.request()
    assert schedule.is_due(NOW_S)
    assert [schedule.begin(), schedule.begin()] == ["notifications were lost", ""]


def test_a_scan_is_expedited_and_never_put_off(schedule: Schedule) -> None:
    """An interval that has become shorter counts from now; one that is longer than what is left does not."""
    schedule.expedite(NOW_S, 1.0)
    schedule.expedite(NOW_S, 2.0)
    assert schedule.due_s == NOW_S + 1.0


def test_what_fails_is_tried_ever_more_rarely(schedule: Schedule) -> None:
    """The time between two tries doubles up to a minute, is never the same for all, and is short again after a success."""
    backoff_s = BACKOFF_MIN_S
    for _ in range(TRIES):
        schedule.fail(NOW_S)
        assert backoff_s / 2 <= schedule.due_s - NOW_S <= backoff_s
        backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
    assert schedule.backoff_s == BACKOFF_MAX_S
    schedule.succeed(NOW_S, INTERVAL_S)
    assert schedule.backoff_s == BACKOFF_MIN_S
