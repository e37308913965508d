"""A server is paused and comes back after others have taken its watches, or before that."""

import time
from random import Random

import pytest

from support.replicas import Replica
from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import LEASE_S, RENEW_S

SHORT_S, LONG_S = 1.0, 20.0
"""Seconds of the shortest and the longest pause."""


AGAIN = 0.3
"""Share of pauses that are followed by another one at once."""

LARGE_EVERY = 2
"""Rounds of which one pauses the server in a large step."""

SLOW_S = 90
"""Seconds for a round and its share of the judge, several times what they take."""


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_pauses(run_course: RunCourse, rounds: int) -> None:
    """Others write what they find; the former owner, back again, serves, and writes none of it."""
    chance = Random(3)
    with run_course() as course:
        for number in range(rounds):
            if number % LARGE_EVERY == 0:
                course.change_much()
            time.sleep(chance.uniform(0, 1))
            start_s, pause_s = time.monotonic(), chance.uniform(SHORT_S, LONG_S)
            victim = course.owner(chance)
            course.lose(victim, Replica.pause)
            time.sleep(max(0, start_s + pause_s - time.monotonic()))
            victim.resume()
            victim.wait_ready().clients.start()
            course.go_on()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_pauses_about_as_long_as_the_lease(run_course: RunCourse, rounds: int) -> None:
    """Each watch has one owner afterwards, the former or another, and streams have everything."""
    chance = Random(4)
    with run_course() as course:
        for _ in range(max(1, rounds // 4)):
            victim = course.owner(chance)
            with course.gap():
                victim.pause()
                time.sleep(chance.uniform(SHORT_S, 1.5 * LEASE_S))
                victim.resume()
                course.go_on()
            victim.wait_ready()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_pauses_that_overlap(run_course: RunCourse, rounds: int) -> None:
    """Of three servers two are paused, some of them again as soon as they have come back."""
    chance = Random(5)
    with run_course() as course:
        for number in range(max(1, rounds // 4)):
            if number % LARGE_EVERY == 0:
                course.change_much()
            victims = chance.sample(list(course.replicas), 2)
            with course.gap():
                for victim in victims:
                    victim.pause()
                    time.sleep(chance.uniform(0, 2 * RENEW_S))
                time.sleep(chance.uniform(0, LEASE_S))
                for victim in victims:
                    victim.resume()
                    time.sleep(chance.uniform(0, RENEW_S))
                    if chance.random() < AGAIN:
                        victim.pause()
                        time.sleep(chance.uniform(0, LEASE_S))
                        victim.resume()
                course.go_on()
            for victim in victims:
                victim.wait_ready()
