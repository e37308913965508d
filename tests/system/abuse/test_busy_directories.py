"""Many watches of one busy directory: paths and events that wait are bounded for all together."""

from contextlib import closing
from pathlib import Path

from support.client import Client, wait_until
from support.config import config
from support.files import touch
from support.fixtures import Connect
from support.server import ServerProcess
from system.abuse.conftest import Abuse

WATCHES = 30
FILES = 10_000
AT_ONCE = 2000
"""Fewer changes than the kernel's queue holds: when it overflows, the tree is scanned instead."""

SEEN_S = 600.0
"""Seconds for 300,000 inspections of deleted paths; they take about 40, on a slow machine more."""

LARGE_WATCHES, LARGE_FILES = 15, 7000
LARGE_METADATA = {"k": "x" * 4000}
"""With it the events take 31 MB for each watch, 460 MB for all."""


# A few megabytes of events for each watch, and 80 MB of caches of state files and payloads.
def test_many_with_large_events(
    abuse: Abuse, server: ServerProcess, connect: Connect, root: Path, name: str
) -> None:
    """Watches that find thousands of files at once write large events without holding them."""
    touch(root, LARGE_FILES)
    asked = config(root, existing="report", metadata=LARGE_METADATA)
    names = [f"{name} {number}" for number in range(LARGE_WATCHES)]
    with abuse(350), closing(connect(server, has_fixed_window=True)) as silent:
        for each in names:
            silent.start(each, asked, is_reading=False)
        for each in names:
            server.wait_watch(each, next_seq=LARGE_FILES + 1)


# A waiting path takes 400 bytes; the metric shows that not all of them wait.
def test_many_who_wait_for_quiet(
    abuse: Abuse, server: ServerProcess, client: Client, connect: Connect, root: Path, name: str
) -> None:
    """There is no room for all paths that wait for ``settle``, and no watch misses anything."""
    files = touch(root, FILES)
    asked = config(root, settle="40s", events=["modified"])
    probe = client.watch(f"{name} probe", config(root, include=["probe *"]))
    with closing(connect(server)) as many:
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
    probe.cancel()
