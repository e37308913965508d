"""Volumes are mounted below the root: each is watched in its own way, and none is mistaken."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.config import polled
from support.events import told
from support.files import fill
from support.server import WATCHER, ServerProcess
from system.volumes.namespace import bind, mount_bindfs, mount_tmpfs, run, unmount

NAMES = [f"{number}" for number in range(120)]
"""More files than the hundred above which deletions are held."""


@pytest.fixture
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Make a directory with files to mount, on the machine's file system or on one of its own."""
    path = tmp_path / "volume"
    path.mkdir()
    kind = getattr(request, "param", "directory")
    if kind == "tmpfs":
        mount_tmpfs(path)
    fill(path, *NAMES)
    yield path
    if kind == "tmpfs":
        run("umount", "--lazy", path)


@pytest.fixture
def usb(root: Path) -> Iterator[Path]:
    """Make a mount point in the tree, with a file that a volume will hide."""
    fill(root, "top", "usb/0", "usb/beneath")
    yield root / "usb"
    while (root / "usb").is_mount():
        run("umount", "--lazy", root / "usb")


volumes = pytest.mark.parametrize("volume", ["directory", "tmpfs"], indirect=True)
modes = pytest.mark.parametrize("mode", ["notify", "poll"])


def release(server: ServerProcess, name: str, prefix: str) -> str:
    """Run ``watcher release``, and return its output."""
    command = [*WATCHER, "release", name, prefix, "--server-http", server.http]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


@volumes
@modes
def test_volume_that_goes_and_comes_back(
    server: ServerProcess, client: Client, volume: Path, usb: Path, name: str, mode: str
) -> None:
    """While it is away nothing of it is deleted, and nothing of what it hid is created."""
    bind(volume, usb)
    stream = client.watch(name, polled(usb.parent, mode))
    unmount(usb)
    server.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    fill(usb, "also beneath")
    fill(usb.parent, "other")
    assert told(stream.wait_path("other")) == [("created", "other")]
    (volume / "0").write_text("longer than before")
    (volume / "1").unlink()
    fill(volume, "new")
    bind(volume, usb)
    stream.wait_count(4)
    server.wait_watch(name, degraded="")
    fill(usb, "last")
    assert told(stream.wait_path("usb/last")) == [
        ("created", "other"),
        ("created", "usb/last"),
        ("created", "usb/new"),
        ("deleted", "usb/1"),
        ("modified", "usb/0"),
    ]


@modes
def test_volume_that_is_gone_for_good(
    server: ServerProcess,
    client: Client,
    volume: Path,
    usb: Path,
    name: str,
    mode: str,
) -> None:
    """Released, its mount point is an ordinary directory: the difference is reported."""
    bind(volume, usb)
    stream = client.watch(name, polled(usb.parent, mode))
    assert [(part["prefix"], part["mode"]) for part in server.watches()[name]["parts"]] == [
        ("", mode),
        ("usb", mode),
    ]
    unmount(usb)
    server.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    assert server.watches()[name]["parts"][1]["mode"] == "unread"
    assert server.metric("watcher_watch_parts", mode="unread") >= 1
    assert "no mount is missing at 'disk'; these are: 'usb'" in release(server, name, "disk")
    assert "usb/ is released" in release(server, name, "usb/")
    stream.wait_count(len(NAMES) + 1)
    assert told(stream.events) == sorted(
        [
            ("created", "usb/beneath"),
            ("modified", "usb/0"),
            *(("deleted", f"usb/{number}") for number in NAMES[1:]),
        ]
    )
    server.wait_watch(name, degraded="")
    again = release(server, name, "usb")
    assert "no mount is missing at 'usb'; all mounts are there" in again
    assert server.lines("mount.released", prefix="usb/")


@pytest.mark.parametrize("mode", ["auto", "notify"])
def test_fuse_below_a_notified_root_is_polled(
    server: ServerProcess, client: Client, volume: Path, usb: Path, name: str, mode: str
) -> None:
    """Every ``poll_interval``, while the root waits for notifications."""
    mount_bindfs(volume, usb)
    stream = client.watch(name, polled(usb.parent, mode))
    watch = server.watches()[name]
    assert watch["mode"] == "notify"
    assert ("'usb' is polled: fuse" in watch["degraded"]) is (mode == "notify")
    fill(volume, "new")
    (volume / "1").unlink()
    stream.wait_count(2)
    fill(usb.parent, "other")
    assert told(stream.wait_path("other")) == [
        ("created", "other"),
        ("created", "usb/new"),
        ("deleted", "usb/1"),
    ]
