"""The disk of the database is full: one line says so, and all goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import wait_until
from support.failover import scratch_directory
from support.files import fill
from support.postgres import USER, Cluster, run_cluster
from system.replicas.one_server import RETRY_S, OneServer

DISK = "48m"
"""Size of the disk, several times that of an empty database."""

PADDING = {"padding": "x" * 2_000}
"""Metadata of each event, so that there is soon no room for one more."""

FULL = "No space left on device (53100); free space on the database's disk"


@pytest.fixture
def disk() -> Iterator[Path]:
    """Mount a small disk."""
    with scratch_directory() as path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", path], check=True)
        try:
            yield path
        finally:
            subprocess.run(["umount", path], check=True)


@pytest.fixture
def cluster(disk: Path) -> Iterator[Cluster]:
    """Run a cluster with a database whose tables are on that disk."""
    with run_cluster() as cluster:
        place = disk / "tables"
        place.mkdir()
        os.chown(place, USER or -1, USER or -1)
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        cluster.execute("CREATE DATABASE small TABLESPACE small")
        yield cluster


def occupy(disk: Path) -> Path:
    """Fill what is left of a disk with one file, and return it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError


def test_a_full_disk(
    cluster: Cluster, disk: Path, run_server: Callable[..., OneServer], root: Path
) -> None:
    server = run_server(cluster.url_of("small"), metadata=PADDING)
    server.report("first")
    filler = occupy(disk)
    names = [f"file{number}" for number in range(100)]
    fill(root, *names)
    ending = server.stream.wait_end()
    assert ending.code.name == "UNAVAILABLE"
    assert FULL in ending.details
    assert "\n" not in ending.details
    wait_until(
        lambda: server.process.ask("/readyz").status == 503, "it is not ready", pause_s=RETRY_S
    )
    assert FULL in server.process.ask("/readyz").text
    filler.unlink()
    wait_until(lambda: server.process.ask("/readyz").status == 200, "it is ready", pause_s=RETRY_S)
    server.connect()
    server.wait(*names)
    server.process.wait_all_confirmed()
    events = server.events()
    assert sorted(event["path"] for event in events) == sorted(["first", *names])
    assert len({event["id"].partition("-")[0] for event in events}) == 1
    assert cluster.log.count("PANIC") == 0
