"""For how long the database has answered: an interruption begins it anew."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from watcher.state.postgres.continuity import GAP_S, Continuity


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def continuity(clock: FakeClock) -> Continuity:
    """Have answers for four seconds."""
    continuity = Continuity(clock)
    assert continuity.is_interrupted
    assert continuity.note(clock.monotonic())
    for _ in range(4):
        clock.advance(1.0)
        assert not continuity.note(clock.monotonic())
    return continuity


def test_it_lasts_while_answers_come(clock: FakeClock, continuity: Continuity) -> None:
    assert continuity.has_lasted(4.0)
    assert not continuity.has_lasted(4.1)
    clock.advance(GAP_S)
    assert continuity.away_s == GAP_S
    assert continuity.has_lasted(4.0 + GAP_S)
    clock.advance(0.1)
    assert not continuity.has_lasted(0.0)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_an_interruption_begins_it_anew(
    clock: FakeClock, continuity: Continuity, *, is_noticed: bool
) -> None:
    """One that was noticed, or a gap in which nothing was asked."""
    if is_noticed:
        continuity.interrupt()
        assert continuity.is_interrupted
    else:
        clock.advance(GAP_S + 0.1)
    assert not continuity.has_lasted(0.0)
    assert continuity.note(clock.monotonic())
    assert continuity.has_lasted(0.0)
    assert not continuity.has_lasted(1.0)


def test_an_answer_counts_from_when_it_was_asked_for(
    clock: FakeClock, continuity: Continuity
) -> None:
    asked_s = clock.monotonic()
    clock.advance(2.0)
    continuity.note(asked_s)
    assert continuity.away_s == 2.0
