"""Names the fixtures of the tests with kills, clock jumps, power losses and hostile clients."""

import pytest

from support.fixtures import client, connect, contract, name, root, server, start_server
from support.neighbours import held, ordinary

__all__ = ["client", "connect", "contract", "held", "name"]
__all__ += ["ordinary", "root", "server", "start_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the soak first, since it takes as long as all other tests together."""
    items.sort(key=lambda item: item.path.stem != "test_soak")
