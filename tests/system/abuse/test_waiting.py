"""Clients for which much waits and which do not read: it waits on disk, and not in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.client import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
STREAMS = 100
FILES = 2500
METADATA = {"k": "x" * 4000}


# A stream holds what it is writing, some copies of it, and what it has read ahead; with all that waits for it, these would take 1 GB.
def test_streams_that_do_not_read(
    abuse: Abuse,
    server: ServerProcess,
    client: Client,
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """A hundred streams of a watch, none of which is read, take little for the ten megabytes of events that wait for each of them."""
    for number in range(FILES):
        (root / f"{number}").touch()
    config = {"directory": str(root), "existing": "report", "metadata": METADATA}
    silent = connect(server, has_fixed_window=True)
    with abuse(96 * MB):
        written = payloads_written(server)
        for _ in range(STREAMS):
            silent.start(name, config, is_reading=False)
        server.wait_watch(name, unconfirmed=FILES)
        wait_until(
            lambda: payloads_written(server) >= written + STREAMS,
            "each stream has been written what it takes",
        )
        silent.close()
    # The journal is still there for who reads it.
    reading = client.watch(name, config)
    reading.wait_count(FILES)
    reading.cancel()


def payloads_written(server: ServerProcess) -> float:
    """Return how many payloads the server has written to streams."""
    (line,) = re.findall(
        r"^watcher_written_payloads_total (.+)$", server.get("/metrics")[1], re.MULTILINE
    )
    return float(line)
