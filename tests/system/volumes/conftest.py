"""Names the fixtures of the tests that need what only some machines have."""

from __future__ import annotations

import pytest

from support.fixtures import client, connect, contract, name, root, server, start_server
from system.volumes.namespace import enter_private_mounts

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> None:
    """Keep what the tests mount away from the rest of the machine; the kernel unmounts it when the tests have ended."""
    enter_private_mounts()
