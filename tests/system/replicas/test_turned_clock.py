"""The clock of the database jumps: leases last longer or run out, but one server owns the state."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def test_the_clock_jumps(
    run_course: RunCourse, clock: TurnedClock, cluster: Cluster, url: str
) -> None:
    """A jump ahead may move the state, needlessly; none lets two servers write."""
    schema = url.rpartition("=")[2]
    left = f"SELECT max(lease_until) - clock_timestamp() FROM {schema}.lease"  # noqa: S608 - a name of the test
    running = f"SELECT ({left}) BETWEEN '0 s' AND '6 s'"
    with run_course() as course:
        for days in JUMPS_D:
            clock.jump(days)
            wait_until(lambda: cluster.execute(running) == [(True,)], "the lease is renewed")
            course.go_on()
            course.owner = course.replicas.wait_owner()
        course.take_over(Replica.kill).start()
