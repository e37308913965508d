"""A server that loses its connection to the database, while the other one has it."""

from itertools import cycle

import pytest

from support.client import wait_until
from support.replicas import Replica
from system.replicas.conftest import RunCourse
from system.replicas.course import nap
from system.replicas.faults import end, end_and_close, faults

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

LONG_S = 8.0
"""Seconds of a fault that lasts longer than a lease."""


@pytest.mark.timeout(900)
def test_the_owner_is_cut_off(run_course: RunCourse) -> None:
    """The standby takes over; the former owner ends its streams by itself, and stands by.

    When the network is back, its connections go on, or were closed meanwhile.
    """
    ways = cycle([end, end_and_close])
    with run_course() as course:
        for fault in faults("answers lost", "black hole"):
            former = course.take_over(lambda owner, fault=fault: fault(owner.database))  # type: ignore[misc]
            wait_until(lambda: not former.is_listening(), "the former owner knows it is cut off")  # noqa: B023 - called at once
            next(ways)(former.database)
            former.wait_standing_by()
            course.go_on()
            assert course.replicas.wait_owner() is course.owner


def test_the_standby_is_cut_off(run_course: RunCourse) -> None:
    """It takes no lease that ran out while it could not look; but it does so later."""
    with run_course() as course:
        with course.nothing_moves():
            course.standby.database.block()
            nap(LONG_S)
            course.standby.database.unblock()
        course.take_over(Replica.kill).start()
