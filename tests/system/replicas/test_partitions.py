"""The network fails for a moment, for all servers, or between servers and clients."""

import pytest

from support.client import wait_until
from system.replicas.conftest import RunCourse
from system.replicas.course import LEASE_S, RENEW_S, nap
from system.replicas.faults import end, end_and_close, faults

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

BRIEF_S = 1.0
"""Seconds of a fault that is over before a lease is."""

LONG_S = 12.0
"""Seconds of a fault that clients notice only when it is over."""


def test_the_owner_is_cut_off_briefly(run_course: RunCourse) -> None:
    """No stream ends, and the state does not move."""
    with run_course() as course:
        for fault in faults("questions lost", "answers lost", "reset"):
            with course.briefly(LEASE_S - RENEW_S):
                fault(course.owner.database)
                nap(BRIEF_S)
                end(course.owner.database)


@pytest.mark.timeout(900)
def test_all_are_cut_off(run_course: RunCourse) -> None:
    """Streams end, the state does not move, and everything goes on where it was."""
    with run_course() as course, course.nothing_moves():
        for fault in faults("refused"):
            for replica in course.replicas:
                fault(replica.database)
            wait_until(lambda: not course.owner.is_listening(), "the owner knows it is cut off")
            for replica in course.replicas:
                end_and_close(replica.database)
            course.go_on()


@pytest.mark.timeout(900)
def test_connections_are_forgotten(run_course: RunCourse) -> None:
    """As by a gateway: those to the database are dead without a word, new ones are not."""
    with run_course() as course:
        course.owner.database.forget()
        course.go_on()
        course.owner = course.replicas.wait_owner()


@pytest.mark.timeout(900)
def test_clients_are_cut_off(run_course: RunCourse) -> None:
    """The state stays where it is; its clients come back once they can."""
    with run_course() as course, course.nothing_moves():
        for fault in faults("reset"):
            fault(course.owner.clients)
            course.mark()
            nap(LONG_S)
            end_and_close(course.owner.clients)
            course.go_on()
