"""The servers of a soak: one on files of its own, or several on one database.

Imports no watcher.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from signal import SIGINT, SIGQUIT
from typing import TYPE_CHECKING, Protocol, Self

from support.client import wait_until
from support.fixtures import stop_clean
from support.postgres import run_cluster
from support.relay import Relay
from support.replicas import Balancer, Replicas
from support.s3.simulated import CREDENTIALS
from support.server import SLOW_PAUSE_S, ServerProcess
from system.replicas.audit import Audit, check_writes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from random import Random

SCHEMA = "soak"

PAUSE_S = 10.0
"""Average pause between two faults of servers."""

LONGEST_S = 8.0
"""Longest fault, longer than a lease."""


class Servers(Protocol):
    """Servers that have the same watches.

    Attributes:
        first: Runs all the while, so that its resources can be compared; shows all watches.
    """

    first: ServerProcess

    def relay(self) -> Relay:
        """Return a relay to whichever of them serves, for one client."""

    def disturbed(self, chance: Random) -> AbstractContextManager[Counter[str]]:
        """Let them have faults while the block runs, and count these by kind."""

    def check(self) -> None:
        """Wait until everything is confirmed, and check what was written.

        Raises:
            AssertionError: It is not, or something was written that may not be.
        """


def open_servers(
    directory: Path, count: int, flags: tuple[str, ...]
) -> AbstractContextManager[Servers]:
    """Return servers that run while they are open.

    Args:
        directory: For logs, and the state of one server.
        count: Number of servers; several share a database.
        flags: Of each server.
    """
    if count == 1:
        return _OneServer(directory, flags)
    return _SharedServers(directory, count, flags)


class _OneServer:
    """One server on state files, without faults."""

    def __init__(self, directory: Path, flags: tuple[str, ...]) -> None:
        self.first = ServerProcess(directory, flags, CREDENTIALS)

    def __enter__(self) -> Self:
        self.first.listening()
        return self

    def __exit__(self, *_: object) -> None:
        stop_clean(self.first)

    def relay(self) -> Relay:
        return Relay(f"http://{self.first.address}")

    @contextmanager
    def disturbed(self, _: Random) -> Iterator[Counter[str]]:
        yield Counter()

    def check(self) -> None:
        self.first.wait_all_confirmed()


class _SharedServers:
    """Several servers on one database; all but the first have faults, and so has the database."""

    def __init__(self, directory: Path, count: int, flags: tuple[str, ...]) -> None:
        self._directory = directory
        self._count = count
        self._flags = flags
        self._relays = 0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._cluster = stack.enter_context(run_cluster())
            state = f"{self._cluster.url}?schema={SCHEMA}"
            replicas = Replicas(self._directory, self._count, state, *self._flags)
            self._replicas = stack.enter_context(replicas).start()
            self._audit = Audit(self._cluster, SCHEMA)
            self.first = self._replicas[0].server
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def relay(self) -> Relay:
        self._relays += 1
        return Balancer(self._replicas, self._relays)

    @contextmanager
    def disturbed(self, chance: Random) -> Iterator[Counter[str]]:
        faults: Counter[str] = Counter()
        is_over = threading.Event()

        def run() -> None:
            while not is_over.wait(chance.uniform(0, 2 * PAUSE_S)):
                faults[self._disturb(chance, is_over)] += 1
                self._replicas.wait_ready()

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(run)
            try:
                yield faults
            finally:
                is_over.set()
            running.result()

    def _disturb(self, chance: Random, is_over: threading.Event) -> str:
        """Let something fail for a while, and return what."""
        kind = chance.choice(["killed", "stopped", "paused", "database restarted"])
        victim = chance.choice(self._replicas.others(self._replicas[0]))
        if kind == "killed":
            victim.kill()
        elif kind == "stopped":
            victim.stop()
        elif kind == "paused":
            victim.pause()
        else:
            self._cluster.stop(chance.choice([SIGINT, SIGQUIT]))
        is_over.wait(chance.uniform(0, LONGEST_S))
        if kind == "paused":
            # A balancer cuts the connections to a server that does not answer its probes.
            victim.clients.stop()
            victim.resume()
            victim.clients.start()
        elif kind == "database restarted":
            self._cluster.start()
        else:
            victim.start()
        return kind

    def check(self) -> None:
        query = f"SELECT 1 FROM {SCHEMA}.counters WHERE cursor < next_seq - 1"  # noqa: S608 - a constant
        wait_until(
            lambda: not self._cluster.execute(query), "all is confirmed", pause_s=SLOW_PAUSE_S
        )
        check_writes(self._audit.written())
