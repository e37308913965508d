"""For how long the kernel has not answered: nested questions, parts of answers, pauses between."""

from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from watcher.sources.directory.unanswered import Unanswered


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def unanswered(clock: FakeClock) -> Unanswered:
    return Unanswered(clock)


def test_a_question_counts_from_its_beginning_or_the_last_part_of_its_answer(
    clock: FakeClock, unanswered: Unanswered
) -> None:
    clock.advance(5)
    assert unanswered.seconds == 0
    with unanswered.asking():
        clock.advance(5)
        assert unanswered.seconds == 5
        unanswered.answered()
        clock.advance(2)
        with unanswered.asking():
            clock.advance(3)
            assert unanswered.seconds == 3
        clock.advance(4)
        assert unanswered.seconds == 4
    clock.advance(5)
    unanswered.answered()
    assert unanswered.seconds == 0


def test_a_question_that_fails_is_answered(clock: FakeClock, unanswered: Unanswered) -> None:
    with pytest.raises(OSError, match="gone"), unanswered.asking():
        raise OSError("gone")
    clock.advance(5)
    assert unanswered.seconds == 0


def test_what_happens_between_two_items_is_no_question(
    clock: FakeClock, unanswered: Unanswered
) -> None:
    """Such as a commit, which waits as long as the database is away."""
    asked_s: list[float] = []

    def read() -> Iterator[str]:
        for item in ("a", "b"):
            clock.advance(2)
            asked_s.append(unanswered.seconds)
            yield item

    for _item in unanswered.asking_each(read()):
        clock.advance(100)
        asked_s.append(unanswered.seconds)
    assert asked_s == [2, 0, 2, 0]
    assert unanswered.seconds == 0
