"""File systems that number their files anew, and attributes that change without the content."""

import os
import shutil
from pathlib import Path

import pytest

from support.client import Client
from support.config import polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from system.volumes.namespace import mount_sshfs, run, unmount

NAMES = [f"{number}" for number in range(20)]
SOON = ("--redelivery-window", "100ms")
ATTRIBUTE_CHANGES = [
    ("chmod", "-R", "g+w", "in"),
    ("cp", "-al", "in", "../backup"),
    ("chown", "-R", "1000:1000", "in"),
    ("setfattr", "-n", "user.seen", "-v", "yes", "in/0"),
]


def inodes(directory: Path, names: list[str]) -> dict[str, int]:
    """Return the inodes of files, in the order in which they are asked for."""
    return {name: (directory / name).stat().st_ino for name in names}


@pytest.mark.parametrize("place", ["root", "below"])
@pytest.mark.parametrize("compare", ["auto", "content"])
def test_sshfs_that_is_mounted_again(
    server: ServerProcess,
    client: Client,
    root: Path,
    name: str,
    tmp_path: Path,
    place: str,
    compare: str,
) -> None:
    """Its inodes differ, and nothing is reported for it."""
    volume, point = tmp_path / "volume", root if place == "root" else root / "in"
    point.mkdir(exist_ok=True)
    fill(volume, *NAMES)
    mount_sshfs(volume, point)
    try:
        former = inodes(point, NAMES)
        stream = client.watch(name, polled(root, "auto", compare=compare))
        unmount(point)
        if place == "root":
            server.wait_watch(name, state="unavailable")
        else:
            server.wait_reason(name, "degraded", "is gone")
        mount_sshfs(volume, point)
        assert inodes(point, NAMES[::-1]) != former
        server.wait_watch(name, state="watching", degraded="")
        (volume / "0").write_text("longer than before")
        fill(volume, "new")
        prefix = "" if place == "root" else "in/"
        expected = [("created", f"{prefix}new"), ("modified", f"{prefix}0")]
        stream.wait_count(len(expected))
        fill(volume, "last")
        stream.wait_path(f"{prefix}last")
        assert told(stream.events) == sorted([*expected, ("created", f"{prefix}last")])
        stream.cancel()
    finally:
        run("umount", "--lazy", point)


def test_sshfs_that_is_mounted_again_while_the_server_is_down(
    start_server: StartServer, connect: Connect, root: Path, name: str, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    fill(volume, *NAMES)
    asked = polled(root, "auto")
    mount_sshfs(volume, root)
    try:
        former = inodes(root, NAMES)
        first = start_server(*SOON, directory=tmp_path)
        connect(first).watch(name, asked)
        first.wait_watch(name, entries=len(NAMES), state="watching")
        assert first.stop() == 0
        unmount(root)
        mount_sshfs(volume, root)
        assert inodes(root, NAMES[::-1]) != former
        second = start_server(*SOON, directory=tmp_path)
        stream = connect(second).watch(name, asked)
        fill(volume, "last")
        assert told(stream.wait_path("last")) == [("created", "last")]
        stream.cancel()
    finally:
        run("umount", "--lazy", root)


@pytest.mark.parametrize("mode", ["notify", "poll"])
@pytest.mark.parametrize("compare", [["size", "mtime"], "content"])
def test_attributes_that_change_while_the_server_is_down(
    start_server: StartServer,
    connect: Connect,
    root: Path,
    name: str,
    tmp_path: Path,
    compare: str | list[str],
    mode: str,
) -> None:
    """Nothing is reported for them; what was written is, and then what changes while it runs."""
    fill(root, *(f"in/{each}" for each in NAMES))
    asked = polled(root, mode, compare=compare)
    first = start_server(*SOON, directory=tmp_path)
    connect(first).watch(name, asked)
    first.wait_watch(name, entries=len(NAMES), state="watching")
    if compare == "content":
        first.wait_logged("watch.digested")
    assert first.stop() == 0
    for command in ATTRIBUTE_CHANGES:
        run("env", f"--chdir={root}", *command)
    (root / "in/1").write_text("longer than before")
    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, asked)
    stream.wait_count(1)
    shutil.rmtree(root.parent / "backup", ignore_errors=True)
    os.chmod(root / "in/2", 0o640)  # noqa: PTH101 - as short
    fill(root, "last")
    assert told(stream.wait_path("last")) == [("created", "last"), ("modified", "in/1")]
