"""Two and three servers on one database: one owns the state and serves, the others take over."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from support.client import Client, Contract, wait_until
from support.config import config
from support.fixtures import StartServer
from support.server import ServerProcess

LEASE_S = 5.0
TAKEOVER_S = 3 * (LEASE_S + 1.0)
"""Longest time of a takeover that is no failure; one second above the lease is what is promised."""


class Replicas:
    """Servers on one state, and a client that has the addresses of all of them."""

    def __init__(self, start: StartServer, url: str, root: Path) -> None:
        self.servers: list[ServerProcess] = []
        self._start = start
        self._flags = ("--state", url, "--allow-directory", str(root))

    def start(self, *, is_standby: bool = True) -> ServerProcess:
        """Start a server, the first of which owns the state."""
        server = self._start(*self._flags, is_standby=is_standby and bool(self.servers))
        self.servers.append(server)
        return server

    @property
    def address(self) -> str:
        """The addresses of all, as gRPC takes them."""
        return f"ipv4:{','.join(server.address for server in self.servers)}"


def is_owner(server: ServerProcess) -> bool:
    return server.metric("watcher_state_owner") == 1


def wait_owner(server: ServerProcess, since_s: float, what: str) -> None:
    """Wait until a server is ready, and print and judge the time since then."""
    wait_until(lambda: server.ask("/readyz").status == 200, f"it takes over: {what}")
    taken_s = time.monotonic() - since_s
    print(f"takeover, {what}: {taken_s:.2f} s")
    assert taken_s < TAKEOVER_S


@pytest.fixture
def replicas(start_server: StartServer, url: str, root: Path) -> Replicas:
    return Replicas(start_server, url, root)


@pytest.fixture
def watch(contract: Contract, root: Path, name: str) -> Iterator[Callable[[Replicas], str]]:
    """Return what makes a file and waits for its event, by a client of all servers."""
    with ExitStack() as stack:
        numbers = iter(range(1000))

        def see(replicas: Replicas) -> str:
            path = f"{next(numbers)}.csv"
            client = Client(replicas.address, contract)
            stack.callback(client.close)
            while client.start(name, config(root)).has_ended_before_it_was_ready():
                pass
            stream = client.watch(name, config(root))
            (root / path).write_text(path)
            events = stream.wait_for(lambda found: any(each["path"] == path for each in found))
            client.close()
            return str(next(each["id"] for each in events if each["path"] == path))

        yield see


def test_a_standby_is_alive_and_not_ready_and_names_the_owner(replicas: Replicas) -> None:
    """Its gRPC port refuses connections; what asks for a watch is refused with the reason."""
    owner, standby = replicas.start(), replicas.start()
    assert owner.ask("/readyz").status == owner.ask("/healthz").status == 200
    assert standby.ask("/healthz").status == 200
    ready = standby.ask("/readyz")
    assert (ready.status, ready.text.startswith("standby: ")) == (503, True)
    host, _, port = standby.address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    status = standby.status()
    assert (status["role"], status["watches"], status["idle"]) == ("standby", [], [])
    assert status["owner"] == owner.status()["owner"]
    assert status["owner"]["name"] in ready.text
    assert "standby: " in standby.get("/")[1]
    for path, body in (("/ack", {"id": "x-1"}), ("/release", {"name": "x"}), ("/hint", {})):
        answer = standby.ask(path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert (answer.status, "owns the state" in answer.text) == (503, True), path
    assert [is_owner(each) for each in replicas.servers] == [True, False]
    assert standby.stop() == owner.stop() == 0


def test_a_standby_takes_over_when_the_owner_is_killed(
    replicas: Replicas, watch: Callable[[Replicas], str]
) -> None:
    """A client that has both addresses gets its stream where the owner is; ids go on."""
    owner, standby = replicas.start(), replicas.start()
    uid, _, first = watch(replicas).partition("-")
    owner.kill()
    wait_owner(standby, time.monotonic(), "the owner was killed")
    assert standby.address in standby.log
    assert standby.lines("server.listening")[0]["address"] == standby.address
    same, _, second = watch(replicas).partition("-")
    assert (same, int(second) > int(first)) == (uid, True)
    assert standby.metric("watcher_takeovers_total", reason="expired") == 1


def test_a_standby_takes_over_at_once_when_the_owner_is_stopped(
    replicas: Replicas, watch: Callable[[Replicas], str]
) -> None:
    """And back, when the former owner has been started again."""
    owner, standby = replicas.start(), replicas.start()
    watch(replicas)
    assert owner.stop() == 0
    wait_owner(standby, time.monotonic(), "the owner has stopped")
    assert standby.metric("watcher_takeovers_total", reason="released") == 1
    replicas.servers.remove(owner)
    third = replicas.start()
    watch(replicas)
    assert standby.stop() == 0
    wait_owner(third, time.monotonic(), "its successor has stopped")
    watch(replicas)


def test_a_paused_owner_stands_by_when_it_wakes(
    replicas: Replicas, watch: Callable[[Replicas], str]
) -> None:
    """Its streams end, its watches end silently, and it takes over again later."""
    owner, standby = replicas.start(), replicas.start()
    watch(replicas)
    owner.signal(SIGSTOP)
    try:
        wait_owner(standby, time.monotonic(), "the owner was paused")
        # A client with both addresses waits for the one that is paused: it has connected.
        replicas.servers.remove(owner)
        watch(replicas)
    finally:
        owner.signal(SIGCONT)
    owner.wait_logged("state.fenced")
    wait_until(lambda: owner.status()["role"] == "standby", "it stands by")
    owner.wait_no_watches()
    assert not owner.logged("watch.stopped")
    assert owner.metric("watcher_state_owner") == 0
    replicas.servers.append(owner)
    assert standby.stop() == 0
    wait_owner(owner, time.monotonic(), "the former owner is an owner again")
    watch(replicas)
    assert json.loads(owner.get("/status.json")[1])["role"] == "owner"


def test_one_of_three_takes_over(replicas: Replicas, watch: Callable[[Replicas], str]) -> None:
    servers = [replicas.start() for _ in range(3)]
    while len(servers) > 1:
        watch(replicas)
        owner = next(server for server in servers if is_owner(server))
        owner.kill()
        killed_s = time.monotonic()
        servers.remove(owner)
        wait_until(lambda: any(map(is_owner, servers)), "one takes over")
        print(f"takeover, one of {len(servers)}: {time.monotonic() - killed_s:.2f} s")
        assert sum(map(is_owner, servers)) == 1
    watch(replicas)
