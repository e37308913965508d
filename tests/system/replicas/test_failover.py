"""The database fails over to a standby: with every commit, or without the last ones."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from signal import SIGQUIT

import grpc
import pytest

from support.client import wait_until
from support.failover import Pair, run_standby
from support.files import fill, read_files
from support.postgres import run_cluster, run_pgbouncer
from support.relay import Relay
from support.server import WATCHER, clean_environment
from system.replicas.one_server import OneServer

WAYS = ["hosts", "name", "pgbouncer"]
"""How a server finds the primary: a URL of two hosts; or one host that leads elsewhere after a
failover, reached directly, or by a pooler whose clients keep their connections."""


class Scene:
    """A primary and its standby, and the URL of whichever is the primary."""

    def __init__(self, pair: Pair, url: str, lead_on: Callable[[], None]) -> None:
        self.pair = pair
        self.url = url
        self._lead_on = lead_on

    def fail_over(self) -> None:
        """Promote the standby; the primary has ended."""
        self.pair.promote()
        self._lead_on()


@pytest.fixture(params=WAYS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with ExitStack() as stack:
        pair = stack.enter_context(run_standby(stack.enter_context(run_cluster())))
        if request.param == "hosts":
            yield Scene(pair, pair.url, lambda: None)
            return
        relay = stack.enter_context(Relay(pair.primary.url))
        port = int(relay.address.rpartition(":")[2])
        url = f"postgresql://postgres@{relay.address}/postgres"
        if request.param == "pgbouncer":
            url = stack.enter_context(run_pgbouncer(pair.primary, port))
        yield Scene(pair, url, lambda: relay.lead_to(pair.standby.url))


@contextmanager
def filling(root: Path) -> Iterator[None]:
    """Make files all the while."""
    end = threading.Event()

    def run() -> None:
        numbers = count()
        while not end.wait(0.01):
            fill(root, f"file{next(numbers)}")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_a_synchronous_standby_has_all(
    scene: Scene, run_server: Callable[..., OneServer], root: Path
) -> None:
    """The stream goes on, nothing is lost or doubled, and ids stay, for the next server too."""
    scene.pair.synchronise()
    server = run_server(scene.url)
    with filling(root):
        server.report("a")
        scene.pair.primary.stop(SIGQUIT)
        fill(root, "b")
        scene.fail_over()
        server.wait("b")
        server.report("c")
    server.wait(*read_files(root))
    stream = server.stream
    server.process.wait_all_confirmed()
    server.process.wait_logged("state.failover")
    (line,) = server.process.lines("state.failover")
    assert (line["kept"], line["lost"]) == (1, 0)
    assert server.process.stop() == 0
    server.start()
    server.report("d")
    assert not server.process.logged("state.restored")
    events = server.events()
    assert sorted(event["path"] for event in events) == sorted(read_files(root))
    assert [event["seq"] for event in events] == [*range(1, len(events) + 1)]
    assert len({event["id"].partition("-")[0] for event in events}) == 1
    assert stream.events[-1]["path"] != "d"


def test_what_an_asynchronous_standby_lacks_is_reported_again(
    scene: Scene, run_server: Callable[..., OneServer], root: Path
) -> None:
    """With other ids; the stream ends, and the next one begins with what was lost."""
    server = run_server(scene.url)
    server.report("a", "b")
    server.process.wait_all_confirmed()
    scene.pair.catch_up()
    scene.pair.cut()
    server.report("c", "d")
    former = server.stream
    scene.pair.primary.stop(SIGQUIT)
    fill(root, "e")
    scene.fail_over()
    assert former.wait_end().code is grpc.StatusCode.UNAVAILABLE
    server.connect()
    server.report("f")
    server.wait("c", "d", "e")
    server.process.wait_all_confirmed()
    assert [len(server.ids(path)) for path in "abcdef"] == [1, 1, 2, 2, 1, 1]
    former_uid, uid = server.uid("a"), server.uid("f")
    assert former_uid == server.uid("b") != uid
    assert {server.uid(path) for path in "cdef"} == {uid}
    seqs = [event["seq"] for event in server.events()]
    assert seqs == sorted(set(seqs))
    (line,) = server.process.lines("state.failover")
    assert line["kept"] == 0
    (line,) = server.process.lines("state.restored")
    assert (line["former_ids"], line["ids"]) == (former_uid, uid)


@pytest.mark.parametrize("is_lost", [False, True], ids=["all there", "commits lost"])
def test_a_failover_while_no_server_runs(
    run_server: Callable[..., OneServer], root: Path, *, is_lost: bool
) -> None:
    """Ids are renewed, and what was lost is reported again; nothing else is."""
    with run_cluster() as primary, run_standby(primary) as pair:
        server = run_server(pair.url)
        server.report("a", "b")
        server.process.wait_all_confirmed()
        pair.catch_up()
        if is_lost:
            pair.cut()
        server.report("c")
        server.process.wait_all_confirmed()
        server.process.kill()
        if not is_lost:
            pair.catch_up()
        pair.fail_over()
        fill(root, "d")
        server.start()
        server.wait("d", *("c" * is_lost))
        server.process.wait_all_confirmed()
    assert [len(server.ids(path)) for path in "abcd"] == [1, 1, 1 + is_lost, 1]
    assert server.uid("d") != server.uid("a")


def test_a_standby_is_refused_with_one_line() -> None:
    """It would answer, but keep nothing."""
    with run_cluster() as primary, run_standby(primary) as pair:
        flags = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", pair.standby.url]
        done = subprocess.run(
            [*WATCHER, "serve", *flags],
            check=False,
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the database cannot be written; name the primary" in line


def test_a_primary_that_becomes_a_standby_is_an_outage(
    run_server: Callable[..., OneServer], root: Path
) -> None:
    """As when a name leads to the wrong server for a while; nothing ends, nothing is lost."""
    with run_cluster() as primary, run_standby(primary) as pair, Relay(primary.url) as relay:
        server = run_server(f"postgresql://postgres@{relay.address}/postgres")
        server.report("a")
        relay.lead_to(pair.standby.url)
        primary.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'watcher %'"
        )
        wait_until(lambda: server.process.logged("state.lost"), "the server notices")
        fill(root, "b")
        relay.lead_to(primary.url)
        pair.standby.stop()
        server.wait("b")
        assert server.uid("b") == server.uid("a")
