"""The engine: unused state is removed, watches share the connections, sessions may forget."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from support.clock import FakeClock
from support.state import journalled
from watcher.errors import StateError
from watcher.model import Delta, Identity, Payload
from watcher.state.membership import used_alone
from watcher.state.postgres.database import POOL_CONNECTIONS, Database
from watcher.state.postgres.engine import KEEP_S, PostgresEngine
from watcher.state.postgres.store import PostgresStore

OTHER = Identity("alice", "other", "file:///data/in")


def use(url: str, clock: FakeClock, *identities: Identity) -> None:
    """Start an engine, open some watches, and end it."""
    with used_alone(PostgresEngine(url, clock)) as engine:
        for identity in identities:
            engine.open(identity).close()


def test_state_is_removed_when_it_was_not_used_while_other_was(url: str) -> None:
    clock = FakeClock()
    use(url, clock, WATCH, OTHER)
    clock.advance(KEEP_S + 10)
    use(url, clock, OTHER)
    with used_alone(PostgresEngine(url, clock)) as engine:
        engine.remove_unused()
        assert set(engine.summaries()) == {OTHER}


def test_a_long_downtime_removes_nothing(url: str) -> None:
    clock = FakeClock()
    use(url, clock, WATCH, OTHER)
    clock.advance(10 * KEEP_S)
    with used_alone(PostgresEngine(url, clock)) as engine:
        engine.remove_unused()
        assert set(engine.summaries()) == {WATCH, OTHER}


def test_a_name_that_the_database_cannot_keep_is_refused(engine: PostgresEngine) -> None:
    with pytest.raises(StateError, match="NUL"):
        engine.open(Identity("", "a\0b", "file:///data"))
    long = Identity("", "ä" * 200, "file:///" + "%C3%A4" * 2000)
    engine.open(long).close()
    assert set(engine.summaries()) == {long}


def test_watches_share_the_connections(engine: PostgresEngine, database: Database) -> None:
    def work(number: int) -> int:
        identity = Identity("", f"watch-{number}", "file:///data")
        with closing(engine.open(identity)) as store:
            for seq in range(1, 21):
                store.commit(Delta(), [Payload(seq, b"x")], changes=1)
            return len(journalled(store))

    with ThreadPoolExecutor(3 * POOL_CONNECTIONS) as pool:
        assert {*pool.map(work, range(3 * POOL_CONNECTIONS))} == {20}
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
    ((sessions,),) = database.fetch(query, engine._database._name)
    # One more is that of the lease, and two are for news.
    assert sessions <= POOL_CONNECTIONS + 3


def test_a_session_without_its_statements_is_noticed_once(
    engine: PostgresEngine, store: PostgresStore
) -> None:
    """As behind a pooler that passes for the server: from then on nothing is prepared."""
    for _ in range(10):
        store.set_meta(key="value")
    for connection in engine._database._idle:
        connection.pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(StateError, match="26000"):
        store.set_meta(key="other")
    assert store.meta("key") == "value"
    for _ in range(10):
        store.set_meta(key="other")
    assert store.meta("key") == "other"
