"""Mounts all file systems once, and lets the course of all places run at the same time."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.client import Client, Contract
from support.fixtures import StartServer, connect, contract, servers
from support.server import ServerProcess
from system.kernels.course import Course, drop_caches, run_all
from system.kernels.places import PLACES, FileServers, Place, mount_all
from system.kernels.table import Table

__all__ = ["connect", "contract"]

if not any(place.is_remote for place in PLACES):
    collect_ignore = ["test_clients.py", "test_outages.py"]

RESULTS = Path(os.environ.get("KERNELS_RESULTS", "/results"))


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """Collect what came; it is kept at the end."""
    table = Table()
    yield table
    table.write(RESULTS / "table.json")


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers that end with the session."""
    with servers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> ServerProcess:
    """Start the server that tests share."""
    return start_server()


@pytest.fixture(scope="session")
def file_servers() -> Iterator[FileServers]:
    """Start the file servers, and mount all places."""
    started = mount_all()
    yield started
    started.smb.stop()


@pytest.fixture(scope="session")
def courses(
    file_servers: FileServers,  # noqa: ARG001 - mounts
    server: ServerProcess,
    contract: Contract,
) -> Iterator[dict[Place, Course]]:
    """Run the course in all places."""
    with ExitStack() as stack:
        client = Client(server.address, contract)
        stack.callback(client.close)
        courses = {place: Course(place, server, client) for place in PLACES}
        every = list(courses.values())
        for act in (Course.begin, Course.run):
            run_all(every, act)
        # First of files alone, since a root that is not the same makes a watch read all anew.
        with ExitStack() as roots:
            for place in PLACES:
                roots.callback(os.close, os.open(place.watched, os.O_RDONLY))
            drop_caches()
            run_all(every, Course.wait_scans)
        drop_caches()
        for act in (Course.wait_scans, Course.run_again):
            run_all(every, act)
        yield courses
