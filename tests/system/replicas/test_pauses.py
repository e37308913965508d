"""The owner is paused and comes back after another one has taken over, or before that."""

import time
from random import Random

import pytest

from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import LEASE_S

SHORT_S, LONG_S = 1.0, 20.0
"""Seconds of the shortest and the longest pause."""


LARGE_EVERY = 2
"""Rounds of which one pauses the owner in a large step."""

SLOW_S = 90
"""Seconds for a round and its share of the judge, several times what they take."""


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_pauses(run_course: RunCourse, rounds: int) -> None:
    """The successor writes what it finds; the former owner, back again, writes nothing more."""
    chance = Random(3)
    with run_course() as course:
        for number in range(rounds):
            if number % LARGE_EVERY == 0:
                course.change_much()
            time.sleep(chance.uniform(0, 1))
            start_s, pause_s = time.monotonic(), chance.uniform(SHORT_S, LONG_S)
            former = course.take_over(lambda owner: owner.pause())
            time.sleep(max(0, start_s + pause_s - time.monotonic()))
            former.resume()
            former.wait_standing_by()
            former.clients.start()
            course.go_on()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_pauses_about_as_long_as_the_lease(run_course: RunCourse, rounds: int) -> None:
    """Whoever owns the state afterwards, there is one owner, and one standby."""
    chance = Random(4)
    with run_course() as course:
        for _ in range(max(1, rounds // 4)):
            owner = course.owner
            owner.pause()
            time.sleep(chance.uniform(SHORT_S, 1.5 * LEASE_S))
            owner.resume()
            course.go_on()
            course.owner = course.replicas.wait_owner()
