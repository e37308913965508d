"""Volumes are mounted below the root: each is watched in its own way, and none is mistaken."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from support.client import Client, Event, Stream, wait_until
from support.config import polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import WATCHER, ServerProcess
from system.volumes.namespace import bind, mount_bindfs, mount_tmpfs, run, unmount

SOON = ("--redelivery-window", "100ms")
NAMES = [f"{number}" for number in range(120)]
"""More files than the hundred above which deletions are held."""

APPEARED = [("modified", "usb/0"), *(("created", f"usb/{each}") for each in NAMES if each != "0")]
"""What the tree has when the volume is mounted that it had not before."""


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


@dataclass(frozen=True)
class Watched:
    """A tree with a mount point, and a server that watches it under a name."""

    server: ServerProcess
    stream: Stream
    root: Path
    name: str

    @property
    def status(self) -> Event:
        """The status of the watch."""
        return self.server.watches()[self.name]

    def wait_gone(self, point: str) -> None:
        """Wait until the watch lacks what was mounted at a point."""
        self.server.wait_reason(self.name, "degraded", f"the mount at '{point}' is gone")

    def wait_well(self) -> None:
        """Wait until nothing is amiss any more."""
        self.server.wait_watch(self.name, degraded="")

    def release(self, prefix: str) -> str:
        """Run ``watcher release``, and return its output."""
        command = [*WATCHER, "release", self.name, prefix, "--server-http", self.server.http]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stdout + done.stderr

    def finish(self, *expected: tuple[str, str]) -> None:
        """Check that the stream has these events, besides that of one last file at the root."""
        self.stream.wait_count(len(expected))
        fill(self.root, "last")
        assert told(self.stream.wait_path("last")) == sorted([("created", "last"), *expected])

    def stop(self) -> None:
        """Stop the server once all is confirmed."""
        self.server.wait_watch(self.name, state="watching", unconfirmed=0)
        assert self.server.stop() == 0


Watch: TypeAlias = Callable[..., Watched]


@pytest.fixture(params=["notify", "poll"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def watch(server: ServerProcess, client: Client, root: Path, name: str, mode: str) -> Watch:
    """Watch the root on the shared server."""

    def watch_it(**keys: object) -> Watched:
        return Watched(server, client.watch(name, polled(root, mode, **keys)), root, name)

    return watch_it


@pytest.fixture
def serve(
    start_server: StartServer, connect: Connect, root: Path, name: str, mode: str, tmp_path: Path
) -> Watch:
    """Watch the root on servers of the test's own, one after the other."""

    def serve_it() -> Watched:
        server = start_server(*SOON, directory=tmp_path)
        return Watched(server, connect(server).watch(name, polled(root, mode)), root, name)

    return serve_it


@pytest.fixture
def away(watch: Watch, volume: Path, usb: Path) -> Watched:
    """Watch a tree with a volume in it, and take the volume away."""
    bind(volume, usb)
    watched = watch()
    unmount(usb)
    return watched


@volumes
def test_volume_that_goes_and_comes_back(away: Watched, volume: Path, usb: Path) -> None:
    """While it is away nothing of it is deleted, and nothing of what it hid is created."""
    away.wait_gone("usb")
    fill(usb, "also beneath")
    fill(usb.parent, "other")
    assert told(away.stream.wait_path("other")) == [("created", "other")]
    (volume / "0").write_text("longer than before")
    (volume / "1").unlink()
    fill(volume, "new")
    bind(volume, usb)
    away.stream.wait_count(4)
    away.wait_well()
    fill(usb, "again")
    created = [("created", path) for path in ("other", "usb/again", "usb/new")]
    away.finish(*created, ("deleted", "usb/1"), ("modified", "usb/0"))


def test_volume_that_is_gone_for_good(watch: Watch, volume: Path, usb: Path, mode: str) -> None:
    """Released, its mount point is an ordinary directory: the difference is reported."""
    bind(volume, usb)
    watched = watch()
    parts = [(part["prefix"], part["mode"]) for part in watched.status["parts"]]
    assert parts == [("", mode), ("usb", mode)]
    unmount(usb)
    watched.wait_gone("usb")
    wait_until(lambda: watched.status["parts"][1]["mode"] == "unread", "its part is unread")
    assert watched.server.metric("watcher_watch_parts", mode="unread") >= 1
    assert "no mount is missing at 'disk'; these are: 'usb'" in watched.release("disk")
    assert "usb/ is released" in watched.release("usb/")
    watched.stream.wait_count(len(NAMES) + 1)
    assert told(watched.stream.events) == sorted(
        [
            ("created", "usb/beneath"),
            ("modified", "usb/0"),
            *(("deleted", f"usb/{number}") for number in NAMES[1:]),
        ]
    )
    watched.wait_well()
    assert "no mount is missing at 'usb'; all mounts are there" in watched.release("usb")
    watched.server.wait_logged("mount.released", prefix="usb/")


@pytest.mark.parametrize("mode", ["auto"])
def test_a_released_volume_stays_released(serve: Watch, volume: Path, usb: Path) -> None:
    """After a restart its mount point is an ordinary directory too."""
    bind(volume, usb)
    first = serve()
    unmount(usb)
    first.wait_gone("usb")
    assert "usb is released" in first.release("usb")
    first.stream.wait_count(len(NAMES) + 1)
    first.stop()

    second = serve()
    fill(usb, "last")
    assert told(second.stream.wait_path("usb/last")) == [("created", "usb/last")]
    status = second.status
    assert (status["degraded"], [part["prefix"] for part in status["parts"]]) == ("", [""])


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
    watch: Watch, volume: Path, usb: Path, mode: str
) -> None:
    """Every ``poll_interval``, while the root waits for notifications."""
    mount_bindfs(volume, usb)
    watched = watch()
    status = watched.status
    assert status["mode"] == "notify"
    assert ("'usb' is polled: fuse" in status["degraded"]) is (mode == "notify")
    fill(volume, "new")
    (volume / "1").unlink()
    watched.finish(("created", "usb/new"), ("deleted", "usb/1"))


def test_volume_that_comes_later(serve: Watch, volume: Path, usb: Path) -> None:
    """What it holds is created, what it hides stays known, also over a restart without it."""
    for extra in range(200):
        fill(usb, f"hidden/{extra}")
    first = serve()
    bind(volume, usb)
    first.stream.wait_count(len(NAMES))
    fill(volume, "noticed")
    noticed = told(first.stream.wait_path("usb/noticed"))
    assert noticed == sorted([*APPEARED, ("created", "usb/noticed")])
    (volume / "0").unlink()
    first.stream.wait_path("usb/0", "deleted")
    unmount(usb)
    first.wait_gone("usb")
    first.stop()

    (volume / "1").unlink()
    second = serve()
    second.wait_gone("usb")
    second.finish()
    bind(volume, usb)
    second.stream.wait_count(2)
    second.wait_well()
    (usb / "2").unlink()
    second.stream.wait_count(3)
    assert told(second.stream.events)[1:] == [("deleted", "usb/1"), ("deleted", "usb/2")]


@volumes
def test_volume_that_is_not_mounted_at_the_start(serve: Watch, volume: Path, usb: Path) -> None:
    """A server that starts before the volume is mounted waits for it, and for nothing else."""
    bind(volume, usb)
    serve().stop()
    unmount(usb)
    (volume / "0").write_text("longer than before")

    second = serve()
    second.wait_gone("usb")
    fill(usb.parent, "other")
    second.stream.wait_path("other")
    bind(volume, usb)
    second.finish(("created", "other"), ("modified", "usb/0"))


def test_another_volume_at_the_same_point(
    away: Watched, volume: Path, usb: Path, tmp_path: Path
) -> None:
    """It is not compared with the one that was there, until that is back."""
    fill(tmp_path / "other", "0", "more")
    bind(tmp_path / "other", usb)
    away.server.wait_reason(away.name, "degraded", "another volume is mounted at 'usb'")
    fill(tmp_path / "other", "still more")
    fill(usb.parent, "after")
    away.stream.wait_path("after")
    unmount(usb)
    bind(volume, usb)
    away.wait_well()
    (volume / "1").unlink()
    away.finish(("created", "after"), ("deleted", "usb/1"))


def test_mounts_in_mounts(watch: Watch, volume: Path, usb: Path, tmp_path: Path) -> None:
    """One that is mounted over another hides it, and what is mounted in it."""
    fill(volume, "in/beneath")
    bind(volume, usb)
    mount_tmpfs(usb / "in")
    fill(usb, "in/a", "in/b")
    watched = watch()
    over = tmp_path / "over"
    fill(over, "in/other")
    bind(over, usb)
    watched.server.wait_reason(watched.name, "degraded", "another volume is mounted at 'usb'")
    fill(usb.parent, "after")
    watched.stream.wait_path("after")
    unmount(usb)
    watched.wait_well()
    (usb / "in/a").unlink()
    watched.stream.wait_path("usb/in/a", "deleted")
    run("umount", "--lazy", usb / "in")
    watched.wait_gone("usb/in")
    (usb / "0").unlink()
    watched.finish(("created", "after"), ("deleted", "usb/0"), ("deleted", "usb/in/a"))


def test_mount_that_is_propagated(watch: Watch, volume: Path, usb: Path) -> None:
    """As from the host into a pod: made and undone by a process with mounts of its own."""
    root = usb.parent
    bind(root, root)
    run("mount", "--make-shared", root)
    elsewhere = ("unshare", "--mount", "--propagation", "unchanged")
    try:
        watched = watch()
        run(*elsewhere, "mount", "--bind", volume, usb)
        watched.stream.wait_count(len(NAMES))
        run(*elsewhere, "umount", usb)
        watched.wait_gone("usb")
        run(*elsewhere, "mount", "--bind", volume, usb)
        watched.wait_well()
        (volume / "1").unlink()
        watched.finish(*APPEARED, ("deleted", "usb/1"))
    finally:
        run("umount", "--lazy", "--recursive", root)


def test_file_that_is_mounted(watch: Watch, root: Path, tmp_path: Path) -> None:
    """Edited, it is modified; replaced, its mount keeps the old one; unmounted, it is unread."""
    fill(root, "app.conf", "other")
    fill(tmp_path, "app.conf")
    bind(tmp_path / "app.conf", root / "app.conf")
    # Replaced, the old one has another change time: a modification, if there is time to see it.
    watched = watch(compare=["size", "mtime"])
    (tmp_path / "app.conf").write_text("longer than before")
    watched.stream.wait_path("app.conf", "modified")
    fill(tmp_path, "next")
    (tmp_path / "next").replace(tmp_path / "app.conf")
    replaced = "the file mounted at 'app.conf' was replaced outside"
    watched.server.wait_reason(watched.name, "degraded", replaced)
    unmount(root / "app.conf")
    watched.wait_gone("app.conf")
    bind(tmp_path / "app.conf", root / "app.conf")
    watched.wait_well()
    watched.finish(("modified", "app.conf"), ("modified", "app.conf"))


def test_directory_at_two_places(watch: Watch, root: Path, mode: str) -> None:
    """What happens in it is reported under both, renames too."""
    fill(root, "one/a", "one/dir/b", "one/dir/c")
    (root / "two").mkdir()
    bind(root / "one", root / "two")
    try:
        watched = watch(events=["created", "deleted", "moved"])
        assert watched.status["entries"] == 6
        fill(root, "one/new", "two/dir/other")
        (root / "one/a").unlink()
        expected = [
            (kind, f"{place}/{path}")
            for place in ("one", "two")
            for kind, path in [("created", "new"), ("created", "dir/other"), ("deleted", "a")]
        ]
        assert told(watched.stream.wait_count(6)) == sorted(expected)
        if mode == "notify":
            (root / "two/new").rename(root / "two/renamed")
            (root / "one/dir").rename(root / "one/moved")
            moved = ["renamed", "moved/b", "moved/c", "moved/other"]
            expected += [("moved", f"{place}/{path}") for place in ("one", "two") for path in moved]
        watched.finish(*expected)
    finally:
        run("umount", "--lazy", root / "two")


@pytest.mark.parametrize("mode", ["notify"])
def test_tree_that_is_mounted_in_itself(watch: Watch, root: Path) -> None:
    """It is read once more, and no further."""
    fill(root, "a", "in/b")
    (root / "self").mkdir()
    bind(root, root / "self")
    try:
        watched = watch()
        assert watched.status["entries"] == 4
        fill(root, "new")
        created = [("created", "new"), ("created", "self/new")]
        assert told(watched.stream.wait_count(2)) == created
    finally:
        run("umount", "--lazy", root / "self")
