"""The engine: unused state is removed, watches share the connections, sessions may forget."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.clock import FakeClock
from support.postgres import Cluster, run_cluster
from support.state import add, journalled
from watcher.errors import StateError
from watcher.model import Delta, Identity, Payload
from watcher.state.postgres.database import POOL_CONNECTIONS, Database
from watcher.state.postgres.engine import KEEP_S, PostgresEngine
from watcher.state.postgres.store import PostgresStore
from watcher.state.tenure import owned

OTHER = Identity("alice", "other", "file:///data/in")


def use(url: str, clock: FakeClock, *identities: Identity) -> None:
    """Start an engine, open some watches, and end it."""
    with owned(PostgresEngine(url, clock)) as engine:
        for identity in identities:
            engine.open(identity).close()


def test_state_is_removed_when_it_was_not_used_while_other_was(url: str) -> None:
    clock = FakeClock()
    use(url, clock, WATCH, OTHER)
    clock.advance(KEEP_S + 10)
    use(url, clock, OTHER)
    with owned(PostgresEngine(url, clock)) as engine:
        engine.remove_unused()
        assert set(engine.summaries()) == {OTHER}


def test_a_long_downtime_removes_nothing(url: str) -> None:
    clock = FakeClock()
    use(url, clock, WATCH, OTHER)
    clock.advance(10 * KEEP_S)
    with owned(PostgresEngine(url, clock)) as engine:
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
    # One more is that of the lease.
    assert sessions <= POOL_CONNECTIONS + 1


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as cluster:
        yield cluster


WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%lonely.journal%'"


@contextmanager
def lonely(cluster: Cluster) -> Iterator[None]:
    """Let commits wait for a standby that never comes."""
    cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    cluster.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        cluster.execute("ALTER SYSTEM RESET synchronous_standby_names")
        cluster.execute("SELECT pg_reload_conf()")


def test_a_commit_whose_wait_for_a_standby_was_cancelled_is_no_success(cluster: Cluster) -> None:
    """The server reports one. The store is of no further use; another one reads what is there."""
    with owned(PostgresEngine(f"{cluster.url}?schema=lonely", FakeClock())) as engine:
        store = engine.open(WATCH)
        add(store, b"a")
        with lonely(cluster), ThreadPoolExecutor(1) as pool:
            committing = pool.submit(store.commit, Delta(), [Payload(1, b"1")], changes=1)
            wait_until(
                lambda: bool(cluster.execute(f"SELECT 1 {WAITING}")),
                "the commit waits for a standby",
            )
            cluster.execute(f"SELECT pg_cancel_backend(pid) {WAITING}")
            with pytest.raises(StateError, match="cancelled by somebody"):
                committing.result()
        with pytest.raises(StateError, match="not known whether the last step was written"):
            store.set_meta(key="value")
        with closing(engine.open(WATCH)) as again:
            assert journalled(again) == [1]
            assert again.journal.next_seq == 2
