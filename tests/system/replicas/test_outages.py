"""The database restarts, crashes, or is away: no watch moves, no watch ends, nothing is lost."""

from random import Random
from signal import SIGINT, SIGQUIT

import pytest

from support.postgres import Cluster
from system.replicas.conftest import ROUNDS, RunCourse
from system.replicas.course import CUT_OFF_S, nap

AWAY_S = 1.0
"""Seconds for which it is away, less than ends a stream."""

LONGEST_S = 60.0

SLOW_S = 150


def fast(cluster: Cluster, away_s: float) -> None:
    """Restart it, ending all sessions."""
    cluster.stop(SIGINT)
    nap(away_s)
    cluster.start()


def immediate(cluster: Cluster, away_s: float) -> None:
    """Restart it without a checkpoint, so that it recovers."""
    cluster.stop(SIGQUIT)
    nap(away_s)
    cluster.start()


def killed(cluster: Cluster, away_s: float) -> None:
    """Kill its main process."""
    cluster.kill()
    nap(away_s)
    cluster.start()


def session_killed(cluster: Cluster, _: float) -> None:
    """Kill the process of a session: all others end, and it recovers by itself."""
    cluster.kill_session("watcher %")


def sessions_ended(cluster: Cluster, _: float) -> None:
    """End all sessions of the servers."""
    cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'watcher %'"
    )


OUTAGES = [fast, immediate, killed, session_killed, sessions_ended]


@pytest.mark.timeout(900)
def test_the_database_is_away_briefly(run_course: RunCourse, cluster: Cluster) -> None:
    """No stream ends; what happens meanwhile is reported later."""
    with run_course() as course, course.nothing_moves():
        for outage in OUTAGES:
            print(outage.__name__)
            with course.briefly(CUT_OFF_S):
                course.change_much()
                outage(cluster, AWAY_S)


@pytest.mark.timeout(900)
def test_the_database_is_away_for_long(run_course: RunCourse, cluster: Cluster) -> None:
    """Streams end after ten seconds; watches go on where they were."""
    with run_course() as course, course.nothing_moves():
        cluster.stop()
        for replica in course.replicas:
            replica.wait_unready()
        course.mark()
        cluster.start()
        course.replicas.wait_ready()


@pytest.mark.timeout(600 + SLOW_S * ROUNDS)
@pytest.mark.parametrize("url", ["direct"], indirect=True)
def test_outages_of_any_length(run_course: RunCourse, cluster: Cluster) -> None:
    """Again and again, in every way, for up to a minute; the more rounds, the longer."""
    chance = Random(5)
    with run_course() as course:
        for _ in range(max(1, ROUNDS // 10)):
            with course.nothing_moves():
                longest_s = min(LONGEST_S, ROUNDS)
                chance.choice(OUTAGES)(cluster, chance.uniform(0, longest_s))
