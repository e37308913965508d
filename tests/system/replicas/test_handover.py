"""Servers are asked to go, as in an update: others take their watches at once."""

from random import Random
from signal import SIGTERM

import pytest

from support.client import wait_until
from support.postgres import Cluster
from support.replicas import Replica
from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import ASKED_WITHIN_S, Course
from system.replicas.test_kills import live

SLOW_S = 60

AT_ONCE_S = 4.0
"""Seconds for what is promised within one, on a slow machine; a lease lasts longer."""


def go(course: Course, replica: Replica) -> None:
    """Ask a server to go, and wait until it has gone and others have its watches."""
    course.lose(replica, lambda each: each.server.signal(SIGTERM), is_asked=True)
    assert replica.server.wait() == 0, replica.server.log


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_servers_stop(run_course: RunCourse, rounds: int) -> None:
    """Their watches are released, so nobody waits for a lease."""
    chance = Random(6)
    with run_course() as course:
        for number in range(rounds):
            live(course, chance, is_large=number == 0)
            victim = course.owner(chance)
            go(course, victim)
            victim.start()
        owned_s = sorted(each.owned_s for each in course.asked)
        assert owned_s[len(owned_s) // 2] < AT_ONCE_S, f"{ASKED_WITHIN_S} is promised"


@pytest.mark.timeout(600)
def test_all_servers_are_replaced(run_course: RunCourse) -> None:
    """One after the other, while a thousand files come at each place."""
    with run_course() as course:
        for replica in course.replicas:
            course.change_much()
            go(course, replica)
            replica.start()
            replica.wait_ready()
        course.go_on()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_all_servers_stop_and_start(run_course: RunCourse) -> None:
    """Nobody is left to take the watches; those who come back go on with them."""
    with run_course(2) as course, course.gap():
        for replica in course.replicas:
            replica.server.signal(SIGTERM)
        for replica in course.replicas:
            assert replica.server.wait() == 0, replica.server.log
        assert set(course.owners().values()) == {None}
        course.change_much()
        course.replicas.start()
        course.go_on()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
@pytest.mark.parametrize("knowledge", ["unaware", "aware"])
def test_a_server_stops_without_a_database(
    run_course: RunCourse, cluster: Cluster, knowledge: str
) -> None:
    """It ends all the same, whether it knows by then or not; its lease runs out."""
    with run_course() as course:

        def stop_without(replica: Replica) -> None:
            cluster.stop()
            if knowledge == "aware":
                wait_until(lambda: not replica.is_ready(), "it knows that it is cut off")
            replica.stop()
            cluster.start()

        victim = course.owner(Random(13))
        course.lose(victim, stop_without)
        victim.start()
