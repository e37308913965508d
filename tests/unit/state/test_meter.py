"""What operators see of an engine of state."""

import pytest

from support.clock import FakeClock
from watcher.state.meter import STEP_BOUNDS_S, Failure, StateMeter


def test_steps_are_counted_by_their_duration() -> None:
    """Up to and including the bound of a bucket; one that has raised is none."""
    clock = FakeClock()
    meter = StateMeter(clock)
    for duration_s in (0.0, 0.25, 0.26, 60.0):
        with meter.step():
            clock.advance(duration_s)
    with pytest.raises(ZeroDivisionError), meter.step():
        clock.advance(1 / 0)
    counts = dict(zip([*STEP_BOUNDS_S, None], meter.steps.counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {
        STEP_BOUNDS_S[0]: 1,
        0.25: 1,
        0.5: 1,
        None: 1,
    }
    assert meter.steps.sum_s == pytest.approx(60.51)


def test_an_answer_ends_the_silence() -> None:
    """A step is an answer, too; a failure is none."""
    clock = FakeClock()
    meter = StateMeter(clock)
    clock.advance(7)
    meter.fail(Failure.AWAY)
    assert meter.unanswered_s() == 7
    meter.answer()
    assert meter.unanswered_s() == 0
    clock.advance(5)
    with meter.step():
        clock.advance(1)
    assert meter.unanswered_s() == 0


def test_failures_are_counted_by_kind() -> None:
    meter = StateMeter(FakeClock())
    for failure in (Failure.AWAY, Failure.AWAY, Failure.FAILED):
        meter.fail(failure)
    assert meter.failures == {Failure.AWAY: 2, Failure.BUSY: 0, Failure.FAILED: 1}
