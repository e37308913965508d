"""Events that wait for streams or for quiet: on disk, not in memory, bounded for all watches."""

from pathlib import Path

import pytest

from support.client import Client, wait_until
from support.config import config
from support.files import touch
from support.fixtures import Connect
from support.server import ServerProcess
from system.abuse.conftest import Abuse

METADATA = {"k": "x" * 4000}
"""Nearly the largest: the events of one watch are 11 or 31 MB."""

READ_AHEAD = 32
"""More events than flow control lets through to a stream that does not read; they may be gone."""

WRITTEN = "watcher_written_payloads_total"

WATCHES = 30
FILES = 10_000
NAMES = "{:05}"
"""Of files; 4913 alone is a temporary name of vim."""

AT_ONCE = 2000
"""Fewer changes than the kernel's queue holds: when it overflows, the tree is scanned instead."""

SEEN_S = 600.0
"""Seconds for 300,000 inspections of deleted paths; they take about 40, on a slow machine more."""


# A stream holds what it writes, and what it has read ahead: all that waits would be 1 GB in the
# first case. In the second a watch has 31 MB of events, and a few for caches of state and payloads.
@pytest.mark.parametrize(
    ("watches", "streams_each", "files", "most_mb"),
    [(1, 100, 2500, 96), (15, 1, 7000, 350)],
    ids=["a watch with many streams", "many watches"],
)
def test_large_events_that_nobody_reads(
    abuse: Abuse,
    server: ServerProcess,
    client: Client,
    connect: Connect,
    root: Path,
    name: str,
    watches: int,
    streams_each: int,
    files: int,
    most_mb: int,
) -> None:
    """Streams that do not read cost little, and the journal is there for one that reads."""
    touch(root, files, NAMES)
    asked = config(root, existing="report", metadata=METADATA)
    names = [f"{name} {number}" for number in range(watches)]
    silent = connect(server, has_fixed_window=True)
    with abuse(most_mb):
        written = server.metric(WRITTEN)
        for each in names * streams_each:
            silent.start(each, asked, is_reading=False)
        for each in names:
            server.wait_watch(each, next_seq=files + 1)
        wait_until(
            lambda: server.metric(WRITTEN) >= written + watches * streams_each,
            "each stream was written what it accepts",
        )
        silent.close()
    reading = client.watch(names[0], asked)
    events = reading.wait_for(lambda events: bool(events) and events[-1]["seq"] == files)
    assert len(events) > files - READ_AHEAD
    assert all(event["metadata"] == METADATA for event in events)
    reading.cancel()


# A waiting path takes 400 bytes; the metric shows that not all of them wait.
def test_many_who_wait_for_quiet(
    abuse: Abuse, server: ServerProcess, client: Client, connect: Connect, root: Path, name: str
) -> None:
    """There is no room for all paths that wait for ``settle``, and no watch misses anything."""
    files = touch(root, FILES, NAMES)
    asked = config(root, settle="40s", events=["modified"])
    probe = client.watch(f"{name} probe", config(root, include=["probe *"]))
    many = connect(server)
    names = [f"{name} {number}" for number in range(WATCHES)]
    for stream in [many.start(each, asked) for each in names]:
        stream.ready()
    with abuse(150):
        for start in range(0, FILES, AT_ONCE):
            for file in files[start : start + AT_ONCE]:
                (root / file).unlink()
            (root / f"probe {start}").touch()
            probe.wait_path(f"probe {start}")
        left = FILES // AT_ONCE
        wait_until(
            lambda: all(server.watches()[each]["entries"] == left for each in names),
            "each watch has seen it",
            SEEN_S,
            pause_s=0.5,
        )
    assert server.metric("watcher_rescans_total", reason="many_hints") > 0
    many.close()
    probe.cancel()
