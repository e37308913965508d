"""Volumes are mounted below the root: each is watched in its own way, and none is mistaken."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, Stream
from support.config import polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import WATCHER, ServerProcess
from system.volumes.namespace import bind, mount_bindfs, mount_tmpfs, run, unmount

SOON = ("--redelivery-window", "100ms")
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


def test_a_released_volume_stays_released(
    start_server: StartServer,
    connect: Connect,
    volume: Path,
    usb: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """After a restart its mount point is an ordinary directory too."""
    bind(volume, usb)
    asked = polled(usb.parent, "auto")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, asked)
    unmount(usb)
    first.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    assert "usb is released" in release(first, name, "usb")
    stream.wait_count(len(NAMES) + 1)
    first.wait_watch(name, unconfirmed=0)
    assert first.stop() == 0

    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, asked)
    fill(usb, "last")
    assert told(stream.wait_path("usb/last")) == [("created", "usb/last")]
    watch = second.watches()[name]
    assert (watch["degraded"], [part["prefix"] for part in watch["parts"]]) == ("", [""])


def test_check_shows_mounts(volume: Path, usb: Path, tmp_path: Path) -> None:
    """As a watch would treat them, and without those that the filter leaves out."""
    mount_bindfs(volume, usb)
    fill(usb.parent, "tmp/a", "skipped/a")
    for point in ("tmp", "skipped"):
        mount_tmpfs(usb.parent / point)
    config = tmp_path / "config.yaml"
    config.write_text(f"directory: {usb.parent}\nexclude: [skipped/**, skipped]\n")
    command = [*WATCHER, "check", str(config)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        for point in ("tmp", "skipped"):
            unmount(usb.parent / point)
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("mounts"))
    assert [line[10:].strip() for line in lines[start : start + 2]] == [
        "tmp (tmpfs): notify",
        "usb (fuse): poll, fuse is scanned every 10 s",
    ]


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


def finish(stream: Stream, root: Path, *expected: tuple[str, str]) -> None:
    """Check that a stream has these events, besides that of one last file at the root."""
    stream.wait_count(len(expected))
    fill(root, "last")
    assert told(stream.wait_path("last")) == sorted([("created", "last"), *expected])


@modes
def test_volume_that_comes_later(
    start_server: StartServer,
    connect: Connect,
    volume: Path,
    usb: Path,
    name: str,
    mode: str,
    tmp_path: Path,
) -> None:
    """What it holds is created, what it hides stays known, also over a restart without it."""
    asked = polled(usb.parent, mode)
    for extra in range(200):
        fill(usb, f"hidden/{extra}")
    first = start_server(*SOON, directory=tmp_path)
    stream = connect(first).watch(name, asked)
    bind(volume, usb)
    created = [("created", f"usb/{each}") for each in NAMES if each != "0"]
    stream.wait_count(len(NAMES))
    fill(volume, "noticed")
    assert told(stream.wait_path("usb/noticed")) == sorted(
        [*created, ("created", "usb/noticed"), ("modified", "usb/0")]
    )
    (volume / "0").unlink()
    stream.wait_path("usb/0", "deleted")
    unmount(usb)
    first.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    first.wait_watch(name, unconfirmed=0)
    assert first.stop() == 0

    (volume / "1").unlink()
    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, asked)
    second.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    finish(stream, usb.parent)
    bind(volume, usb)
    stream.wait_count(2)
    second.wait_watch(name, degraded="")
    (usb / "2").unlink()
    stream.wait_count(3)
    assert told(stream.events)[1:] == [("deleted", "usb/1"), ("deleted", "usb/2")]


@volumes
@modes
def test_volume_that_is_not_mounted_at_the_start(
    start_server: StartServer,
    connect: Connect,
    volume: Path,
    usb: Path,
    name: str,
    mode: str,
    tmp_path: Path,
) -> None:
    """A server that starts before the volume is mounted waits for it, and for nothing else."""
    bind(volume, usb)
    asked = polled(usb.parent, mode)
    first = start_server(*SOON, directory=tmp_path)
    connect(first).watch(name, asked)
    first.wait_watch(name, state="watching")
    assert first.stop() == 0
    unmount(usb)
    (volume / "0").write_text("longer than before")

    second = start_server(*SOON, directory=tmp_path)
    stream = connect(second).watch(name, asked)
    second.wait_reason(name, "degraded", "the mount at 'usb' is gone")
    fill(usb.parent, "other")
    stream.wait_path("other")
    bind(volume, usb)
    finish(stream, usb.parent, ("created", "other"), ("modified", "usb/0"))


@modes
def test_another_volume_at_the_same_point(
    server: ServerProcess,
    client: Client,
    volume: Path,
    usb: Path,
    name: str,
    mode: str,
    tmp_path: Path,
) -> None:
    """It is not compared with the one that was there, until that is back."""
    bind(volume, usb)
    stream = client.watch(name, polled(usb.parent, mode))
    unmount(usb)
    fill(tmp_path / "other", "0", "more")
    bind(tmp_path / "other", usb)
    server.wait_reason(name, "degraded", "another volume is mounted at 'usb'")
    fill(tmp_path / "other", "still more")
    fill(usb.parent, "after")
    stream.wait_path("after")
    unmount(usb)
    bind(volume, usb)
    server.wait_watch(name, degraded="")
    (volume / "1").unlink()
    finish(stream, usb.parent, ("created", "after"), ("deleted", "usb/1"))


@modes
def test_mounts_in_mounts(
    server: ServerProcess,
    client: Client,
    volume: Path,
    usb: Path,
    name: str,
    mode: str,
    tmp_path: Path,
) -> None:
    """One that is mounted over another hides it, and what is mounted in it."""
    fill(volume, "in/beneath")
    bind(volume, usb)
    mount_tmpfs(usb / "in")
    fill(usb, "in/a", "in/b")
    stream = client.watch(name, polled(usb.parent, mode))
    over = tmp_path / "over"
    fill(over, "in/other")
    bind(over, usb)
    server.wait_reason(name, "degraded", "another volume is mounted at 'usb'")
    fill(usb.parent, "after")
    stream.wait_path("after")
    unmount(usb)
    server.wait_watch(name, degraded="")
    (usb / "in/a").unlink()
    stream.wait_path("usb/in/a", "deleted")
    run("umount", "--lazy", usb / "in")
    server.wait_reason(name, "degraded", "the mount at 'usb/in' is gone")
    (usb / "0").unlink()
    finish(
        stream,
        usb.parent,
        ("created", "after"),
        ("deleted", "usb/0"),
        ("deleted", "usb/in/a"),
    )


@modes
def test_mount_that_is_propagated(
    server: ServerProcess, client: Client, volume: Path, usb: Path, name: str, mode: str
) -> None:
    """As from the host into a pod: made and undone by a process with mounts of its own."""
    root = usb.parent
    bind(root, root)
    run("mount", "--make-shared", root)
    elsewhere = ("unshare", "--mount", "--propagation", "unchanged")
    try:
        stream = client.watch(name, polled(root, mode))
        run(*elsewhere, "mount", "--bind", volume, usb)
        stream.wait_count(len(NAMES))
        run(*elsewhere, "umount", usb)
        server.wait_reason(name, "degraded", "the mount at 'usb' is gone")
        run(*elsewhere, "mount", "--bind", volume, usb)
        server.wait_watch(name, degraded="")
        (volume / "1").unlink()
        created = [("created", f"usb/{each}") for each in NAMES if each != "0"]
        finish(stream, root, *created, ("modified", "usb/0"), ("deleted", "usb/1"))
    finally:
        run("umount", "--lazy", "--recursive", root)


@modes
def test_file_that_is_mounted(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str, tmp_path: Path
) -> None:
    """Edited, it is modified; replaced, its mount keeps the old one; unmounted, it is unread."""
    fill(root, "app.conf", "other")
    fill(tmp_path, "app.conf")
    bind(tmp_path / "app.conf", root / "app.conf")
    stream = client.watch(name, polled(root, mode))
    (tmp_path / "app.conf").write_text("longer than before")
    stream.wait_path("app.conf", "modified")
    fill(tmp_path, "next")
    (tmp_path / "next").replace(tmp_path / "app.conf")
    server.wait_reason(name, "degraded", "the file mounted at 'app.conf' was replaced outside")
    unmount(root / "app.conf")
    server.wait_reason(name, "degraded", "the mount at 'app.conf' is gone")
    bind(tmp_path / "app.conf", root / "app.conf")
    server.wait_watch(name, degraded="")
    finish(stream, root, ("modified", "app.conf"), ("modified", "app.conf"))


@modes
def test_directory_at_two_places(
    server: ServerProcess, client: Client, root: Path, name: str, mode: str
) -> None:
    """What happens in it is reported under both, renames too."""
    fill(root, "one/a", "one/dir/b", "one/dir/c")
    (root / "two").mkdir()
    bind(root / "one", root / "two")
    try:
        stream = client.watch(name, polled(root, mode, events=["created", "deleted", "moved"]))
        assert server.watches()[name]["entries"] == 6
        fill(root, "one/new", "two/dir/other")
        (root / "one/a").unlink()
        expected = [
            (kind, f"{place}/{path}")
            for place in ("one", "two")
            for kind, path in [("created", "new"), ("created", "dir/other"), ("deleted", "a")]
        ]
        assert told(stream.wait_count(6)) == sorted(expected)
        if mode == "notify":
            (root / "two/new").rename(root / "two/renamed")
            (root / "one/dir").rename(root / "one/moved")
            moved = ["renamed", "moved/b", "moved/c", "moved/other"]
            expected += [("moved", f"{place}/{path}") for place in ("one", "two") for path in moved]
            assert told(stream.wait_count(14)) == sorted(expected)
        fill(root, "last")
        assert len(stream.wait_path("last")) == len(expected) + 1
    finally:
        run("umount", "--lazy", root / "two")


def test_tree_that_is_mounted_in_itself(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """It is read once more, and no further."""
    fill(root, "a", "in/b")
    (root / "self").mkdir()
    bind(root, root / "self")
    try:
        stream = client.watch(name, polled(root, "notify"))
        assert server.watches()[name]["entries"] == 4
        fill(root, "new")
        assert told(stream.wait_count(2)) == [("created", "new"), ("created", "self/new")]
    finally:
        run("umount", "--lazy", root / "self")
