"""A place is its volume: another one at its mount point is refused, the same one is known again.

The volumes are ext4 images with ids of their own, mounted by loop devices.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.config import polled
from support.events import told
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from system.volumes.namespace import bind, run, unmount

NAMES = [f"{number}" for number in range(120)]
"""More files than the hundred above which deletions are held."""

FIRST_UUID, SECOND_UUID = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "12")


def make_image(path: Path, uuid: str) -> Path:
    with path.open("wb") as image:
        image.truncate(16 << 20)
    run("mkfs.ext4", "-q", "-U", uuid, path)
    return path


def mount(image: Path, point: Path) -> None:
    point.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, point)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "first.img", FIRST_UUID)


@pytest.fixture
def points(tmp_path: Path) -> Iterator[list[Path]]:
    """Return two mount points, at which nothing is mounted after the test."""
    points = [tmp_path / "point-1", tmp_path / "point-2"]
    yield points
    for point in points:
        subprocess.run(["umount", "--recursive", "--lazy", point], check=False, capture_output=True)


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_another_disk_at_the_same_point(
    server: ServerProcess,
    client: Client,
    image: Path,
    points: list[Path],
    name: str,
    mode: str,
    tmp_path: Path,
) -> None:
    """Its files are not compared with those of the first disk, which goes on when it is back.

    The second disk has the device number and the inode of the first.
    """
    point = points[0]
    mount(image, point)
    fill(point, *NAMES)
    stream = client.watch(name, polled(point, mode))
    unmount(point)
    mount(make_image(tmp_path / "second.img", SECOND_UUID), point)
    fill(point, "other")
    shown = f"was ext4 UUID={FIRST_UUID} at {point} and is now ext4 UUID={SECOND_UUID} at {point}"
    server.wait_reason(name, "error", shown)
    server.wait_watch(name, state="unavailable")
    assert stream.events == []
    unmount(point)
    mount(image, point)
    server.wait_watch(name, state="watching", error="")
    (point / "last").touch()
    assert told(stream.wait_path("last")) == [("created", "last")]


def test_another_directory_of_the_disk_at_the_same_point(
    server: ServerProcess, client: Client, image: Path, points: list[Path], name: str
) -> None:
    """Two claims of one disk are bind mounts of two directories, and two places."""
    disk, point = points
    mount(image, disk)
    for claim in ("pvc-1", "pvc-2"):
        fill(disk / claim, *NAMES)
    point.mkdir()
    bind(disk / "pvc-1", point)
    stream = client.watch(name, polled(point, "auto"))
    unmount(point)
    bind(disk / "pvc-2", point)
    server.wait_reason(name, "error", f"and is now ext4 UUID={FIRST_UUID}:/pvc-2 at {point}")
    assert stream.events == []
    unmount(point)
    bind(disk / "pvc-1", point)
    server.wait_watch(name, state="watching", error="")
    (point / "last").touch()
    assert told(stream.wait_path("last")) == [("created", "last")]


def test_the_same_disk_at_another_point(
    start_server: StartServer,
    connect: Connect,
    image: Path,
    points: list[Path],
    name: str,
    tmp_path: Path,
) -> None:
    """A link leads to where a disk is mounted; after a restart, by another device, elsewhere."""
    link, spare = tmp_path / "disk", tmp_path / "spare.img"
    mount(image, points[0])
    fill(points[0] / "in", *NAMES)
    link.symlink_to(points[0])
    first = start_server("--redelivery-window", "100ms", directory=tmp_path)
    stream = connect(first).watch(name, polled(link / "in", "auto"))
    (points[0] / "in/new").touch()
    stream.wait_path("new")
    first.wait_watch(name, unconfirmed=0)
    assert first.stop() == 0
    unmount(points[0])

    mount(make_image(spare, SECOND_UUID), points[0])
    mount(image, points[1])
    link.unlink()
    link.symlink_to(points[1])
    (points[1] / "in/1").unlink()
    second = start_server("--redelivery-window", "100ms", directory=tmp_path)
    stream = connect(second).watch(name, polled(link / "in", "auto"))
    (points[1] / "in/last").touch()
    assert told(stream.wait_count(2)) == [("created", "last"), ("deleted", "1")]
