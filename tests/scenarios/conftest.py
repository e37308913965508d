"""The server on which the scenarios run."""

from collections.abc import Callable

import pytest

from support.server import ServerProcess


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for the scenarios alone: it keeps polling their trees until it ends."""
    return start_server()
