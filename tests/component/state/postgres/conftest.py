"""A schema of its own for each test of the engine on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from component.state.postgres.sharing import commit
from support.clock import FakeClock
from support.postgres import SHARED
from support.state import joined
from watcher.model import Identity
from watcher.state.membership import used_alone
from watcher.state.postgres import servers
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore

WATCH = Identity("", "orders", "file:///data/in")

LONG_LEASE_S = 600.0
"""Seconds that a lease lasts in the database in tests that have it run out themselves."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return SHARED.url(str(tmp_path))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no lease run out by itself, however busy the machine is."""

    def lasting(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda where, server, _lease_s, **more: function(where, server, LONG_LEASE_S, **more)

    monkeypatch.setattr(servers, "renew", lasting(servers.renew))
    monkeypatch.setattr(servers, "register", lasting(servers.register))


@pytest.fixture
def engine(url: str, clock: FakeClock) -> Iterator[PostgresEngine]:
    with used_alone(PostgresEngine(url, clock, "one")) as engine:
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


@pytest.fixture
def owner(url: str, clock: FakeClock) -> Iterator[PostgresEngine]:
    """Return one of two servers that share the database."""
    with joined(PostgresEngine(url, clock, "owner")) as engine:
        yield engine


@pytest.fixture
def other(url: str, clock: FakeClock) -> Iterator[PostgresEngine]:
    """Return the other one."""
    with joined(PostgresEngine(url, clock, "other")) as engine:
        yield engine


@pytest.fixture
def owned(owner: PostgresEngine) -> Iterator[PostgresStore]:
    """Return the watch on the server that owns it."""
    with closing(owner.open(WATCH)) as store:
        yield store


@pytest.fixture
def followed(owned: PostgresStore, other: PostgresEngine) -> Iterator[PostgresFollowed]:
    """Return the watch as the other server sees it, after five payloads."""
    commit(owned, 1, 2, 3, 4, 5)
    with closing(other.following.open(WATCH)) as store:
        yield store
