"""The database away under an open store: it waits, and each step is written exactly once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.clock import FakeClock
from support.cutting_relay import CuttingRelay
from support.postgres import Cluster, run_cluster
from support.relay import Relay
from support.state import journalled
from watcher.errors import AwayError, FencedError, StateError
from watcher.limits.deadline import limited
from watcher.model import Delta, Identity, Payload
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import OPEN_S, PostgresEngine
from watcher.state.postgres.steps import STATEMENT_BYTES
from watcher.state.postgres.store import PostgresStore
from watcher.state.tenure import owned

AWAY_S = 1.5
PROMPT_S = 5.0
"""Seconds within which waiting ends once it was stopped, on a busy machine."""

LARGE = bytes(STATEMENT_BYTES)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - made by mkdtemp
    with run_cluster(
        memory, fsync="off", max_connections="20", superuser_reserved_connections="3"
    ) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster, tmp_path: Path) -> str:
    schema = tmp_path.name.lower().replace("-", "_")[-40:].strip("_0123456789") or "away"
    return f"{cluster.url}?schema={schema}_{os.getpid()}_{abs(hash(tmp_path)) % 10**6}"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[CuttingRelay]:
    with CuttingRelay(cluster.port) as relay:
        yield relay


@pytest.fixture
def relayed(
    engine: PostgresEngine, url: str, cluster: Cluster, relay: CuttingRelay
) -> Iterator[PostgresStore]:
    """Open a store whose connections, and no others, lead through a relay."""
    with (
        closing(engine.open(WATCH)) as store,
        closing(
            Database(parse_url(url.replace(f":{cluster.port}/", f":{relay.port}/")), "relayed")
        ) as through,
    ):
        store._session._database = through
        yield store


def commit(store: PostgresStore, *seqs: int, data: bytes = b"x") -> None:
    store.commit(Delta(), [Payload(seq, data) for seq in seqs], changes=len(seqs))


def steps(database: Database) -> int:
    ((number,),) = database.fetch("SELECT step FROM watcher.counters")
    return int(number)


def written(database: Database) -> list[int]:
    """Return the sequence numbers in the journal."""
    return [seq for (seq,) in database.fetch("SELECT seq FROM watcher.journal ORDER BY seq")]


def goes_on(store: PostgresStore) -> None:
    reached = store.journal.next_seq
    wait_until(lambda: store.journal.next_seq > reached + 10, "steps are written")


def blocked(future: Future[Any]) -> None:
    """Make sure that something waits: it is not done although there was time."""
    with pytest.raises(TimeoutError):
        future.result(AWAY_S)


# Outages


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
        assert time.monotonic() - start_s < 1.0
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
        # The first of each slot, and then one every half second.
        assert tried < 40
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
    assert "canceling" not in cluster.log.replace("canceling wait for synchronous", "")


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


# Lost answers


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_a_lost_answer_is_asked_for(
    relayed: PostgresStore, relay: CuttingRelay, database: Database, size: str, *, is_written: bool
) -> None:
    """One statement, or a transaction: the step is there once, whatever had become of it."""
    commit(relayed, 1)
    before = steps(database)
    text = b"COMMIT" if size == "large" else b""
    done = relay.cut_once(lambda is_answer, data: is_answer == is_written and text in data)
    commit(relayed, 2, 3, data=LARGE if size == "large" else b"x")
    assert done.is_set()
    assert steps(database) == before + 1
    commit(relayed, 4)
    assert written(database) == [1, 2, 3, 4]


def test_a_large_step_that_was_cut_in_the_middle_is_rendered_again(
    relayed: PostgresStore, relay: CuttingRelay, database: Database
) -> None:
    """What is counted is what was written."""
    sizes = list[int]()

    class Payloads:
        def __iter__(self) -> Iterator[Payload]:
            sizes.append(0)
            for seq in range(1, 6):
                sizes[-1] += 1
                yield Payload(seq, LARGE)

    done = relay.cut_once(lambda is_answer, _: is_answer and sizes == [3])
    relayed.commit(Delta(), Payloads(), changes=5)
    assert done.is_set()
    assert sizes == [3, 5]
    assert relayed.journal.size_bytes == 5 * len(LARGE)
    assert written(database) == [1, 2, 3, 4, 5]


def test_a_step_that_is_written_late_is_not_written_twice(  # noqa: PLR0913, PLR0917 - fixtures
    relayed: PostgresStore,
    relay: CuttingRelay,
    database: Database,
    cluster: Cluster,
    url: str,
    pool: ThreadPoolExecutor,
) -> None:
    """The server goes on with a statement whose connection it does not know to be lost."""
    schema = parse_url(url).schema
    with psycopg.connect(cluster.url) as locking:
        locking.execute(f"SELECT FROM {schema}.counters FOR UPDATE".encode())
        writing = pool.submit(commit, relayed, 1)
        wait_until(lambda: waiting(database) == 1, "the step waits")
        relay.cut_clients()
        wait_until(lambda: waiting(database) == 2, "the question waits behind it")
        locking.rollback()
    writing.result()
    assert journalled(relayed) == [1]
    commit(relayed, 2)
    assert steps(database) == 2


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_backend_that_is_killed_in_a_step(  # noqa: PLR0913, PLR0917 - fixtures
    store: PostgresStore,
    database: Database,
    cluster: Cluster,
    url: str,
    pool: ThreadPoolExecutor,
    size: str,
) -> None:
    """Which the database answers by a restart of all."""
    locking = psycopg.connect(cluster.url)
    locking.execute(f"SELECT FROM {parse_url(url).schema}.counters FOR UPDATE".encode())
    writing = pool.submit(commit, store, 1, 2, data=LARGE if size == "large" else b"x")
    wait_until(lambda: waiting(database) == 1, "the step waits")
    ((pid,),) = database.fetch("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    os.kill(int(pid), signal.SIGKILL)
    writing.result()
    locking.close()
    assert written(database) == [1, 2]


def test_a_watch_that_was_taken_over_meanwhile_is_not_written(
    engine: PostgresEngine, relayed: PostgresStore, relay: CuttingRelay, database: Database
) -> None:
    """The question whether the step is there finds another epoch."""
    successors = []

    def take_over(is_answer: bool, _: bytes) -> bool:  # noqa: FBT001 - see CuttingRelay
        if not is_answer:
            successors.append(engine.open(WATCH))
        return not is_answer

    relay.cut_once(take_over)
    for _ in range(2):
        with pytest.raises(FencedError):
            commit(relayed, 1)
    assert database.fetch("SELECT 1 FROM watcher.journal") == []
    successors[0].close()


def test_a_commit_that_was_cancelled_before_a_standby_had_it_is_asked_for(
    store: PostgresStore, database: Database, cluster: Cluster, pool: ThreadPoolExecutor
) -> None:
    """By a write, which waits for the standby itself."""
    before, is_over = steps(database), False
    in_sync = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def write() -> int:
        seq = 0
        while not is_over:
            seq += 1
            commit(store, seq)
        return seq

    writing = pool.submit(write)
    try:
        configure(cluster, "synchronous_standby_names = 'nobody'")
        steps_in_sync = f"{in_sync} AND query LIKE '%fence%'"
        wait_until(lambda: bool(database.fetch(steps_in_sync)), "a step waits")
        cancelled = {pid for (pid,) in database.fetch(in_sync)}
        for pid in cancelled:
            database.fetch("SELECT pg_cancel_backend($1::int8::int)", pid)
        asking = f"{in_sync} AND query LIKE '%epoch = epoch%'"
        wait_until(lambda: bool(database.fetch(asking)), "the question waits")
        is_over = True
        blocked(writing)
    finally:
        is_over = True
        configure(cluster, "synchronous_standby_names = ''")
    last = writing.result()
    assert written(database) == [*range(1, last + 1)]
    assert steps(database) == before + last


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
    with owned(PostgresEngine(url, clock)):
        pausing = paused(cluster)
        pausing.__enter__()
        start_s = time.monotonic()
    assert time.monotonic() - start_s < 2 * PROMPT_S
    pausing.__exit__(None, None, None)


# Support


def waiting(database: Database) -> int:
    return len(database.fetch("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def configure(cluster: Cluster, setting: str) -> None:
    cluster.execute(f"ALTER SYSTEM SET {setting}")
    cluster.execute("SELECT pg_reload_conf()")


def end_sessions(cluster: Cluster) -> None:
    cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'watcher %'"
    )


@contextmanager
def paused(cluster: Cluster) -> Iterator[None]:
    """Stop all processes of a cluster meanwhile, the one that accepts connections first."""
    processes = _processes(cluster)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue


def _processes(cluster: Cluster) -> list[int]:
    postmaster = int((cluster.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]
