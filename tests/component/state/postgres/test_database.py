"""The connections: what a URL names and never shows, and errors in one line with a hint."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from support.client import DEADLINE_S, wait_until
from support.clock import FakeClock
from support.postgres import Cluster, run_cluster
from support.server import RESET_SIGNALS
from watcher.errors import StateError
from watcher.model import Delta, Identity, Payload
from watcher.state.membership import used_alone
from watcher.state.meter import Failure, StateMeter
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import POOL_CONNECTIONS, Database
from watcher.state.postgres.engine import PostgresEngine

SECRET = "s3cret"  # noqa: S105 - of no real database

SOON_S = 20.0
"""Longest time of a start or an end that is no failure; a start is given up after nine seconds."""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@db/state?sslmode=require", "postgresql://db/state"),
        ("postgres://u:s3cret@db:6432/state", "postgresql://db:6432/state"),
        ("postgresql://a,b:5433/state?password=s3cret", "postgresql://a:5432,b:5433/state"),
        ("postgresql://u:s3cret@[::1]:6432/state", "postgresql://::1:6432/state"),
        ("postgresql:///state?host=/run/postgresql", "postgresql:///run/postgresql/state"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    target = parse_url(url)
    assert str(target).replace(":5432", "") == shown.replace(":5432", "")
    assert SECRET not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@[::1/state",
        "postgresql://u:s3cret@db/state?no_such=parameter",
        "postgresql://u:s3cret@db/state?schema=Upper",
        "postgresql://u:s3cret@db/state?schema=a.b",
        "postgresql://u:s3cret%zz@db/state",
    ],
)
def test_a_url_that_cannot_be_understood_is_not_repeated(url: str) -> None:
    with pytest.raises(StateError) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)
    assert "the form is postgresql://" in str(caught.value)


def test_a_schema_is_named_by_the_url() -> None:
    assert parse_url("postgresql://db/state?schema=watcher_2&sslmode=require").schema == "watcher_2"
    assert parse_url("postgresql://db/state").schema == "watcher"


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen on a port where nothing ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """Keep a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def fails_to_start(url: str) -> str:
    """Start an engine that must fail soon, and return the line of its error."""
    start_s = time.monotonic()
    with pytest.raises(StateError) as caught:
        PostgresEngine(url, FakeClock()).__enter__()
    assert time.monotonic() - start_s < SOON_S
    line = str(caught.value)
    assert SECRET not in line
    assert len(line.splitlines()) == 1
    return line


def test_a_database_that_does_not_answer_is_given_up_soon(silent: int, closed: int) -> None:
    assert "timeout" in fails_to_start(f"postgresql://u:s3cret@127.0.0.1:{silent}/state")
    line = fails_to_start(f"postgresql://u:s3cret@127.0.0.1:{closed}/state")
    assert line == (
        f"postgresql://127.0.0.1:{closed}/state: the database cannot be reached: "
        f'connection to server at "127.0.0.1", port {closed} failed: Connection refused; '
        "check host, port, user and database; is it running?"
    )


def test_a_start_has_an_end_whatever_the_url_asks_for(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.state.postgres.engine.START_S", 1.0)
    url = f"postgresql://u:s3cret@127.0.0.1:{silent}/state?connect_timeout=60"
    assert "has not answered for 1 s" in fails_to_start(url)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as cluster:
        yield cluster


def test_a_database_that_is_not_there_is_named(cluster: Cluster) -> None:
    assert 'database "nowhere" does not exist' in fails_to_start(cluster.url_of("nowhere"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_between_steps_is_not_noticed(cluster: Cluster, number: signal.Signals) -> None:
    """Fast or immediate; what was committed is there. While it is away an error says so."""
    identity = Identity("", f"restarted-{number}", "file:///data")
    with used_alone(PostgresEngine(f"{cluster.url}?schema=restarts", FakeClock())) as engine:
        store = engine.open(identity)
        store.set_meta(known="value")
        for seq in (1, 2):
            store.commit(Delta(), [Payload(seq, b"x")], changes=1)
            cluster.stop(number)
            with pytest.raises(StateError, match="cannot be reached"):
                engine.summaries()
            # What each scan asks for is no statement.
            assert (store.meta("known"), store.meta("other")) == ("value", None)
            cluster.start()
        store.commit(Delta(), [Payload(3, b"x")], changes=1)
        assert len(store.journal.read(0, limit=9, max_bytes=9)) == 3


def test_an_engine_ends_without_its_database(cluster: Cluster) -> None:
    """Soon, and without an error: its lease runs out by itself."""
    with used_alone(PostgresEngine(f"{cluster.url}?schema=ends", FakeClock())):
        cluster.stop()
        start_s = time.monotonic()
    assert time.monotonic() - start_s < SOON_S
    cluster.start()


def test_an_interrupted_wait_sends_no_cancel(cluster: Cluster) -> None:
    """Ctrl-C ends the session, and stays what it is."""
    program = (
        "import sys\n"
        "from watcher.state.postgres.connection import parse_url\n"
        "from watcher.state.postgres.database import Database\n"
        "try:\n"
        "    Database(parse_url(sys.argv[1]), 'interrupted').fetch('SELECT pg_sleep(300)')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(7)\n"
    )
    waiting = "FROM pg_stat_activity WHERE application_name = 'interrupted' AND state = 'active'"
    with subprocess.Popen([*RESET_SIGNALS, sys.executable, "-c", program, cluster.url]) as process:
        wait_until(lambda: bool(cluster.execute(f"SELECT 1 {waiting}")), "it waits")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 7
    assert "canceling statement due to user request" not in cluster.log


def test_the_driver_is_imported_by_the_engine_alone() -> None:
    program = "import sys, watcher.server, watcher.cli.app; sys.exit('psycopg' in sys.modules)"
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", program], check=False, env=environment)
    assert done.returncode == 0


def test_the_pool_has_an_end(cluster: Cluster) -> None:
    database = Database(parse_url(cluster.url), "closed")
    assert database.fetch("SELECT 1::int8") == [(1,)]
    database.close()
    with pytest.raises(StateError, match="the database was closed"):
        database.fetch("SELECT 1::int8")


def test_failures_are_counted_by_kind(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection, a statement that fails, and a pool of which none is free: no answers."""
    clock = FakeClock()
    with closing(Database(parse_url(cluster.url), "counted", StateMeter(clock))) as database:
        clock.advance(7)
        database.fetch("SELECT 1")
        assert database.meter.unanswered_s() == 0
        clock.advance(7)
        with pytest.raises(StateError):
            database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        assert database.meter.failures == {Failure.AWAY: 1, Failure.BUSY: 0, Failure.FAILED: 0}
        with pytest.raises(StateError):
            database.fetch("SELECT nothing")
        assert database.meter.unanswered_s() == 7
        assert database.meter.failures == {Failure.AWAY: 1, Failure.BUSY: 0, Failure.FAILED: 1}
        monkeypatch.setattr("watcher.state.postgres.database.POOL_WAIT_S", 0.0)
        with ExitStack() as stack:
            for _ in range(POOL_CONNECTIONS):
                stack.enter_context(database.transaction())
            with pytest.raises(StateError, match="busy"):
                database.fetch("SELECT 1")
        assert database.meter.failures == {Failure.AWAY: 1, Failure.BUSY: 1, Failure.FAILED: 1}
        assert database.meter.unanswered_s() == 0
