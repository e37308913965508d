"""A real S3 server that is killed and started again with its data. Imports no watcher."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Self

from support.s3.real_servers import SEAWEEDFS_PORTS, run_seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator

LOWEST_PORT = 10_000
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class RestartingStore:
    """SeaweedFS on ports that stay its own; use it as a context manager.

    Args:
        directory: For its data and its log.

    Attributes:
        server: How it is reached.
        restarts: How often it was killed and started again.
    """

    def __init__(self, directory: Path) -> None:
        self.restarts = 0
        self._directory = directory
        self._ports = list(islice(_lasting_ports(), len(SEAWEEDFS_PORTS)))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            RuntimeError: It does not come up.
        """
        self.server, self._process = self._stack.enter_context(
            run_seaweedfs(self._directory, self._ports)
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._stack.close()

    def restart(self) -> None:
        """Kill it as a crash would, and start it again.

        Raises:
            RuntimeError: It does not come up.
        """
        self._process.kill()
        self.__exit__()
        self.__enter__()
        self.restarts += 1


def _lasting_ports() -> Iterator[int]:
    """Yield free ports that the kernel gives to nobody else while the store is down."""
    below = range(LOWEST_PORT, int(PORT_RANGE.read_text().split()[0]))
    for port in SystemRandom().sample(below, len(below)):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            yield port
