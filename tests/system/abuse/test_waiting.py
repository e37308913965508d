"""Streams that do not read: their events wait on disk, not in memory."""

from pathlib import Path

from support.client import Client, wait_until
from support.config import config
from support.files import touch
from support.fixtures import Connect
from support.server import ServerProcess
from system.abuse.conftest import Abuse

STREAMS = 100
FILES = 2500
METADATA = {"k": "x" * 4000}
"""With it the events are 11 MB."""

WRITTEN = "watcher_written_payloads_total"


# A stream holds what it writes, and what it has read ahead; all that waits for it would be 1 GB.
def test_streams_that_do_not_read(
    abuse: Abuse, server: ServerProcess, client: Client, connect: Connect, root: Path, name: str
) -> None:
    """A hundred streams of a watch, none of which reads, cost little."""
    touch(root, FILES)
    asked = config(root, existing="report", metadata=METADATA)
    silent = connect(server, has_fixed_window=True)
    with abuse(96):
        written = server.metric(WRITTEN)
        for _ in range(STREAMS):
            silent.start(name, asked, is_reading=False)
        server.wait_watch(name, next_seq=FILES + 1)
        wait_until(
            lambda: server.metric(WRITTEN) >= written + STREAMS,
            "each stream was written what it accepts",
        )
        silent.close()
    # The journal is still there for a stream that reads.
    reading = client.watch(name, asked)
    reading.wait_count(FILES)
    reading.cancel()
