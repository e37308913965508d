"""A directory, or the volume under it, goes away and comes back: nothing is deleted by that."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, Stream
from support.config import polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from system.volumes.namespace import bind, mount_tmpfs, rclone_mount, unmount

NAMES = [f"{number}" for number in range(120)]
"""More files than the hundred above which deletions are held."""

DIFFERENCE = [("created", "last"), ("created", "new"), ("deleted", "1"), ("modified", "0")]
SOON = ("--redelivery-window", "100ms")
OTHER_VOLUME = "the file system was"
"""Part of the status of a watch whose root has another file system than before."""


def change(directory: Path) -> None:
    """Make the changes of ``DIFFERENCE`` but for the last file."""
    (directory / "0").write_text("22")
    (directory / "1").unlink()
    (directory / "new").write_text("1")


def wait_unavailable(server: ServerProcess, name: str, why: str) -> None:
    """Wait until the place cannot be read, for this reason."""
    server.wait_reason(name, "error", why)
    server.wait_watch(name, state="unavailable")


def finish(server: ServerProcess, name: str, stream: Stream, root: Path) -> None:
    """Wait until the watch is well again; the difference, and nothing else, is reported."""
    server.wait_watch(name, state="watching", error="")
    stream.wait_count(len(DIFFERENCE) - 1)
    (root / "last").touch()
    assert told(stream.wait_path("last")) == DIFFERENCE
    assert stream.is_open


@pytest.fixture
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Make a directory to mount, on the machine's file system or on one of its own."""
    path = tmp_path / "volume"
    path.mkdir()
    if request.param == "tmpfs":
        mount_tmpfs(path)
    fill(path, *NAMES)
    yield path
    if request.param == "tmpfs":
        unmount(path)


@pytest.fixture
def mounted(volume: Path, root: Path) -> Iterator[Path]:
    """Mount the volume at the root."""
    bind(volume, root)
    yield root
    subprocess.run(["umount", "--lazy", root], check=False, capture_output=True)


volumes = pytest.mark.parametrize("volume", ["directory", "tmpfs"], indirect=True)
modes = pytest.mark.parametrize("mode", ["notify", "poll"])


@modes
def test_root_that_is_renamed_away(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    fill(root, *NAMES)
    stream = client.watch(name, polled(root, mode))
    away = root.rename(root.with_name("away"))
    wait_unavailable(server, name, "gone")
    assert stream.events == []
    change(away)
    away.rename(root)
    finish(server, name, stream, root)


@modes
def test_root_that_is_removed(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    """What is in it when it exists again is compared with what was in it."""
    fill(root, "0", "1")
    stream = client.watch(name, polled(root, mode))
    shutil.rmtree(root.rename(root.with_name("away")))
    wait_unavailable(server, name, "gone")
    assert stream.events == []
    ready = root.with_name("ready")
    ready.mkdir()
    for path in ("0", "new"):
        (ready / path).write_text("22")
    ready.rename(root)
    finish(server, name, stream, root)


@volumes
@modes
def test_volume_that_is_unmounted(
    server: ServerProcess, client: Client, volume: Path, mounted: Path, name: str, mode: str
) -> None:
    """The empty directory under a volume deletes nothing."""
    stream = client.watch(name, polled(mounted, mode))
    unmount(mounted)
    wait_unavailable(server, name, OTHER_VOLUME)
    change(volume)
    assert stream.events == []
    bind(volume, mounted)
    finish(server, name, stream, mounted)


@modes
def test_root_that_is_mounted_over(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    """A file system that is mounted over the directory is not compared with it."""
    fill(root, *NAMES)
    stream = client.watch(name, polled(root, mode))
    mount_tmpfs(root)
    try:
        wait_unavailable(server, name, OTHER_VOLUME)
        (root / "other").write_text("1")
        assert stream.events == []
    finally:
        unmount(root)
    change(root)
    finish(server, name, stream, root)


@volumes
def test_volume_that_is_not_mounted_at_the_start(
    start_server: StartServer,
    connect: Connect,
    volume: Path,
    mounted: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A server that starts before the volume is mounted refuses the stream, with the reason."""
    asked = polled(mounted, "auto")
    first = start_server(*SOON, directory=tmp_path)
    connect(first).watch(name, asked)
    first.wait_watch(name, entries=len(NAMES), state="watching")
    assert first.stop() == 0
    unmount(mounted)
    change(volume)

    second = start_server(*SOON, directory=tmp_path)
    ending = connect(second).refusal(name, asked)
    assert ending.code.name == "UNAVAILABLE"
    assert OTHER_VOLUME in ending.details
    bind(volume, mounted)
    stream = connect(second).watch(name, asked)
    finish(second, name, stream, mounted)


def test_subpath_mounts_are_warned_of(
    server: ServerProcess, client: Client, root: Path, name: str, tmp_path: Path
) -> None:
    """A ConfigMap's key that is mounted alone degrades the watch, and the log has what to do."""
    generation = tmp_path / "volume" / "..2026_01_31_12_00_00.123456789"
    fill(generation, "key")
    fill(root, "key")
    bind(generation / "key", root / "key")
    try:
        stream = client.watch(name, polled(root, "auto"))
        assert str(root / "key") in server.watches()[name]["degraded"]
        fill(root, "a")
        assert told(stream.wait_path("a")) == [("created", "a")]
        (warning,) = server.wait_logged("watch.subpath", place=f"file://{root}")
        assert (warning["level"], "whole volume" in warning["hint"]) == ("warning", True)
    finally:
        unmount(root / "key")


def test_fuse_is_polled(
    server: ServerProcess, client: Client, root: Path, name: str, tmp_path: Path
) -> None:
    """A FUSE mount is polled by itself, since changes on its other side are not notified."""
    volume = tmp_path / "volume"
    fill(volume, *NAMES)
    with rclone_mount(volume, root):
        stream = client.watch(name, polled(root, "auto"))
        assert server.watches()[name]["mode"] == "poll"
        change(volume)
        stream.wait_count(len(DIFFERENCE) - 1)
        (volume / "last").touch()
        assert told(stream.wait_path("last")) == DIFFERENCE
        stream.cancel()
