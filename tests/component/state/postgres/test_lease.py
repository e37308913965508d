"""The lease: one server at a time, taken over when it has run out, and kept through an outage."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from support.client import wait_until
from support.clock import FakeClock
from watcher.errors import StateError
from watcher.model import Identity
from watcher.state.postgres import schema
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.lease import Lease

RUN_OUT = "UPDATE watcher.lease SET lease_until = clock_timestamp() - interval '1 second'"


@pytest.fixture
def database(database: Database) -> Database:
    schema.prepare(database)
    return database


@pytest.fixture
def holder(database: Database) -> Iterator[Lease]:
    lease = Lease(database, uuid4(), "holder")
    lease.acquire(wait_s=0)
    yield lease
    lease.release()


@pytest.fixture
def other(database: Database) -> Iterator[Lease]:
    lease = Lease(database, uuid4(), "other")
    yield lease
    lease.release()


@pytest.mark.usefixtures("holder")
def test_a_second_server_is_refused(other: Lease) -> None:
    with pytest.raises(StateError, match=r"another server uses this database \(holder\)"):
        other.acquire(wait_s=0.3)


def test_a_lease_that_was_given_back_is_free(holder: Lease, other: Lease) -> None:
    holder.release()
    other.acquire(wait_s=0)


def test_a_lease_that_has_run_out_is_taken_and_the_former_holder_knows(
    holder: Lease, other: Lease, database: Database
) -> None:
    holder._stop.set()
    holder._thread.join()
    database.fetch(RUN_OUT)
    other.acquire(wait_s=0)
    with pytest.raises(StateError, match=r"another server has taken over .*\(other\)"):
        holder.check()
    other.release()
    holder.check()


def test_a_lease_that_has_run_out_is_renewed_if_nobody_took_it(
    holder: Lease, database: Database
) -> None:
    """As after an outage of the database; its thread does it by itself."""
    database.fetch(RUN_OUT)
    query = "SELECT 1 FROM watcher.lease WHERE lease_until > clock_timestamp()"
    wait_until(lambda: bool(database.fetch(query)), "the lease is renewed")
    assert holder.problem == ""


def test_a_server_that_was_taken_over_opens_nothing(url: str, database: Database) -> None:
    with PostgresEngine(url, FakeClock(), "former") as former:
        database.fetch("UPDATE watcher.lease SET server = $1, name = 'other'", str(uuid4()))
        with pytest.raises(StateError, match="another server has taken over this database"):
            former.open(Identity("", "orders", "file:///data"))
        assert former.summaries() == {}


def test_the_next_server_begins_at_once(url: str) -> None:
    for name in ("one", "two"):
        with PostgresEngine(url, FakeClock(), name) as engine:
            engine.probe()
