"""The database away under an open store: it waits, and each step is written exactly once."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import pytest

from component.state.postgres.outages.away import (
    AWAY_S,
    PROMPT_S,
    blocked,
    commit,
    end_sessions,
    goes_on,
    paused,
    steps,
    written,
)
from support.client import wait_until
from support.clock import FakeClock
from support.postgres import Cluster
from support.relay import Relay
from support.state import journalled
from watcher.errors import AwayError, StateError
from watcher.limits.deadline import limited
from watcher.model import Identity, Payload
from watcher.state.membership import used_alone
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import OPEN_S, PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_steps_and_reads_go_on_after_a_restart(
    cluster: Cluster,
    store: PostgresStore,
    database: Database,
    pool: ThreadPoolExecutor,
    number: signal.Signals,
) -> None:
    """Fast or immediate: each step is there once, and nothing was raised."""
    before, is_over = steps(database), False

    def write() -> int:
        seq = 0
        while not is_over:
            seq += 1
            commit(store, seq)
            assert store.journal.read(seq - 1, limit=1, max_bytes=9) == [Payload(seq, b"x")]
        return seq

    writing = pool.submit(write)
    for _ in range(3):
        goes_on(store)
        cluster.stop(number)
        time.sleep(0.2)
        cluster.start()
    goes_on(store)
    is_over = True
    last = writing.result()
    assert written(database) == [*range(1, last + 1)]
    assert steps(database) == before + last


def test_servers_that_share_a_watch_go_on_after_a_restart(  # noqa: PLR0913, PLR0917 - fixtures
    cluster: Cluster,
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    database: Database,
    pool: ThreadPoolExecutor,
) -> None:
    """Commits, confirmations, joins, reports and acknowledgements wait, or are made up for."""
    is_over = False

    def own() -> None:
        while not is_over:
            seq = owned.journal.next_seq
            commit(owned, seq)
            owned.journal.confirm(seq)

    def follow() -> None:
        while not is_over:
            with followed.join():
                followed.note_streams(1)
            followed.journal.acknowledge([followed.journal.cursor + 2])
            with suppress(AwayError):
                for found in other.following.refresh():
                    assert found.rewound_to is None
                followed.begin_confirming()
                followed.journal.confirm(max(1, followed.journal.next_seq - 2))
                other.following.report()

    owning, following = pool.submit(own), pool.submit(follow)
    for number in (signal.SIGINT, signal.SIGQUIT):
        goes_on(owned)
        cluster.stop(number)
        time.sleep(0.2)
        cluster.start()
    goes_on(owned)
    reached = followed.journal.cursor
    wait_until(lambda: followed.journal.cursor > reached, "confirmations go on")
    is_over = True
    owning.result()
    following.result()
    ((cursor, confirmed),) = database.fetch(
        "SELECT cursor, confirmed FROM watcher.counters JOIN watcher.reader USING (watch)"
    )
    assert owned.journal.cursor == cursor <= confirmed


def test_the_engine_says_how_long_the_database_has_been_away(
    engine: PostgresEngine, store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """While something waits, what may not wait fails at once."""
    assert engine.away_s() == 0.0
    cluster.stop()
    try:
        reading = pool.submit(journalled, store)
        wait_until(lambda: engine.away_s() > 1.0, "it is known how long it is away")
        start_s = time.monotonic()
        with pytest.raises(AwayError, match="has been away for"):
            engine.open(Identity("", "other", "file:///data"))
        assert time.monotonic() - start_s < OPEN_S / 2
        assert not reading.done()
    finally:
        cluster.start()
    assert reading.result() == []
    assert engine.away_s() == 0.0


def test_a_thousand_that_wait_are_one_client(
    engine: PostgresEngine, url: str, cluster: Cluster
) -> None:
    """While it refuses connections, one of them tries, less and less often."""
    with Relay(cluster.url) as relay, ThreadPoolExecutor(200) as pool:
        port = relay.address.rpartition(":")[2]
        through = Database(parse_url(url.replace(f":{cluster.port}/", f":{port}/")), "waiting")
        stores = [engine.open(Identity("", f"w{n}", "file:///data")) for n in range(200)]
        for store in stores:
            store._session._database = through
        relay.lead_to("tcp://127.0.0.1:1")
        connections = relay.connections
        writing = [pool.submit(commit, store, 1) for store in stores]
        blocked(writing[0])
        time.sleep(AWAY_S)
        tried = relay.connections - connections
        assert not any(each.done() for each in writing)
        relay.lead_to(cluster.url)
        for each in writing:
            each.result()
        # The first of each slot, and then one every half second. If each tried by itself, there
        # would be two hundred at once, and again and again.
        assert tried < len(stores) / 2
        through.close()


def test_a_paused_database_cancels_nothing(
    engine: PostgresEngine, store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """Its kernel acknowledges and nobody answers: steps and the lease wait, and then go on."""
    commit(store, 1)
    with paused(cluster):
        writing = pool.submit(commit, store, 2)
        blocked(writing)
        time.sleep(AWAY_S)
        assert not writing.done()
    writing.result()
    assert journalled(store) == [1, 2]
    engine.probe()
    # A login that lasts too long is ended by the server itself.
    assert "canceling statement" not in cluster.log


def test_other_calls_fail_soon_while_the_database_is_paused(
    engine: PostgresEngine, store: PostgresStore, cluster: Cluster
) -> None:
    with paused(cluster):
        for call in (
            lambda: engine.open(Identity("", "other", "file:///data")),
            engine.summaries,
        ):
            start_s = time.monotonic()
            with pytest.raises(AwayError):
                call()
            assert time.monotonic() - start_s < OPEN_S + PROMPT_S
        with limited(0.5), pytest.raises(AwayError):
            store.journal.read(0, limit=1, max_bytes=1)
    assert journalled(store) == []


# What is like an outage, and what is none


def test_a_database_that_cannot_be_written_is_waited_for(
    store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor, database: Database
) -> None:
    """A former primary: the connections are made anew until they lead to one that can be."""
    commit(store, 1)
    name = "ALTER DATABASE postgres"
    cluster.execute(f"{name} SET default_transaction_read_only = on")
    try:
        end_sessions(cluster)
        writing = pool.submit(commit, store, 2)
        blocked(writing)
    finally:
        with psycopg.connect(
            cluster.url, autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            connection.execute(f"{name} RESET default_transaction_read_only".encode())
    writing.result()
    assert journalled(store) == [1, 2]
    assert steps(database) == 2


def test_a_database_with_too_many_connections_is_waited_for(
    store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    commit(store, 1)
    with ExitStack() as others:
        end_sessions(cluster)
        with suppress(psycopg.OperationalError):
            while True:
                others.callback(psycopg.connect(cluster.url).close)
        writing = pool.submit(commit, store, 2)
        blocked(writing)
    writing.result()
    assert journalled(store) == [1, 2]


def test_another_error_is_one_at_once(store: PostgresStore, database: Database) -> None:
    """It says that nothing was written, and the store goes on when its cause is gone."""
    database.fetch("ALTER TABLE watcher.journal RENAME TO gone")
    with pytest.raises(StateError, match="does not exist") as caught:
        commit(store, 1)
    assert not isinstance(caught.value, AwayError)
    database.fetch("ALTER TABLE watcher.gone RENAME TO journal")
    commit(store, 1)
    assert journalled(store) == [1]


# The end


def test_waiting_ends_when_the_server_stops(
    engine: PostgresEngine, store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """While connections are refused."""
    cluster.stop()
    try:
        reading, writing = pool.submit(journalled, store), pool.submit(commit, store, 1)
        blocked(writing)
        engine.stop_waiting()
        for each in (reading, writing):
            with pytest.raises(AwayError, match="the server stops"):
                each.result(PROMPT_S)
        start_s = time.monotonic()
        for _ in range(100):
            with pytest.raises(StateError):
                commit(store, 1)
        assert time.monotonic() - start_s < PROMPT_S
    finally:
        cluster.start()


def test_an_answer_is_not_waited_for_when_the_server_stops(
    engine: PostgresEngine, store: PostgresStore, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """While nobody answers; what became of the step is not known, so the store has ended."""
    commit(store, 1)
    with paused(cluster):
        writing = pool.submit(commit, store, 2)
        blocked(writing)
        engine.stop_waiting()
        with pytest.raises(StateError):
            writing.result(2 * PROMPT_S)
        with pytest.raises(StateError, match="not known whether the last step was written"):
            commit(store, 2)


def test_a_server_that_stops_with_its_database_there_goes_on_to_the_end(
    engine: PostgresEngine, store: PostgresStore
) -> None:
    engine.stop_waiting()
    commit(store, 1)
    assert journalled(store) == [1]


def test_an_engine_ends_soon_while_its_database_is_paused(
    url: str, clock: FakeClock, cluster: Cluster
) -> None:
    with used_alone(PostgresEngine(url, clock)):
        pausing = paused(cluster)
        pausing.__enter__()
        start_s = time.monotonic()
    assert time.monotonic() - start_s < 2 * PROMPT_S
    pausing.__exit__(None, None, None)
