"""The fixtures of the scenarios, and the server on which they run."""

from collections.abc import Callable

import pytest

from scenarios.course import runs
from support.server import ServerProcess

__all__ = ["runs"]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for the scenarios alone, which keep it busy.

    It polls the tree of a scenario for as long as that runs, and not for the rest of all.
    """
    return start_server("--idle-timeout", "1s")
