"""A schema of its own for each test of the engine on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.postgres import SHARED
from watcher.model import Identity
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore
from watcher.state.tenure import owned

WATCH = Identity("", "orders", "file:///data/in")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return SHARED.url(str(tmp_path))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(url: str, clock: FakeClock) -> Iterator[PostgresEngine]:
    with owned(PostgresEngine(url, clock, "one")) as engine:
        yield engine


@pytest.fixture
def store(engine: PostgresEngine) -> Iterator[PostgresStore]:
    with closing(engine.open(WATCH)) as store:
        yield store


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Connect beside the engine."""
    with closing(Database(parse_url(url), "beside")) as database:
        yield database
