"""Files on FUSE are reported once they are complete, though attributes are cached or clocks differ.

bindfs shows a directory through FUSE, so that it can be written behind the kernel's cache, as on a
file server.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from support.client import Client, wait_until
from support.config import polled
from support.events import told
from system.volumes.namespace import run

WRITES, PAUSE_S = 120, 0.1

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
PART = b"x" * 1000


@contextmanager
def bindfs(volume: Path, point: Path, options: str, ahead_s: int = 0) -> Iterator[None]:
    """Show a directory at another place through FUSE, by a daemon whose clock may be wrong."""
    environment = {"FAKETIME": f"{ahead_s:+d}s", "LD_PRELOAD": LIBFAKETIME} if ahead_s else {}
    process = subprocess.Popen(
        ["bindfs", "-f", "-o", options, volume, point],
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    try:
        wait_until(lambda: process.poll() is not None or point.is_mount(), "bindfs is mounted")
        assert process.poll() is None, "bindfs could not mount"
        yield
    finally:
        run("umount", "--lazy", point)
        process.terminate()
        process.wait()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    (path / "old").write_bytes(b"old")
    return path


def write_slowly(*files: Path) -> Thread:
    """Write files without a pause, in a thread, and return it."""

    def write() -> None:
        opened = [file.open("wb", buffering=0) for file in files]
        for _ in range(WRITES):
            for file in opened:
                file.write(PART)
            time.sleep(PAUSE_S)
        for file in opened:
            file.close()

    thread = Thread(target=write)
    thread.start()
    return thread


def check_writes(client: Client, root: Path, name: str, volume: Path, *names: str) -> None:
    """Write files behind the mount, and check that each is reported once, as a whole."""
    stream = client.watch(name, polled(root, settle="500ms"))
    writer = write_slowly(*(volume / each for each in names))
    wait_until(lambda: not writer.is_alive() or bool(stream.events), "the files are written")
    assert not writer.is_alive(), f"reported too early: {stream.events}"
    stream.wait_count(len(names))
    (volume / "last").write_bytes(b"last")
    events = stream.wait_path("last")
    kinds = {"new": "created", "old": "modified"}
    assert told(events) == sorted([("created", "last"), *((kinds[each], each) for each in names)])
    sizes = {event["path"]: event["size"] for event in events}
    assert sizes == dict.fromkeys(names, WRITES * len(PART)) | {"last": 4}


@pytest.mark.parametrize(("cache_s", "names"), [(3, ["new", "old"]), (300, ["new"])])
def test_attributes_are_cached(
    client: Client, root: Path, name: str, volume: Path, cache_s: int, names: list[str]
) -> None:
    """What stat(2) returns is old, and the same for as long as it is cached.

    A scan notices a change of a known file only then; a new file has to be asked for.
    """
    with bindfs(volume, root, f"attr_timeout={cache_s},entry_timeout={cache_s}"):
        check_writes(client, root, name, volume, *names)


@pytest.mark.parametrize("ahead_s", [-60, 60])
def test_the_file_server_has_another_time(
    client: Client, root: Path, name: str, volume: Path, ahead_s: int
) -> None:
    with bindfs(volume, root, "attr_timeout=1", ahead_s):
        found_s = (root / "old").stat().st_ctime - (volume / "old").stat().st_ctime
        assert abs(found_s - ahead_s) < 1
        check_writes(client, root, name, volume, "new", "old")
