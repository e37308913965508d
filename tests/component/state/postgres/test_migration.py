"""Tables of version 1, whose servers owned all watches one at a time: when they are migrated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from component.state.postgres.conftest import WATCH
from support.clock import FakeClock
from watcher.errors import StateError
from watcher.state.membership import Role, used_alone
from watcher.state.postgres import membership, schema
from watcher.state.postgres.administration import prepare
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.membership import LEASE_S
from watcher.state.postgres.server_id import ServerId

FORMER = ServerId("former")
TAKE = """
    UPDATE watcher.lease SET server = $1, name = 'former', tenure = 3,
        lease_until = clock_timestamp() + $2 * interval '1 second'
"""
OPEN = """
    UPDATE watcher.counters SET epoch = 7, step = 5, tenure = 3, next_seq = 4, cursor = 2
"""
STEP = """
    UPDATE watcher.counters SET step = step + 1 WHERE epoch = 7 AND step = 5 RETURNING watch
"""
"""What a former server does with a watch that it has opened."""

MAY_OPEN = "SELECT server::text = $1 FROM watcher.lease"
MAY_TAKE = "SELECT server IS NULL OR lease_until < clock_timestamp() FROM watcher.lease"
MAY_REMOVE = "SELECT count(*) FROM watcher.counters WHERE tenure <= 1000"


@pytest.fixture
def former(url: str, database: Database) -> Database:  # noqa: ARG001 - of the same schema
    """Make tables of version 1 with a watch, and a server that has the lease."""
    name = database.target.schema
    database.fetch(f"CREATE SCHEMA {name}")
    for statement in schema._statements(schema.parts()[0]):
        database.fetch(statement)
    database.fetch("INSERT INTO watcher.setting VALUES ('schema', '1')")
    database.fetch(
        "INSERT INTO watcher.watch (digest, principal, name, place, uid, used_at, history) "
        "VALUES ($1, $2, $3, $4, 'u', 1, '')",
        WATCH.digest,
        *WATCH,
    )
    database.fetch("INSERT INTO watcher.counters (watch) SELECT id FROM watcher.watch")
    database.fetch(OPEN)
    database.fetch(TAKE, FORMER.id, 3600)
    return database


@pytest.fixture
def engine(url: str, clock: FakeClock, former: Database) -> Iterator[PostgresEngine]:  # noqa: ARG001 - is there before
    with PostgresEngine(url, clock, "new") as engine:
        yield engine


def attend(engine: PostgresEngine, clock: FakeClock, seconds: int) -> Role:
    for _ in range(seconds):
        clock.advance(1.0)
        engine.membership._attend()
    return engine.membership.standing.role


def test_a_server_stands_by_for_one_of_the_former_version(
    engine: PostgresEngine, clock: FakeClock, former: Database
) -> None:
    assert attend(engine, clock, 2 * int(LEASE_S)) is Role.STANDBY
    problem = "standby: former, of a former version, owns the state"
    assert engine.membership.standing.problem == problem
    with pytest.raises(StateError, match="standby: former"):
        engine.probe()
    assert schema.find_version(former) == 1
    assert former.fetch(STEP) != []


def test_the_tables_are_migrated_when_the_lease_is_given_back(
    engine: PostgresEngine, clock: FakeClock, former: Database
) -> None:
    assert attend(engine, clock, 1) is Role.STANDBY
    former.fetch("UPDATE watcher.lease SET server = NULL")
    assert attend(engine, clock, 1) is Role.SERVING
    assert schema.find_version(former) == schema.version()


def test_the_tables_are_migrated_when_the_former_server_has_died(
    engine: PostgresEngine, clock: FakeClock, former: Database
) -> None:
    """It may be paused: when it comes back it opens, removes and writes nothing."""
    former.fetch(TAKE, FORMER.id, -1)
    assert attend(engine, clock, int(LEASE_S) - 1) is Role.STANDBY
    assert attend(engine, clock, 1) is Role.SERVING
    assert former.fetch(STEP) == []
    assert former.fetch(MAY_OPEN, FORMER.id) == [(False,)]
    assert former.fetch(MAY_TAKE) == [(False,)]
    store = engine.open(WATCH)
    # The history of the test's watch is not that of the database.
    assert store.former_uids == {"u": 4}
    assert store.journal.cursor == 2
    engine.open(WATCH._replace(name="new"))
    assert former.fetch(MAY_REMOVE) == [(0,)]


def test_a_former_server_that_takes_the_lease_at_the_last_moment_keeps_it(
    former: Database,
) -> None:
    with pytest.raises(StateError, match="a server of the former version uses the database"):
        schema.prepare(former)
    with pytest.raises(StateError, match="a server of the former version uses the database"):
        schema.prepare(former, FORMER.id)
    assert schema.find_version(former) == 1
    former.fetch(TAKE, FORMER.id, -1)
    with pytest.raises(StateError, match="a server of the former version uses the database"):
        schema.prepare(former, ServerId().id)
    assert schema.prepare(former, FORMER.id) == 1


@pytest.mark.usefixtures("former")
def test_programs_that_work_alone_are_refused_while_a_former_server_lives(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE_S", 0.5)
    monkeypatch.setattr(membership, "RENEW_S", 0.25)
    with pytest.raises(StateError, match=r"another server uses this database \(former\)"):
        prepare(url)
    with ExitStack() as stack, pytest.raises(StateError, match=r"\(former\)"):
        stack.enter_context(used_alone(PostgresEngine(url, clock)))


def test_tables_can_be_prepared_ahead_while_servers_run(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """The program before goes on with them, and starts with them; one before that does not."""
    with PostgresEngine(url, clock) as engine:
        attend(engine, clock, 1)
        store = engine.open(WATCH)
        own = schema.parts()
        newer = [*own, "CREATE TABLE watcher.next ()"]
        with monkeypatch.context() as patch:
            patch.setattr(schema, "parts", lambda: newer)
            assert f"version {len(newer)} now" in prepare(url)
        store.set_meta(key="value")
        assert attend(engine, clock, 1) is Role.SERVING
        with PostgresEngine(url, clock) as other:
            assert attend(other, clock, 1) is Role.SERVING
    with monkeypatch.context() as patch:
        patch.setattr(schema, "parts", lambda: own[:-1])
        with pytest.raises(StateError, match="run the newer version"):
            schema.find_version(database)
