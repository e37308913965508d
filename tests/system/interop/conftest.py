"""Fixtures of the tests that run the real Argo Events."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from system.interop.bus import Bus
from system.interop.examples import Example, Run

T = TypeVar("T")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with Bus(tmp_path) as running:
        yield running


@pytest.fixture
def run() -> Iterator[Callable[[AbstractContextManager[T]], T]]:
    """Return a function that enters a context until the end of the test."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def example(bus: Bus, run: Run, tmp_path: Path) -> Callable[..., Example]:
    """Return a function that takes the name of an example, and a Kubernetes API of its own."""
    return lambda name, api=None: Example(name, bus, run, tmp_path, api)
