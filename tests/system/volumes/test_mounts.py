"""What becomes of a watch when its directory or the volume under it goes away and comes back: nothing is deleted by that."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.client import wait_until
from support.replaying import told
from system.volumes.namespace import bind, mount_tmpfs, rclone_mount, unmount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import grpc

    from support.client import Client, Event, Stream
    from support.server import ServerProcess

FILES = 120
"""More than the hundred above which deletions are held."""
DIFFERENCE = [("created", "last"), ("created", "new"), ("deleted", "1"), ("modified", "0")]
SOON = ("--redelivery-window", "100ms")


def quick(root: Path, mode: str = "auto") -> Event:
    """Return a configuration that soon looks again."""
    return {
        "directory": {"path": str(root), "mode": mode, "poll_interval": "200ms", "settle": "100ms"}
    }


def fill(directory: Path) -> None:
    """Write the files that are there at first."""
    for number in range(FILES):
        (directory / f"{number}").write_text("1")


def change(directory: Path) -> None:
    """Make the changes of ``DIFFERENCE``, but for the last."""
    (directory / "0").write_text("22")
    (directory / "1").unlink()
    (directory / "new").write_text("1")


def wait_unavailable(server: ServerProcess, name: str, why: str) -> None:
    """Wait until the status says that the place cannot be read, and why."""

    def is_unavailable() -> bool:
        watch = server.watches()[name]
        return watch["state"] == "unavailable" and why in watch["error"]

    wait_until(is_unavailable, f"{name} is unavailable: {why}")


def finish(server: ServerProcess, name: str, stream: Stream, root: Path) -> None:
    """Wait until the watch is well again, and for the difference; nothing else may have been told."""
    server.wait_watch(name, state="watching", error="")
    stream.wait_count(len(DIFFERENCE) - 1)
    (root / "last").touch()
    assert told(stream.wait_path("last")) == DIFFERENCE
    assert stream.is_open


@pytest.fixture
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a directory to be mounted elsewhere: of the machine's file system, or of one of its own."""
    path = tmp_path / "volume"
    path.mkdir()
    if request.param == "tmpfs":
        mount_tmpfs(path)
    fill(path)
    yield path
    if request.param == "tmpfs":
        unmount(path)


@pytest.fixture
def mounted(volume: Path, root: Path) -> Iterator[Path]:
    """Return the directory at which the volume is mounted."""
    bind(volume, root)
    yield root
    subprocess.run(["umount", "--lazy", root], check=False, capture_output=True)


volumes = pytest.mark.parametrize("volume", ["directory", "tmpfs"], indirect=True)
modes = pytest.mark.parametrize("mode", ["notify", "poll"])


@modes
def test_root_that_is_renamed_away(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    """While the directory has another name nothing is told; when it has its name again, only what changed."""
    fill(root)
    stream = client.watch(name, quick(root, mode))
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
    """A directory that is removed deletes nothing by that; what is in it when it is there again is compared with what was."""
    for path in ("0", "1"):
        (root / path).write_text("1")
    stream = client.watch(name, quick(root, mode))
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
    """The empty directory under a volume deletes nothing; when the volume is mounted again, only what changed is told."""
    stream = client.watch(name, quick(mounted, mode))
    unmount(mounted)
    wait_unavailable(server, name, "the file system was")
    change(volume)
    assert stream.events == []
    bind(volume, mounted)
    finish(server, name, stream, mounted)


@modes
def test_root_that_is_mounted_over(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    """What is mounted over the directory is not compared with it; when that is gone, only what changed is told."""
    fill(root)
    stream = client.watch(name, quick(root, mode))
    mount_tmpfs(root)
    try:
        wait_unavailable(server, name, "the file system was")
        (root / "other").write_text("1")
        assert stream.events == []
    finally:
        unmount(root)
    change(root)
    finish(server, name, stream, root)


@volumes
def test_volume_that_is_not_mounted_at_the_start(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    volume: Path,
    mounted: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A server that starts before the volume is mounted refuses the stream and says why; afterwards only what changed is told."""
    first = start_server(*SOON, directory=tmp_path)
    connect(first).watch(name, quick(mounted))
    first.wait_watch(name, entries=FILES, state="watching")
    assert first.stop() == 0
    unmount(mounted)
    change(volume)

    second = start_server(*SOON, directory=tmp_path)
    ending = connect(second).refusal(name, quick(mounted))
    code: grpc.StatusCode = ending.code
    assert code.name == "UNAVAILABLE"
    assert "the file system was" in ending.details
    bind(volume, mounted)
    stream = connect(second).watch(name, quick(mounted))
    finish(second, name, stream, mounted)


def test_subpath_mounts_are_warned_of(
    server: ServerProcess, client: Client, root: Path, name: str, tmp_path: Path
) -> None:
    """A key of a ConfigMap that is mounted by itself is warned of once, with what to do, and makes the watch degraded; the rest is told."""
    generation = tmp_path / "volume" / "..2026_01_31_12_00_00.123456789"
    generation.mkdir(parents=True)
    (generation / "key").write_text("1")
    (root / "key").touch()
    bind(generation / "key", root / "key")
    try:
        stream = client.watch(name, quick(root))
        assert str(root / "key") in server.watches()[name]["degraded"]
        (root / "a").write_text("1")
        assert told(stream.wait_path("a")) == [("created", "a")]
        warnings = [
            line for line in server.lines("watch.subpath") if line["place"].endswith(str(root))
        ]
        assert [(line["level"], "whole volume" in line["hint"]) for line in warnings] == [
            ("warning", True)
        ]
    finally:
        unmount(root / "key")


def test_fuse_is_polled(
    server: ServerProcess, client: Client, root: Path, name: str, tmp_path: Path
) -> None:
    """On a real FUSE mount the watch polls by itself, and tells what changes on the other side, which no notification could."""
    volume = tmp_path / "volume"
    volume.mkdir()
    fill(volume)
    with rclone_mount(volume, root):
        stream = client.watch(name, quick(root))
        assert server.watches()[name]["mode"] == "poll"
        change(volume)
        stream.wait_count(len(DIFFERENCE) - 1)
        (volume / "last").touch()
        assert told(stream.wait_path("last")) == DIFFERENCE
        stream.cancel()
