"""The network fails for a moment, for all servers, or between servers and clients."""

from random import Random

import pytest

from system.replicas.conftest import RunCourse
from system.replicas.course import LEASE_S, RENEW_S, nap
from system.replicas.faults import end, end_and_close, faults

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

BRIEF_S = 1.0
"""Seconds of a fault that is over before a lease is."""

LONG_S = 12.0
"""Seconds of a fault that clients notice only when it is over."""


def test_an_owner_is_cut_off_briefly(run_course: RunCourse) -> None:
    """No stream ends, and no watch moves."""
    chance = Random(9)
    with run_course() as course:
        for fault in faults("questions lost", "answers lost", "reset"):
            with course.briefly(LEASE_S - RENEW_S):
                victim = course.owner(chance)
                fault(victim.database)
                nap(BRIEF_S)
                end(victim.database)


@pytest.mark.timeout(900)
def test_all_are_cut_off(run_course: RunCourse) -> None:
    """Streams end, no watch moves, and everything goes on where it was."""
    with run_course() as course, course.nothing_moves():
        for fault in faults("refused"):
            for replica in course.replicas:
                fault(replica.database)
            for replica in course.replicas:
                replica.wait_unready()
            for replica in course.replicas:
                end_and_close(replica.database)
            course.replicas.wait_ready()
            course.go_on()


@pytest.mark.timeout(900)
def test_connections_are_forgotten(run_course: RunCourse) -> None:
    """As by a gateway: those to the database are dead without a word, new ones are not."""
    chance = Random(10)
    with run_course() as course:
        course.owner(chance).database.forget()
        course.go_on()
        course.replicas.wait_ready()


@pytest.mark.timeout(900)
def test_clients_are_cut_off(run_course: RunCourse) -> None:
    """Watches stay where they are; clients of this server go to others, or come back later."""
    chance = Random(11)
    with run_course() as course, course.nothing_moves():
        for fault in faults("reset"):
            victim = course.owner(chance)
            fault(victim.clients)
            course.mark()
            nap(LONG_S)
            end_and_close(victim.clients)
            course.go_on()
