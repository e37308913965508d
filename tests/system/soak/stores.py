"""A real S3 server that is killed and restarted with its data. Imports no watcher."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import Self

from support.s3.real_servers import SEAWEEDFS_PORTS, run_seaweedfs

LOWEST_PORT = 10_000
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class RestartingStore:
    """SeaweedFS that keeps its ports; use it as a context manager.

    Args:
        directory: Gets its data and its log.

    Attributes:
        server: The running server.
        restarts: Number of restarts.
    """

    def __init__(self, directory: Path) -> None:
        self.restarts = 0
        self._directory = directory
        self._ports = list(islice(_lasting_ports(), len(SEAWEEDFS_PORTS)))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            RuntimeError: It does not start.
        """
        self.server, self._process = self._stack.enter_context(
            run_seaweedfs(self._directory, self._ports)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Kill it, and start it again.

        Raises:
            RuntimeError: It does not start.
        """
        self._process.kill()
        self.__exit__()
        self.__enter__()
        self.restarts += 1


def _lasting_ports() -> Iterator[int]:
    """Yield free ports below the kernel's range, so that they stay free while the store is down."""
    below = range(LOWEST_PORT, int(PORT_RANGE.read_text().split()[0]))
    for port in SystemRandom().sample(below, len(below)):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            yield port
