"""The fixtures of the tests that run the real Argo Events: those of the end-to-end tests, and an event bus."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import pytest

from support.fixtures import client, connect, contract, name, root, server, start_server
from system.interop.bus import Bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    T = TypeVar("T")

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    """Run an event bus for a test."""
    with Bus(tmp_path) as running:
        yield running


@pytest.fixture
def run() -> Iterator[Callable[[AbstractContextManager[T]], T]]:
    """Return what enters a context that is left after the test."""
    with ExitStack() as stack:
        yield stack.enter_context
