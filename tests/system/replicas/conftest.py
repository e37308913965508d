"""PostgreSQL as Debian has it, which waits for the disk, with and without PgBouncer before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from e2e.cli.conftest import config, environment, place, run, serve, start
from support.client import Client, Contract
from support.fixtures import Connect, StartServer
from support.postgres import Cluster, run_cluster, run_pgbouncer
from support.replicas import Replicas
from support.server import ServerProcess
from system.replicas.course import REDELIVERY_WINDOW_S, Course, wait_gone
from system.replicas.one_server import OneServer

__all__ = ["config", "environment", "place", "run", "serve", "start"]
"""The fixtures of the command line, for the verbs that open state."""

WAYS = ["direct", "pgbouncer"]

ROUNDS = int(os.environ.get("REPLICAS_ROUNDS", "4"))
"""Rounds in which a server is killed, and as many in which one is paused, one after the other."""

POOLED_SHARE = 0.1
"""Share of rounds through PgBouncer."""

RunCourse: TypeAlias = Callable[..., AbstractContextManager[Course]]
"""Runs servers; takes the number of servers and further flags."""

_numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pooler_url(cluster: Cluster) -> Iterator[str]:
    with run_pgbouncer(cluster) as url:
        yield url


@pytest.fixture(params=WAYS)
def url(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """Name state of the test's own, reached in each way."""
    is_direct = request.param == "direct"
    base = cluster.url if is_direct else request.getfixturevalue("pooler_url")
    return f"{base}?schema=test_{next(_numbers)}"


@pytest.fixture
def rounds(url: str, cluster: Cluster) -> int:
    """Return the number of rounds of a test that reaches the database in this way."""
    return max(1, int(ROUNDS * POOLED_SHARE)) if is_pooled(url, cluster) else ROUNDS


def is_pooled(url: str, cluster: Cluster) -> bool:
    """Return whether a URL leads through PgBouncer."""
    return f":{cluster.port}/" not in url


@pytest.fixture
def run_course(
    cluster: Cluster,
    contract: Contract,
    tmp_path: Path,
    url: str,
    record_property: Callable[[str, object], None],
) -> RunCourse:
    """Run servers whose places change while the block runs, judge all, and stop them.

    Nothing is left behind: no process, no session.
    """

    @contextmanager
    def run_it(number: int = 3, *flags: str) -> Iterator[Course]:
        schema = url.rpartition("=")[2]
        ((since,),) = cluster.execute("SELECT clock_timestamp()::text")
        window = ("--redelivery-window", f"{REDELIVERY_WINDOW_S:g}s")
        with Replicas(tmp_path, number, url, *window, *flags) as replicas:
            with Course(tmp_path, contract, replicas, cluster, schema) as course:
                yield course
                course.judge()
            record_property("takeovers", course.figures())
            print(course.figures())
        wait_gone(cluster, str(since), is_pooled=is_pooled(url, cluster))

    return run_it


@pytest.fixture
def run_server(
    start_server: StartServer, connect: Connect, root: Path, name: str, tmp_path: Path
) -> Callable[..., OneServer]:
    """Return what starts a server and a stream; takes the URL of the database and keys."""

    def serve_it(*flags: str) -> tuple[ServerProcess, Client]:
        server = start_server(*flags, directory=tmp_path)
        return server, connect(server)

    def run_it(url: str, **keys: Any) -> OneServer:  # noqa: ANN401 - any key of a configuration
        return OneServer(serve_it, url, root, name, **keys)

    return run_it
