"""Servers on one database: one owns the state and serves, the others stand by and take over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM

import grpc
import psycopg
import pytest

from support.client import Client, Contract, wait_until
from support.config import config
from support.files import burst
from support.postgres import Cluster
from support.replicas import Replica, Replicas
from support.server import ServerProcess
from system.replicas.course import LARGE, PADDING, nap

LEASE_S = 5.0
TAKEOVER_S = 3 * (LEASE_S + 1.0)
"""Longest time of a takeover that is no failure; one second above the lease is what is promised."""

CUT_OFF_S = 10.0
"""Seconds for which an owner serves without an answer of the database."""

STOP_S = 20.0
"""Longest time in which a server ends that is no failure; a few seconds are what is promised."""

IN_TRANSACTION = """
    SELECT 1 FROM pg_stat_activity
    WHERE application_name LIKE 'watcher %' AND state = 'idle in transaction'
"""

Run = Callable[[int], Replicas]
See = Callable[[], str]


@pytest.fixture
def run(tmp_path: Path, url: str, root: Path) -> Iterator[Run]:
    """Start a number of servers; at the end they are stopped, and their logs checked."""
    with ExitStack() as stack:
        flags = ("--allow-directory", str(root))
        yield lambda number: stack.enter_context(Replicas(tmp_path / "s", number, url, *flags))


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()


class Viewer:
    """Makes files and waits for their events, each time by a new client of all servers."""

    def __init__(self, contract: Contract, root: Path, name: str) -> None:
        self._contract = contract
        self._root = root
        self._name = name
        self._made = 0
        self.asked = config(root, existing="report")

    @contextmanager
    def connected(self, address: str) -> Iterator[Client]:
        client = Client(address, self._contract)
        try:
            yield client
        finally:
            client.close()

    def see(self, address: str) -> tuple[str, int]:
        """Make a file, and return the parts of the id of its event."""
        path = f"{self._made}.csv"
        self._made += 1
        (self._root / path).write_text(path)
        with self.connected(address) as client:
            while (stream := client.start(self._name, self.asked)).has_ended_before_it_was_ready():
                # The owner may have changed between two servers that were tried.
                time.sleep(0.1)
            events = stream.wait_for(lambda found: any(each["path"] == path for each in found))
            uid, _, seq = next(each["id"] for each in events if each["path"] == path).partition("-")
        return uid, int(seq)


@pytest.fixture
def viewer(contract: Contract, root: Path, name: str) -> Viewer:
    return Viewer(contract, root, name)


def wait_owner(replica: Replica, since_s: float, what: str) -> None:
    """Wait until a server is ready, and print and judge the time since then."""
    wait_until(replica.is_ready, f"it takes over: {what}")
    taken_s = time.monotonic() - since_s
    print(f"takeover, {what}: {taken_s:.2f} s")
    assert taken_s < TAKEOVER_S


def owner_metric(replica: Replica) -> float:
    return replica.server.metric("watcher_state_owner")


def test_a_standby_is_alive_and_not_ready_and_names_the_owner(run: Run) -> None:
    """Its gRPC port refuses connections; what is for watches is refused with the reason."""
    replicas = run(2)
    owner = replicas.start()
    (standby,) = replicas.others(owner)
    assert owner.server.ask("/readyz").status == owner.server.ask("/healthz").status == 200
    assert standby.server.ask("/healthz").status == 200
    ready = standby.server.ask("/readyz")
    assert (ready.status, ready.text.startswith("standby: ")) == (503, True)
    with pytest.raises(ConnectionRefusedError):
        standby.connect()
    status = standby.server.status()
    assert (status["role"], status["watches"], status["idle"]) == ("standby", [], [])
    assert status["owner"] == owner.server.status()["owner"]
    assert status["owner"]["name"] in ready.text
    assert "standby: " in standby.server.get("/")[1]
    header = {"Content-Type": "application/json"}
    for path, body in (("/ack", {"id": "x-1"}), ("/release", {"name": "x"}), ("/hint", {})):
        answer = standby.server.ask(path, json.dumps(body).encode(), header)
        assert (answer.status, "owns the state" in answer.text) == (503, True), path
    assert (owner_metric(owner), owner_metric(standby)) == (1, 0)
    assert standby.server.stop() == owner.server.stop() == 0


def test_a_standby_takes_over_when_the_owner_is_killed(run: Run, viewer: Viewer) -> None:
    """A client that has both addresses gets its stream where the owner is; ids go on."""
    replicas = run(2)
    owner = replicas.start()
    (standby,) = replicas.others(owner)
    uid, first = viewer.see(replicas.address)
    owner.kill()
    wait_owner(standby, time.monotonic(), "the owner was killed")
    same, second = viewer.see(replicas.address)
    assert (same, second > first) == (uid, True)
    assert standby.server.metric("watcher_takeovers_total", reason="expired") == 1


def test_a_standby_takes_over_at_once_when_the_owner_is_stopped(run: Run, viewer: Viewer) -> None:
    """And back, when the former owner has been started again as a standby."""
    replicas = run(2)
    owner = replicas.start()
    (standby,) = replicas.others(owner)
    for _ in range(2):
        viewer.see(replicas.address)
        assert owner.server.stop() == 0
        wait_owner(standby, time.monotonic(), "the owner has stopped")
        assert standby.server.metric("watcher_takeovers_total", reason="released") == 1
        owner.start()
        owner.wait_standing_by()
        owner, standby = standby, owner
    viewer.see(replicas.address)


def test_a_paused_owner_stands_by_when_it_wakes(run: Run, viewer: Viewer) -> None:
    """Its watches end silently, and later it takes over again."""
    replicas = run(2)
    owner = replicas.start()
    (standby,) = replicas.others(owner)
    viewer.see(replicas.address)
    owner.pause()
    wait_owner(standby, time.monotonic(), "the owner was paused")
    # A client that has both addresses would wait for the one that is paused.
    owner.clients.stop()
    viewer.see(replicas.address)
    owner.resume()
    owner.server.wait_logged("state.fenced")
    wait_until(lambda: owner.server.status()["role"] == "standby", "it stands by")
    owner.server.wait_no_watches()
    assert not owner.server.logged("watch.stopped")
    assert owner_metric(owner) == 0
    owner.clients.start()
    assert standby.server.stop() == 0
    wait_owner(owner, time.monotonic(), "the former owner is an owner again")
    viewer.see(replicas.address)


def test_one_of_three_takes_over(run: Run, viewer: Viewer) -> None:
    """Exactly one, until one is left."""
    replicas = run(3)
    owner, left = replicas.start(), [*replicas]
    while len(left) > 1:
        viewer.see(replicas.address)
        owner.kill()
        left.remove(owner)
        killed_s = time.monotonic()
        owner = replicas.wait_owner()
        print(f"takeover, one of {len(left)}: {time.monotonic() - killed_s:.2f} s")
        assert sum(owner_metric(each) for each in left) == 1
    viewer.see(replicas.address)


def test_a_transaction_that_the_owner_is_paused_in_is_ended(
    run: Run, viewer: Viewer, root: Path, url: str, cluster: Cluster, name: str
) -> None:
    """It holds the lock of the watch that the successor opens."""
    replicas = run(2)
    owner = replicas.start()
    (standby,) = replicas.others(owner)
    schema = url.rpartition("=")[2]
    burst(root, LARGE)
    with psycopg.connect(cluster.url) as locking, viewer.connected(replicas.address) as client:
        locking.execute(f"LOCK TABLE {schema}.entry IN EXCLUSIVE MODE".encode())
        client.start(name, config(root, existing="report", metadata=PADDING))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: bool(cluster.execute(waiting)), "its step waits for the lock")
        owner.pause()
    wait_until(lambda: bool(cluster.execute(IN_TRANSACTION)), "it is paused in a transaction")
    wait_owner(standby, time.monotonic(), "the owner was paused in a transaction")
    assert standby.server.logged("state.sessions_ended")
    assert not cluster.execute(IN_TRANSACTION)
    owner.clients.stop()
    viewer.see(replicas.address)


def ends(server: ServerProcess) -> None:
    """Stop a server, which has to end soon, and by itself."""
    start_s = time.monotonic()
    server.signal(SIGTERM)
    assert server.wait(STOP_S) == 0, server.log
    print(f"stopped within {time.monotonic() - start_s:.2f} s")


@pytest.mark.parametrize("role", ["standby", "owner"])
@pytest.mark.parametrize("fault", ["black hole", "refused"])
def test_a_server_that_does_not_reach_its_database_can_be_stopped(
    run: Run, viewer: Viewer, role: str, fault: str
) -> None:
    replicas = run(2)
    owner = replicas.start()
    viewer.see(replicas.address)
    replica = owner if role == "owner" else replicas.others(owner)[0]
    if fault == "refused":
        replica.database.stop()
        replica.server.wait_logged("state.lost")
    else:
        replica.database.block()
    if role == "owner":
        wait_until(lambda: not replica.is_listening(), "it is cut off")
    ends(replica.server)


def test_a_server_can_be_stopped_while_it_takes_over(
    run: Run, viewer: Viewer, url: str, cluster: Cluster
) -> None:
    """The state does not answer; the next server takes over."""
    replicas = run(3)
    owner = replicas.start()
    viewer.see(replicas.address)
    others = replicas.others(owner)
    with psycopg.connect(cluster.url) as locking:
        locking.execute(f"LOCK TABLE {url.rpartition('=')[2]}.watch".encode())
        owner.kill()
        wait_until(lambda: any(each.server.logged("state.taken") for each in others), "one takes")
        (taking,) = (each for each in others if each.server.logged("state.taken"))
        ends(taking.server)
    (last,) = (each for each in others if each is not taking)
    wait_owner(last, time.monotonic(), "its successor was stopped")
    viewer.see(replicas.address)


def tenure(cluster: Cluster, url: str) -> list[tuple[object, ...]]:
    """Return who owns the state in which tenure."""
    schema = url.rpartition("=")[2]
    return cluster.execute(f"SELECT server, tenure FROM {schema}.lease")  # noqa: S608 - a schema of the test


@pytest.mark.parametrize("away_s", [8.0, 25.0])
def test_an_outage_of_the_database_moves_nothing(
    run: Run, viewer: Viewer, root: Path, url: str, cluster: Cluster, name: str, away_s: float
) -> None:
    """Longer than the lease, and longer than an owner serves without it; the watch goes on."""
    replicas = run(2)
    owner = replicas.start()
    before = tenure(cluster, url)
    is_long = away_s > CUT_OFF_S
    with viewer.connected(replicas.address) as client:
        first = client.watch(name, viewer.asked)
        (root / "before").touch()
        first.wait_for(bool, "an event")
        cluster.stop(SIGINT)
        stopped_s = time.monotonic()
        (root / "meanwhile").touch()
        if is_long:
            wait_until(lambda: not owner.is_listening(), "it is cut off")
            assert "has not answered for 10 s" in owner.server.ask("/readyz").text
            assert first.wait_end().code is grpc.StatusCode.UNAVAILABLE
        nap(max(0.0, stopped_s + away_s - time.monotonic()))
        cluster.start()
        wait_until(owner.is_ready, "the owner is ready")
    viewer.see(replicas.address)
    assert tenure(cluster, url) == before
    assert len(owner.server.lines("watch.opened")) == 1
    # A slow machine may be away for longer than was asked for, and close its port even afterwards.
    wait_until(
        lambda: (
            len(owner.server.lines("server.listening"))
            == 1 + len(owner.server.lines("server.unready"))
        ),
        "the port is open",
    )
    assert owner.server.logged("server.unready") or not is_long
    assert not replicas.others(owner)[0].server.logged("state.taken")
    with viewer.connected(replicas.address) as client:
        again = client.watch(name, viewer.asked)
        again.wait_for(lambda events: {"before", "meanwhile"} <= {each["path"] for each in events})
