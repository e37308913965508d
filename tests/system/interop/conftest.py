"""Fixtures of the tests that run the real Argo Events: the end-to-end ones, and an event bus."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from support.fixtures import client, connect, contract, name, root, server, start_server
from system.interop.bus import Bus

T = TypeVar("T")

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with Bus(tmp_path) as running:
        yield running


@pytest.fixture
def run() -> Iterator[Callable[[AbstractContextManager[T]], T]]:
    """Return a function that enters a context until the end of the test."""
    with ExitStack() as stack:
        yield stack.enter_context
