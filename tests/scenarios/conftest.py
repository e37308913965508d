"""The fixtures of the scenarios, and the server on which they run."""

from collections.abc import Callable

import pytest

from scenarios.course import runs
from support.server import ServerProcess

__all__ = ["runs"]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for the scenarios alone, which keep it busy."""
    return start_server()
