"""A server loses its connection to the database, while the others have it."""

from functools import partial
from itertools import cycle
from random import Random

import pytest

from support.replicas import Replica
from system.replicas.conftest import RunCourse
from system.replicas.course import nap
from system.replicas.faults import Fault, end, end_and_close, faults

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

CUT_S = 8.0
"""Seconds of a fault that lasts longer than a lease."""

APART_S = 0.5
"""Seconds between the returns of two servers."""


def cut_off(replica: Replica, fault: Fault) -> None:
    fault(replica.database)


@pytest.mark.timeout(900)
def test_a_server_is_cut_off(run_course: RunCourse) -> None:
    """Others take its watches; it ends its streams by itself, and serves again with the network.

    When the network is back, its connections go on, or were closed meanwhile.
    """
    chance, ways = Random(7), cycle([end, end_and_close])
    with run_course() as course:
        for fault in faults("answers lost", "black hole"):
            victim = course.owner(chance)
            course.lose(victim, partial(cut_off, fault=fault))
            victim.wait_unready()
            next(ways)(victim.database)
            victim.wait_ready()
            course.go_on()


@pytest.mark.timeout(900)
def test_two_of_three_are_cut_off(run_course: RunCourse) -> None:
    """The third one does everything; none that comes back has written meanwhile."""
    with run_course() as course:
        left = course.owner(Random(8))
        first, second = course.replicas.others(left)
        first.database.block()
        course.lose(second, partial(cut_off, fault=lambda relay: relay.block()))
        for victim in (first, second):
            victim.wait_unready()
            end_and_close(victim.database)
            victim.wait_ready()
        course.go_on()


@pytest.mark.timeout(900)
def test_a_server_that_could_not_look_takes_nothing_at_once(run_course: RunCourse) -> None:
    """All leases have run out for one that was away with the database: it waits for a lease."""
    with run_course() as course, course.nothing_moves():
        for replica in course.replicas:
            replica.database.block()
        nap(CUT_S)
        for replica in course.replicas:
            end(replica.database)
            nap(APART_S)
        course.replicas.wait_ready()
