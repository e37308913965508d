"""The owner is killed again and again, at any moment, while files change."""

import time
from random import Random

import pytest

from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import Course

LIFE_S = 1.0
"""Most seconds that an owner lives, once it has reported a change."""

LARGE_EVERY = 4
"""Rounds of which one kills the owner while it writes a large step."""

SLOW_S = 60
"""Seconds for a round and its share of the judge, many times what they take."""


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_kills(run_course: RunCourse, rounds: int) -> None:
    """A standby takes over each time; nothing is lost, and nobody else writes."""
    chance = Random(1)
    with run_course() as course:
        for number in range(rounds):
            live(course, chance, is_large=number % LARGE_EVERY == 1)
            course.take_over(lambda owner: owner.kill()).start()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_kills_among_three(run_course: RunCourse, rounds: int) -> None:
    """Of two standbys one takes over, and the other one stays what it is."""
    chance = Random(2)
    with run_course(3) as course:
        for number in range(max(1, rounds // 4)):
            live(course, chance, is_large=number % LARGE_EVERY == 1)
            former = course.take_over(lambda owner: owner.kill())
            for other in course.replicas.others(course.owner):
                assert other is former or not other.is_listening()
            former.start()


def live(course: Course, chance: Random, *, is_large: bool) -> None:
    """Let the owner live until some moment, or into the middle of a large step."""
    for replica in course.replicas.others(course.owner):
        replica.wait_standing_by()
    if is_large:
        course.change_much()
    time.sleep(chance.uniform(0, LIFE_S))
