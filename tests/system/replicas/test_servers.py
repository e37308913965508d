"""A few servers on one database: all serve, and what one leaves the others take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM

import grpc
import psycopg
import pytest

from support.client import Contract, Stream, wait_until
from support.config import config
from support.files import burst, fill
from support.postgres import Cluster
from support.replicas import Replica, Replicas
from support.server import ServerProcess
from system.replicas.course import LARGE, WITHIN_S
from system.replicas.place import PADDING
from system.replicas.shared import Shared

TAKEOVER_S = 3 * WITHIN_S
"""Longest time of a takeover that is no failure; a third of it is what is promised."""

STOP_S = 20.0
"""Longest time in which a server ends that is no failure; a few seconds are what is promised."""

IN_TRANSACTION = """
    SELECT 1 FROM pg_stat_activity
    WHERE application_name = 'watcher {}' AND state = 'idle in transaction'
"""
WAITING = """
    SELECT xact_start < query_start FROM pg_stat_activity WHERE wait_event_type = 'Lock'
"""
"""Whether what waits for a lock is a later statement of its transaction."""

Run = Callable[[int], Shared]


@pytest.fixture
def run(
    tmp_path: Path, url: str, root: Path, contract: Contract, cluster: Cluster
) -> Iterator[Run]:
    """Start a number of servers; at the end they are stopped, and their logs checked."""
    (tmp_path / "s").mkdir()
    with ExitStack() as stack:

        def start(number: int) -> Shared:
            flags = ("--allow-directory", str(root))
            replicas = stack.enter_context(Replicas(tmp_path / "s", number, url, *flags))
            shared = Shared(replicas.start(), contract, cluster, url.rpartition("=")[2])
            stack.callback(shared.close)
            return shared

        yield start


class Scene:
    """A place whose watch the first server owns, and a stream on each of the others too."""

    def __init__(self, shared: Shared, root: Path, name: str) -> None:
        self.shared = shared
        self._root = root
        self._name = name
        self._made = 0
        self._asked = config(root, existing="report")
        self.streams = [self.watch(number) for number, _ in enumerate(shared.replicas)]
        shared.wait_owner(name, 0)
        self.report(*self.streams)

    def watch(self, number: int) -> Stream:
        """Start a stream on a server."""
        return self.shared.client(number).watch(self._name, self._asked)

    def report(self, *streams: Stream) -> None:
        """Make a file, and wait until streams have told it; none has a gap."""
        path = self.make()
        for stream in streams:
            stream.wait_path(path)
            seqs = [event["seq"] for event in stream.events]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            assert len({event["id"].partition("-")[0] for event in stream.events}) == 1

    def make(self) -> str:
        """Make a file, and return its path."""
        path = f"{self._made}.csv"
        self._made += 1
        fill(self._root, path)
        return path

    def wait_taken(self, since_s: float, what: str) -> Replica:
        """Wait until another server than the first owns the watch, and judge how long it took."""
        first = self.shared.replicas[0]
        wait_until(
            lambda: self.shared.owner(self._name) in self.shared.replicas.others(first),
            f"another server owns it: {what}",
        )
        taken_s = time.monotonic() - since_s
        print(f"takeover, {what}: {taken_s:.2f} s")
        assert taken_s < TAKEOVER_S
        owner = self.shared.owner(self._name)
        assert owner is not None
        return owner


def wait_metrics(shared: Shared, name: str, *values: float) -> None:
    """Wait until a metric has a value on each server."""
    wait_until(
        lambda: [replica.server.metric(name) for replica in shared.replicas] == [*values],
        f"{name} is {values}",
        pause_s=0.1,
    )


def test_all_serve(run: Run, root: Path, name: str) -> None:
    """Each knows the others, and shows the watch, its owner and its streams."""
    scene = Scene(run(2), root, name)
    shared = scene.shared
    ids = [replica.id for replica in shared.replicas]
    wait_metrics(shared, "watcher_servers", 2, 2)
    wait_metrics(shared, "watcher_owned_watches", 1, 0)
    wait_metrics(shared, "watcher_followed_watches", 0, 1)
    wait_metrics(shared, "watcher_streams", 1, 1)
    for replica in shared.replicas:
        status = replica.server.status()
        assert status["server"]["id"] == replica.id
        assert sorted(each["id"] for each in status["servers"]) == sorted(ids)

        # None at first, since an owner reports its watches at intervals; and the state is not
        # waited for.
        def shows(server: ServerProcess = replica.server) -> bool:
            watches = server.status()["watches"]
            return [(each["owner"]["id"], each["streams"]) for each in watches] == [(ids[0], 2)]

        def has_it(server: ServerProcess = replica.server) -> bool:
            return name.partition("[")[0] in server.get("/")[1]

        wait_until(shows, f"{replica.name} shows the watch and its streams")
        wait_until(has_it, f"the page of {replica.name} has the watch")


def test_the_owner_is_killed(run: Run, root: Path, name: str) -> None:
    """Streams elsewhere go on as if nothing had been; ids go on too."""
    scene = Scene(run(2), root, name)
    scene.shared.replicas[0].kill()
    scene.wait_taken(time.monotonic(), "the owner was killed")
    scene.report(scene.streams[1])
    taken = scene.shared.server(1).metric("watcher_takeovers_total", reason="expired")
    assert taken == 1
    wait_until(
        lambda: scene.shared.server(1).metric("watcher_servers") == 1, "it knows that it is alone"
    )


def test_the_owner_is_asked_to_go(run: Run, root: Path, name: str) -> None:
    """And back, when it has been started again; a stream on the other server never ends."""
    scene = Scene(run(2), root, name)
    (first, second) = scene.shared.replicas
    start_s = time.monotonic()
    first.server.signal(SIGTERM)
    assert scene.wait_taken(start_s, "the owner was asked to go") is second
    assert scene.streams[0].wait_end().code is grpc.StatusCode.UNAVAILABLE
    assert first.server.wait(STOP_S) == 0
    scene.report(scene.streams[1])
    assert second.server.metric("watcher_takeovers_total", reason="released") == 1
    first.start()
    first.wait_ready()
    again = scene.watch(0)
    scene.report(again, scene.streams[1])
    second.server.signal(SIGTERM)
    scene.shared.wait_owner(name, 0)
    scene.report(again)


def test_a_follower_is_killed(run: Run, root: Path, name: str) -> None:
    """The owner goes on, and confirms once the follower's lease has run out."""
    scene = Scene(run(2), root, name)
    scene.shared.replicas[1].kill()
    scene.report(scene.streams[0])
    scene.shared.wait_all_confirmed(name)


def test_a_paused_owner_follows_when_it_wakes(run: Run, root: Path, name: str) -> None:
    """Its watch ends silently; its streams have everything, or end if they missed something."""
    scene = Scene(run(2), root, name)
    first, second = scene.shared.replicas
    first.pause()
    scene.wait_taken(time.monotonic(), "the owner was paused")
    scene.report(scene.streams[1])
    first.resume()
    first.server.wait_logged("watch.fenced")
    first.wait_ready()
    assert not first.server.logged("watch.stopped")
    assert second.server.metric("watcher_owned_watches") == 1
    stream, path = scene.streams[0], scene.make()

    def has_told() -> bool:
        return any(event["path"] == path for event in list(stream.events))

    wait_until(lambda: has_told() or not stream.is_open, "its stream goes on, or ends")
    if not has_told():
        assert stream.wait_end().code is grpc.StatusCode.UNAVAILABLE
        stream = scene.watch(0)
    scene.report(stream, scene.streams[1])
    wait_metrics(scene.shared, "watcher_owned_watches", 0, 1)


def test_a_transaction_that_the_owner_is_paused_in_is_ended(
    run: Run, root: Path, url: str, cluster: Cluster, name: str
) -> None:
    """It holds the lock of the watch that the successor opens."""
    shared = run(2)
    schema = url.rpartition("=")[2]
    burst(root, LARGE)
    asked = config(root, existing="report", metadata=PADDING)
    lock = f"LOCK TABLE {schema}.entry IN EXCLUSIVE MODE".encode()
    with psycopg.connect(cluster.url) as locking:
        locking.execute(lock)
        shared.client(0).start(name, asked)
        wait_until(lambda: bool(cluster.execute(WAITING)), "its step waits for the lock")
        # A step that is small, since the scan was slow, is one statement; a later one is not.
        while cluster.execute(WAITING) == [(False,)]:
            locking.rollback()
            locking.execute(lock)
            root = root / "more"
            root.mkdir()
            burst(root, LARGE)
            wait_until(lambda: bool(cluster.execute(WAITING)), "its step waits for the lock")
        shared.replicas[0].pause()
    paused = IN_TRANSACTION.format(shared.replicas[0].id[:8])
    wait_until(lambda: bool(cluster.execute(paused)), "it is paused in a transaction")
    client = shared.client(1)
    wait_until(lambda: client.is_admitted(name, asked), "the other server admits a stream")
    stream = client.watch(name, asked)
    shared.wait_owner(name, 1)
    # Logged a moment after the sessions have ended.
    shared.server(1).wait_logged("state.sessions_ended")
    stream.wait_count(LARGE)
    assert not cluster.execute(paused)


@pytest.mark.parametrize("number", [0, 1], ids=["owner", "follower"])
@pytest.mark.parametrize("fault", ["black hole", "refused"])
def test_a_server_that_does_not_reach_its_database_can_be_stopped(
    run: Run, root: Path, name: str, number: int, fault: str
) -> None:
    """Soon, and by itself; it does not wait for the database."""
    scene = Scene(run(2), root, name)
    replica = scene.shared.replicas[number]
    if fault == "refused":
        replica.database.stop()
        replica.server.wait_logged("state.lost")
    else:
        replica.database.block()
        replica.wait_unready()
    start_s = time.monotonic()
    replica.server.signal(SIGTERM)
    assert replica.server.wait(STOP_S) == 0, replica.server.log
    print(f"stopped within {time.monotonic() - start_s:.2f} s")


def test_a_server_can_be_stopped_while_it_takes_a_watch(
    run: Run, root: Path, url: str, cluster: Cluster, name: str
) -> None:
    """The state does not answer; the next server takes it."""
    scene = Scene(run(3), root, name)
    first, second, third = scene.shared.replicas
    with psycopg.connect(cluster.url) as locking:
        locking.execute(f"LOCK TABLE {url.rpartition('=')[2]}.counters".encode())
        first.kill()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: bool(cluster.execute(waiting)), "somebody waits for the lock")
        second.server.signal(SIGTERM)
        assert second.server.wait(STOP_S) == 0, second.server.log
    scene.shared.wait_owner(name, 2)
    scene.report(scene.streams[2])
    third.wait_ready()
