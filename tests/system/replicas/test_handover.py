"""A server is stopped, as in an update: the other one takes over at once."""

from random import Random

import pytest

from support.client import wait_until
from support.postgres import Cluster
from support.replicas import Replica
from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.test_kills import live

SLOW_S = 60


def stop(replica: Replica) -> None:
    assert replica.server.stop() == 0


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
def test_the_owner_stops(run_course: RunCourse, rounds: int) -> None:
    """Its lease is free then, so nobody waits for its end."""
    chance = Random(6)
    with run_course() as course:
        for number in range(rounds):
            live(course, chance, is_large=number == 0)
            course.take_over(stop).start()
            course.standby.wait_standing_by()


def test_a_standby_stops(run_course: RunCourse) -> None:
    """Nothing else happens."""
    with run_course() as course:
        streams = course.streams()
        stop(course.standby)
        course.go_on()
        assert course.streams() == streams
        course.standby.start()


@pytest.mark.parametrize("url", ["direct"], indirect=True)
@pytest.mark.parametrize("knowledge", ["unaware", "aware"])
def test_the_owner_stops_without_a_database(
    run_course: RunCourse, cluster: Cluster, knowledge: str
) -> None:
    """It ends all the same, whether it knows by then or not; its lease runs out."""
    with run_course() as course:

        def stop_without(owner: Replica) -> None:
            cluster.stop()
            if knowledge == "aware":
                wait_until(lambda: not owner.is_listening(), "it knows that it is cut off")
            course.change_much()
            stop(owner)
            cluster.start()

        course.take_over(stop_without).start()


@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_all_servers_are_replaced(run_course: RunCourse) -> None:
    """One after the other, as in a rolling update, beginning with the standby."""
    with run_course() as course:
        stop(course.standby)
        course.standby.start()
        course.standby.wait_standing_by()
        course.take_over(stop).start()
        course.standby.wait_standing_by()
