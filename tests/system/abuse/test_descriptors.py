"""File descriptors: the server takes all that it may have, and serves when they are few."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fixtures import servers
from support.server import ServerProcess
from system.abuse.conftest import FLAGS, Abuse
from system.abuse.crowd import crowd, greeting

SOFT, MOST = 128, 2048
CROWD = 2200
"""More connections than the server can have descriptors."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server with few descriptors."""
    with servers(tmp_path_factory) as start:
        yield start(*FLAGS[:4], launcher=("prlimit", f"--nofile={SOFT}:{MOST}"))


# Nothing but the buffers of at most two thousand connections.
def test_more_connections_than_descriptors(server: ServerProcess, abuse: Abuse) -> None:
    """Crowds at both ports take no descriptor from a watch, from each other, or from newcomers.

    The server has raised the soft limit.
    """
    limits = Path(f"/proc/{server.process.pid}/limits").read_text(encoding="ascii")
    assert re.search(rf"^Max open files +{MOST} +{MOST} ", limits, re.MULTILINE)
    with abuse(80), crowd(server.http, CROWD), crowd(server.address, CROWD, greeting()):
        assert server.resources().descriptors < MOST
    assert not server.logged("server.exhausted")
