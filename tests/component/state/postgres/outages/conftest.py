"""A cluster that tests stop and pause, and a way to it that they cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from component.state.postgres.conftest import WATCH
from support.cutting_relay import CuttingRelay
from support.postgres import Cluster, run_cluster
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - made by mkdtemp
    with run_cluster(
        memory, fsync="off", max_connections="20", superuser_reserved_connections="3"
    ) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster, tmp_path: Path) -> str:
    schema = tmp_path.name.lower().replace("-", "_")[-40:].strip("_0123456789") or "away"
    return f"{cluster.url}?schema={schema}_{os.getpid()}_{abs(hash(tmp_path)) % 10**6}"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[CuttingRelay]:
    with CuttingRelay(cluster.port) as relay:
        yield relay


@pytest.fixture
def relayed(
    engine: PostgresEngine, url: str, cluster: Cluster, relay: CuttingRelay
) -> Iterator[PostgresStore]:
    """Open a store whose connections, and no others, lead through a relay."""
    with (
        closing(engine.open(WATCH)) as store,
        closing(
            Database(parse_url(url.replace(f":{cluster.port}/", f":{relay.port}/")), "relayed")
        ) as through,
    ):
        store._session._database = through
        yield store
