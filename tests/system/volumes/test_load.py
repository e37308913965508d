"""Large bursts and overflows: nothing missing, invented, or repeated."""

import threading
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from support.client import Client, Event, Stream
from support.config import config
from support.events import told
from support.files import touch
from support.fixtures import Connect, StartServer

FILES = 20_000
"""More than the kernel's queue holds (16,384 notifications, inotify(7)), which may overflow. The
names have five digits: 4913 is a temporary name of vim."""

TREE = 10_000
"""Directories in each of which a file is created, written and closed: nearly twice as many
notifications as the kernel's queue holds."""

MOVED = 20
PACE_S = 0.1


def finish(stream: Stream, root: Path) -> list[Event]:
    """Return all events, after one of a file that stays open and so comes last."""
    with (root / ".last").open("wb", buffering=0) as file:
        file.write(b"1")
        stream.wait_path(".last")
    return [event for event in stream.events if event["path"] != ".last"]


@pytest.mark.parametrize("directories", [1, 1000])
def test_burst(client: Client, root: Path, name: str, directories: int) -> None:
    """Twenty thousand files at full speed are each reported once."""
    for number in range(directories):
        (root / f"{number}").mkdir()
    stream = client.watch(name, config(root))
    paths = [f"{number % directories}/{number:05}" for number in range(FILES)]
    for path in paths:
        (root / path).touch()
    stream.wait_count(FILES)
    assert told(finish(stream, root)) == sorted(("created", path) for path in paths)


def test_overflow_in_a_large_tree(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """The kernel's queue overflows while ten thousand directories change."""
    for number in range(TREE):
        (root / f"{number}").mkdir()
    server = start_server()
    stream = connect(server).watch(name, config(root))
    server.signal(SIGSTOP)
    try:
        for number in range(TREE):
            (root / f"{number}" / "file").write_text("1")
    finally:
        server.signal(SIGCONT)
    stream.wait_count(TREE)
    expected = sorted(("created", f"{number}/file") for number in range(TREE))
    assert told(finish(stream, root)) == expected
    assert "notifications_lost" in server.watches()[name]["rescans"]


def test_directories_that_are_moved_out(client: Client, root: Path, name: str) -> None:
    """Their files are deleted, what changes in them outside is not reported, other files are."""
    for number in range(MOVED):
        (root / f"{number}").mkdir()
        touch(root / f"{number}", 10)
    (root / "stay").mkdir()
    outside = root.with_name("outside")
    outside.mkdir()
    stream = client.watch(name, config(root))
    written: list[int] = []
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            (root / "stay" / f"{len(written):05}").touch()
            written.append(len(written))
            time.sleep(0.0005)  # leaves the processor to the others

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(MOVED):
            moved = (root / f"{number}").rename(outside / f"{number}")
            (moved / "unseen").touch()
            (moved / "0").write_text("unseen")
            done.wait(PACE_S)
    finally:
        done.set()
        writer.join()
    stream.wait_count(MOVED * 10 + len(written))
    gone = [("deleted", f"{number}/{file}") for number in range(MOVED) for file in range(10)]
    stayed = [("created", f"stay/{number:05}") for number in written]
    assert told(finish(stream, root)) == sorted(gone + stayed)
