"""A server is killed again and again, at any moment, while files change."""

import time
from random import Random

import pytest

from support.replicas import Replica
from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import Course

LIFE_S = 1.0
"""Most seconds that all servers live, once a change was reported."""

LARGE_EVERY = 4
"""Rounds of which one kills the server while a large step is written."""

ANY_EVERY = 5
"""Rounds of which one kills any server; the others kill one that owns a watch."""

SLOW_S = 60
"""Seconds for a round and its share of the judge, many times what they take."""


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_kills(run_course: RunCourse, rounds: int) -> None:
    """The others take its watches and its streams; nothing is lost, and nobody else writes."""
    chance = Random(1)
    with run_course() as course:
        for number in range(rounds):
            live(course, chance, is_large=number % LARGE_EVERY == 1)
            is_any = number % ANY_EVERY == ANY_EVERY - 1
            victim = chance.choice([*course.replicas]) if is_any else course.owner(chance)
            course.lose(victim, Replica.kill)
            victim.start()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_one_is_left(run_course: RunCourse, rounds: int) -> None:
    """Of three servers two are killed at nearly the same time; the third one does everything."""
    chance = Random(2)
    with run_course() as course:
        for number in range(max(1, rounds // 4)):
            live(course, chance, is_large=number % LARGE_EVERY == 1)
            left = chance.choice([*course.replicas])
            first, second = course.replicas.others(left)
            first.kill()
            course.lose(second, Replica.kill)
            first.start()
            second.start()


def live(course: Course, chance: Random, *, is_large: bool) -> None:
    """Let all servers live until some moment, or into the middle of a large step."""
    course.replicas.wait_ready()
    if is_large:
        course.change_much()
    time.sleep(chance.uniform(0, LIFE_S))
