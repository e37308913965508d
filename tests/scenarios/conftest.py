"""Names the fixtures of the scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fixtures import contract, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.server import ServerProcess

__all__ = ["contract", "server", "start_server"]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for the scenarios alone: it would go on to poll their trees beside all tests that follow."""
    return start_server()
