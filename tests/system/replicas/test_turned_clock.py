"""The clock of the database jumps: leases last longer or run out, but each watch has one owner."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from support.client import wait_until
from support.postgres import Cluster, run_cluster
from support.replicas import Replica
from support.turned_clock import TurnedClock, swept
from system.replicas.conftest import RunCourse

__all__ = ["swept"]

pytestmark = pytest.mark.parametrize("url", ["direct"], indirect=True)

HOUR_D = 1 / 24
JUMPS_D = (HOUR_D, -HOUR_D, 1, 0)


@pytest.fixture(scope="module")
def clock() -> Iterator[TurnedClock]:
    # The server of the database runs as another user, who must read it.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield TurnedClock(Path(directory))


@pytest.fixture(scope="module")
def cluster(clock: TurnedClock) -> Iterator[Cluster]:
    with run_cluster(environment=clock.environment) as cluster:
        yield cluster


@pytest.mark.timeout(600)
def test_the_clock_jumps(
    run_course: RunCourse, clock: TurnedClock, cluster: Cluster, url: str
) -> None:
    """A jump ahead may move watches, needlessly; none lets two servers write one."""
    schema = url.rpartition("=")[2]
    left = "lease_until - clock_timestamp() BETWEEN '0 s' AND '6 s'"
    living = f"SELECT count(*) FROM {schema}.server WHERE {left}"  # noqa: S608 - a name of the test
    with run_course() as course:
        for days in JUMPS_D:
            clock.jump(days)
            wait_until(lambda: cluster.execute(living) == [(3,)], "all leases are renewed")
            course.go_on()
            course.replicas.wait_ready()
        course.lose(course.owner(Random(12)), Replica.kill)
