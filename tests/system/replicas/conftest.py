"""PostgreSQL as Debian has it, which waits for the disk, with and without PgBouncer before it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from e2e.cli.conftest import config, environment, place, run, serve, start
from support.postgres import Cluster, run_cluster, run_pgbouncer

__all__ = ["config", "environment", "place", "run", "serve", "start"]
"""The fixtures of the command line, for the verbs that open state."""

WAYS = ["direct", "pgbouncer"]

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
