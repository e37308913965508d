"""The promises of ``watcher.state.port``, checked on every engine of ``support.state.ENGINES``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.state import ENGINES, POOLED
from watcher.model import Identity
from watcher.state.port import StateEngine, WatchStore

WATCH = Identity("", "orders", "file:///data/in")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ENGINES | POOLED)
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[StateEngine]:
    with (ENGINES | POOLED)[request.param](tmp_path, clock) as engine:
        yield engine


@pytest.fixture
def store(engine: StateEngine) -> Iterator[WatchStore]:
    with closing(engine.open(WATCH)) as store:
        yield store


@pytest.fixture
def reopen(engine: StateEngine, store: WatchStore) -> Iterator[Callable[[], WatchStore]]:
    """Close the store and open its state again."""
    opened = [store]

    def again() -> WatchStore:
        opened[-1].close()
        opened.append(engine.open(WATCH))
        return opened[-1]

    yield again
    opened[-1].close()


@pytest.fixture
def openings(store: WatchStore, reopen: Callable[[], WatchStore]) -> Iterator[WatchStore]:
    """Return the store as it is and, once that was looked at, as it is opened again."""

    def both() -> Iterator[WatchStore]:
        yield store
        yield reopen()

    return both()
