"""Several servers on one database, each a process behind relays of its own. Imports no watcher.

A server keeps its ports when it is started again, as a pod behind a Service does. One relay leads
from the server to the database, another one from the clients to the server.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING, Self
from urllib.error import URLError
from urllib.parse import urlsplit

from support.client import wait_until
from support.fixtures import stop_clean
from support.relay import Relay
from support.s3.real_servers import free_ports
from support.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

READY_POLL_S = 0.1
"""Seconds between two looks at the probes of servers."""

EXPECTED = frozenset({"watch.failed"})
"""What a server may log when another one has taken over, or the database is away."""


class Replica:
    """One server; started again it has the same ports.

    Args:
        directory: For its logs.
        state: The URL of the database.
        flags: Further flags.

    Attributes:
        name: As it appears in messages of tests.
        database: The relay to the database.
        clients: The relay from the clients.
        server: The present or last process.
        is_paused: Whether the process is stopped by SIGSTOP.
    """

    def __init__(self, directory: Path, state: str, flags: Sequence[str]) -> None:
        directory.mkdir()
        grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.name = directory.name
        self.database = Relay(state)
        self.clients = Relay(f"http://{grpc}")
        self.is_paused = False
        self._directory = directory
        self._state = state
        self._addresses = grpc, http
        self._flags = flags
        self._processes: list[ServerProcess] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def server(self) -> ServerProcess:
        return self._processes[-1]

    def start(self) -> None:
        """Start it; it is a standby, or the owner of the state, a little later."""
        grpc, http = self._addresses
        relayed = urlsplit(self._state)
        user, at, _ = relayed.netloc.rpartition("@")
        relayed = relayed._replace(netloc=f"{user}{at}{self.database.address}")
        flags = ("--listen", grpc, "--http", http, "--state", relayed.geturl(), *self._flags)
        server = ServerProcess(self._directory, flags)
        server.address, server.http = grpc, f"http://{http}"
        server.expected |= EXPECTED
        self._processes.append(server)

    def kill(self) -> None:
        self.server.kill()
        self.is_paused = False

    def pause(self) -> None:
        """Stop the process, which then does nothing, not even end."""
        self.server.signal(SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self.server.signal(SIGCONT)
        self.is_paused = False

    def stop_clean(self) -> None:
        """Stop it, if it runs; its logs have no trouble."""
        if self._processes:
            self.resume()
            for server in self._processes:
                stop_clean(server)

    def is_ready(self) -> bool:
        """Return whether its probe says so; never while it is paused or not there."""
        if self.is_paused or self.server.process.poll() is not None:
            return False
        with suppress(URLError, ConnectionError):
            return self.server.ask("/readyz").status == 200
        return False

    def is_listening(self) -> bool:
        """Return whether its gRPC port is open."""
        with suppress(OSError), self.connect():
            return True
        return False

    def connect(self) -> socket.socket:
        """Connect to its gRPC port.

        Raises:
            OSError: It does not listen.
        """
        host, _, port = self._addresses[0].rpartition(":")
        return socket.create_connection((host, int(port)))

    def wait_standing_by(self) -> None:
        """Wait until it knows that another one owns the state."""
        wait_until(
            lambda: self.server.logged("state.standby") and not self.is_ready(),
            f"{self.name} is a standby",
            pause_s=READY_POLL_S,
        )


class Replicas:
    """The servers of one database and their relays; use it as a context manager.

    Args:
        directory: For logs.
        count: Number of servers.
        state: The URL of the database.
        flags: Flags of every server.
    """

    def __init__(self, directory: Path, count: int, state: str, *flags: str) -> None:
        names = (directory / f"server{number}" for number in range(count))
        self._replicas = [Replica(name, state, flags) for name in names]
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for replica in self._replicas:
                stack.enter_context(replica.database)
                stack.enter_context(replica.clients)
                stack.callback(replica.stop_clean)
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas)

    @property
    def address(self) -> str:
        """The addresses of all servers, of which a client takes the first that answers."""
        return f"ipv4:{','.join(replica.clients.address for replica in self._replicas)}"

    def start(self) -> Replica:
        """Start all, and return the owner once the others stand by."""
        for replica in self._replicas:
            replica.start()
        owner = self.wait_owner()
        for replica in self.others(owner):
            replica.wait_standing_by()
        return owner

    def others(self, one: Replica) -> list[Replica]:
        """Return all but one."""
        return [replica for replica in self._replicas if replica is not one]

    def wait_owner(self) -> Replica:
        """Wait until exactly one server is ready, and return it."""
        ready: list[Replica] = []

        def is_found() -> bool:
            ready[:] = [replica for replica in self._replicas if replica.is_ready()]
            return len(ready) == 1

        wait_until(is_found, "one server owns the state", pause_s=READY_POLL_S)
        return ready[0]


class Balancer(Relay):
    """Leads each connection to a server that is ready, as a Service does.

    Args:
        replicas: The servers, which run.
    """

    def __init__(self, replicas: Replicas) -> None:
        super().__init__("http://127.0.0.1")
        self._replicas = replicas

    def connect(self) -> socket.socket:
        """Connect to a server that is ready.

        Raises:
            ConnectionRefusedError: There is none.
        """
        for replica in self._replicas:
            if replica.is_ready():
                return replica.connect()
        raise ConnectionRefusedError("no server is ready")
