"""Names the fixtures of the tests that mount file systems and use real tools."""

import pytest

from scenarios.course import runs
from support.fixtures import client, connect, contract, name, root, server, start_server
from system.volumes.namespace import enter_private_mounts

__all__ = ["client", "connect", "contract", "name", "root", "runs", "server", "start_server"]


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> None:
    """Hide the tests' mounts from the machine; the kernel unmounts them when the tests end."""
    enter_private_mounts()
