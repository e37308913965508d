"""Several servers on one database, each a process behind relays of its own. Imports no watcher.

A server keeps its ports when it is started again, as a pod behind a Service does. One relay leads
from the server to the database, another one from the clients to the server.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from http.client import HTTPException
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from support.client import wait_until
from support.fixtures import stop_clean
from support.ports import free_ports
from support.relay import Relay
from support.s3.simulated import CREDENTIALS
from support.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

READY_POLL_S = 0.1
"""Seconds between two looks at the probes of servers."""

EXPECTED = frozenset({"watch.failed"})
"""What a server may log when another one has taken a watch, or the database is away."""


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
        make: Starts the process; as ``ServerProcess``.
    """

    def __init__(self, directory: Path, state: str, flags: Sequence[str]) -> None:
        directory.mkdir()
        grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.name = directory.name
        self.database = Relay(state)
        self.clients = Relay(f"http://{grpc}")
        self.is_paused = False
        self.make: Callable[..., ServerProcess] = ServerProcess
        self._directory = directory
        self._state = state
        self._addresses = grpc, http
        self._flags = flags
        self._processes: list[ServerProcess] = []
        self._ids: dict[ServerProcess, str] = {}

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def server(self) -> ServerProcess:
        return self._processes[-1]

    @property
    def id(self) -> str:
        """What the present or last process is called in the database; it has been ready."""
        return self._ids[self.server]

    def start(self) -> None:
        """Start it; it serves a little later."""
        grpc, http = self._addresses
        relayed = urlsplit(self._state)
        user, at, _ = relayed.netloc.rpartition("@")
        relayed = relayed._replace(netloc=f"{user}{at}{self.database.address}")
        flags = ("--listen", grpc, "--http", http, "--state", relayed.geturl(), *self._flags)
        server = self.make(self._directory, flags, CREDENTIALS)
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

    def stop(self) -> None:
        """Ask it to go, and wait until it has."""
        assert self.server.stop() == 0, self.server.log

    def stop_clean(self) -> None:
        """Stop it, if it runs; its logs have no trouble."""
        if self._processes:
            self.resume()
            for server in self._processes:
                stop_clean(server)

    def is_running(self) -> bool:
        """Return whether its process runs, and is not paused."""
        return not self.is_paused and self.server.process.poll() is None

    def is_ready(self) -> bool:
        """Return whether its probe says so; never while it is paused or not there."""
        if not self._processes or not self.is_running():
            return False
        # Killed or paused while it answers, it breaks the answer off or gives none.
        with suppress(OSError, HTTPException):
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

    def wait_ready(self) -> Self:
        """Wait until it serves, and return it."""

        def is_found() -> bool:
            assert self.is_paused or self.server.process.poll() is None, self.server.log
            return self.is_ready()

        wait_until(is_found, f"{self.name} is ready", pause_s=READY_POLL_S)
        if self.server not in self._ids:
            self._ids[self.server] = self.server.status()["server"]["id"]
        return self

    def wait_unready(self) -> None:
        """Wait until its probe says that it cannot serve."""
        wait_until(lambda: not self.is_ready(), f"{self.name} is not ready", pause_s=READY_POLL_S)


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

    def __getitem__(self, number: int) -> Replica:
        return self._replicas[number]

    def start(self) -> Self:
        """Start all, and wait until each serves."""
        for replica in self._replicas:
            replica.start()
        return self.wait_ready()

    def wait_ready(self) -> Self:
        """Wait until each server serves."""
        for replica in self._replicas:
            replica.wait_ready()
        return self

    def others(self, one: Replica) -> list[Replica]:
        """Return all but one."""
        return [replica for replica in self._replicas if replica is not one]

    def ready(self) -> list[Replica]:
        """Return those whose probes say that they serve."""
        return [replica for replica in self._replicas if replica.is_ready()]


class Balancer(Relay):
    """Leads each connection to any server that is ready, as a Service does.

    Args:
        replicas: The servers, which run.
        seed: Decides which server gets a connection.
    """

    def __init__(self, replicas: Replicas, seed: int = 0) -> None:
        super().__init__("http://127.0.0.1")
        self._replicas = replicas
        self._chance = Random(seed)

    def connect(self) -> socket.socket:
        """Connect to a server that is ready, by the relay of its clients.

        Raises:
            OSError: There is none, or it cannot be reached.
        """
        ready = self._replicas.ready()
        if not ready:
            raise ConnectionRefusedError("no server is ready")
        host, _, port = self._chance.choice(ready).clients.address.rpartition(":")
        return socket.create_connection((host, int(port)))
