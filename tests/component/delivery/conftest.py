"""Publishers over a real state file, on a clock that tests move."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.publishing import Bench
from support.state import open_store


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Return a factory of publishers over one state."""
    clock = FakeClock()
    with closing(open_store(tmp_path / "state.db", clock)) as store:
        yield partial(Bench, store, clock)
