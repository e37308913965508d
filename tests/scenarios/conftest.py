"""The server on which the scenarios run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.fixtures import contract, start_server
from support.server import ServerProcess

__all__ = ["contract", "server", "start_server"]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for the scenarios alone: it keeps polling their trees until it ends."""
    return start_server()
