"""What the server does with its file descriptors, and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.fixtures import servers
from system.abuse.crowd import crowd, greeting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from support.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
SOFT, MOST = 128, 2048
CROWD = 2200
"""More than the server can have of anything."""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server with few descriptors."""
    with servers(tmp_path_factory) as start:
        yield start(
            "--redelivery-window",
            "2s",
            "--idle-timeout",
            "1s",
            launcher=("prlimit", f"--nofile={SOFT}:{MOST}"),
        )


def test_the_soft_limit_is_raised(server: ServerProcess) -> None:
    """The server takes all the descriptors that it may have."""
    limits = Path(f"/proc/{server.process.pid}/limits").read_text(encoding="ascii").splitlines()
    (line,) = [line.split() for line in limits if line.startswith("Max open files")]
    assert line[3:5] == [str(MOST), str(MOST)]


# Nothing but the buffers of at most two thousand connections.
def test_more_connections_than_descriptors(server: ServerProcess, abuse: Abuse) -> None:
    """Crowds at both ports take no descriptor from a watch or from each other: who is there is served, and so is who comes later."""
    with abuse(80 * MB), crowd(server.http, CROWD), crowd(server.address, CROWD, greeting()):
        assert server.resources().descriptors < MOST
    assert not server.logged("server.exhausted")
