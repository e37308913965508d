"""The order of the tests with kills, clock jumps, power losses and hostile clients."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the soak first, since it takes as long as all other tests together."""
    items.sort(key=lambda item: item.path.stem != "test_soak")
