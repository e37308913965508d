"""Many event sources on a directory in which much happens: what they are yet to look at, or to write, is bounded for all together."""

from __future__ import annotations

import re
from contextlib import closing
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
WATCHES = 30
FILES = 10_000
AT_ONCE = 2000
"""Less than the kernel's queue holds; when that overflows nothing waits, since the tree is scanned."""

SEEN_S = 600.0
"""Most of it for 300,000 looks at what is gone; a machine may be slow."""

LARGE_WATCHES, LARGE_FILES = 15, 7000
LARGE_METADATA = {"k": "x" * 4000}
"""So that the events of all files take 30 MB for each event source."""


# Of each, a megabyte stays; caches of state files and payloads take 80 MB together.
def test_many_with_large_events(
    abuse: Abuse, server: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Many event sources that find hundreds of files at the same time, each with large metadata, write them without holding them."""
    for number in range(LARGE_FILES):
        (root / f"{number}").touch()
    config = {"directory": str(root), "existing": "report", "metadata": LARGE_METADATA}
    names = [f"{name} {number}" for number in range(LARGE_WATCHES)]
    with abuse(160 * MB), closing(connect(server, has_fixed_window=True)) as silent:
        for each in names:
            silent.start(each, config, is_reading=False)
        for each in names:
            server.wait_watch(each, unconfirmed=LARGE_FILES)


# A path that waits takes 400 bytes: all of them would take 120 MB.
def test_many_who_wait_for_quiet(
    abuse: Abuse,
    server: ServerProcess,
    client: Client,
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """Thousands of files vanish for many who wait for quiet; for all their paths there is no room, and none misses anything."""
    files = [root / f"{number}" for number in range(FILES)]
    for file in files:
        file.touch()
    config = {"directory": {"path": str(root), "settle": "40s"}, "events": ["modified"]}
    probe = client.watch(f"{name} probe", {"directory": str(root), "include": ["probe *"]})
    with closing(connect(server)) as many:
        names = [f"{name} {number}" for number in range(WATCHES)]
        for stream in [many.start(each, config) for each in names]:
            stream.ready()
        with abuse(128 * MB):
            for start in range(0, FILES, AT_ONCE):
                for file in files[start : start + AT_ONCE]:
                    file.unlink()
                (root / f"probe {start}").touch()
                probe.wait_path(f"probe {start}")
            left = FILES // AT_ONCE
            wait_until(
                lambda: all(server.watches()[each]["entries"] == left for each in names),
                "each has seen it",
                SEEN_S,
                pause_s=0.5,
            )
        rescans = re.search(
            r'^watcher_rescans_total{reason="many_hints"} (.+)$',
            server.get("/metrics")[1],
            re.MULTILINE,
        )
        assert rescans
        assert float(rescans[1]) > 0
    probe.cancel()
