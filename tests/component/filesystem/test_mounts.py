"""Decides whether the table of mounts is read as proc_pid_mountinfo(5) has it; it must not import a source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from watcher.filesystem.mounts import MOUNTINFO, Mount, mount_of, parse_mountinfo, subpath_mounts

if TYPE_CHECKING:
    from pathlib import Path

TABLE = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /data rw,nosuid shared:2 master:7 - nfs4 server:/export rw,vers=4.2
31 22 0:27 /sub /data/in ro - tmpfs tmpfs rw
32 22 0:28 / /with\040space\011tab\134back ro - fuse.sshfs host: rw
33 22 0:29 / /over rw - ext4 /dev/vdb rw
34 22 0:30 / /over rw - virtiofs share rw
not a line
35 22 0:31 / /short - ext4
"""
MOUNTS = parse_mountinfo(TABLE)


def test_lines_are_understood_or_left_out() -> None:
    """Optional fields are passed over, octal escapes undone, and a line of another form is no mount."""
    assert [mount.point for mount in MOUNTS] == [
        "/",
        "/data",
        "/data/in",
        "/with space\ttab\\back",
        "/over",
        "/over",
    ]
    assert MOUNTS[1] == Mount("/data", "nfs4", "/", "rw,nosuid")
    assert MOUNTS[2].root == "/sub"


@pytest.mark.parametrize("odd", ["\r", "\f", "\x85", "\u2028", "\x1c"])
def test_only_a_newline_ends_a_line(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount point may hold any other control character, which the kernel does not escape."""
    table = tmp_path / "mountinfo"
    table.write_bytes(
        f"22 1 254:1 / / rw - ext4 vda rw\n23 22 0:1 / /a{odd}b rw - nfs4 s:/ rw\n".encode()
    )
    monkeypatch.setattr("watcher.filesystem.mounts.MOUNTINFO", table)
    mount = mount_of(f"/a{odd}b/c")
    assert mount is not None
    assert mount.type == "nfs4"


@pytest.mark.parametrize(
    ("path", "point", "type_"),
    [
        ("/", "/", "ext4"),
        ("/database", "/", "ext4"),
        ("/data", "/data", "nfs4"),
        ("/data/other", "/data", "nfs4"),
        ("/data/in/deep/er", "/data/in", "tmpfs"),
        ("/data/inn", "/data", "nfs4"),
        ("/with space\ttab\\back/x", "/with space\ttab\\back", "fuse.sshfs"),
        ("/over/x", "/over", "virtiofs"),
    ],
)
def test_the_longest_and_last_mount_holds_a_path(path: str, point: str, type_: str) -> None:
    """A path is on the mount with the longest point above it; of two at one point the later lies on top."""
    mount = mount_of(path, MOUNTS)
    assert mount is not None
    assert (mount.point, mount.type) == (point, type_)


@pytest.mark.parametrize(
    ("type_", "notifies"),
    [
        ("ext4", True),
        ("overlay", True),
        ("tmpfs", True),
        ("fused", True),
        ("nfs", False),
        ("fuse", False),
        ("fuse.s3fs", False),
        ("9p", False),
    ],
)
def test_some_file_systems_do_not_notify(type_: str, *, notifies: bool) -> None:
    """Network and user-space file systems are known by their type, and only by all of it."""
    assert Mount("/x", type_, "/", "rw").notifies is notifies


def test_the_identity_survives_a_remount() -> None:
    """What identifies a mount is its type and its point, not its options."""
    assert Mount("/x", "ext4", "/", "rw").identity == Mount("/x", "ext4", "/", "ro").identity
    assert (
        len(
            {
                Mount(point, type_, "/", "rw").identity
                for point in ("/x", "/y")
                for type_ in ("ext4", "nfs")
            }
        )
        == 4
    )


def test_links_are_resolved(tmp_path: Path) -> None:
    """A link is on the mount of its target; what does not exist is on that of the directory above it."""
    (tmp_path / "link").symlink_to("/")
    mounts = [Mount("/", "ext4", "/", "rw"), Mount(os.path.realpath(tmp_path), "tmpfs", "/", "rw")]
    for name, point in (("link", "/"), ("absent/deep", mounts[1].point)):
        mount = mount_of(str(tmp_path / name), mounts)
        assert mount is not None
        assert mount.point == point


def test_without_a_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no such table, or an empty one, the answer is None."""
    assert MOUNTINFO.is_absolute()
    monkeypatch.setattr("watcher.filesystem.mounts.MOUNTINFO", tmp_path / "absent")
    assert mount_of("/") is None
    assert mount_of("/", []) is None


RECORDED = parse_mountinfo(
    r"""
493 484 0:54 / / rw,relatime master:136 - overlay overlay rw,lowerdir=/l/1:/l/2,upperdir=/u,workdir=/w
500 493 0:60 / /nfs3 rw,relatime - nfs 10.0.0.1:/export rw,vers=3,addr=10.0.0.1
501 493 0:61 /pvc-1 /nfs4 rw,relatime - nfs4 10.0.0.1:/export/pvc-1 rw,vers=4.2,clientaddr=10.0.0.2
502 493 0:62 / /cifs rw,relatime - cifs //10.0.0.3/share rw,vers=3.1.1,username=u
503 493 0:63 / /sshfs rw,nosuid,nodev - fuse.sshfs host:/data rw,user_id=0,group_id=0
504 493 0:64 / /s3fs rw,nosuid,nodev - fuse.s3fs s3fs rw,user_id=0,group_id=0,allow_other
505 493 0:65 / /gcs rw,nosuid,nodev - fuse.gcsfuse bucket rw,user_id=0,group_id=0
506 493 0:66 / /nine rw,relatime - 9p hostshare rw,access=client,trans=virtio
507 493 0:67 / /virtio rw,relatime - virtiofs share rw
508 493 254:1 /var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/work /bind rw,relatime - ext4 /dev/vda1 rw
509 493 254:2 / /stacked rw,relatime - ext4 /dev/vdb rw
510 509 0:61 / /stacked rw,relatime - nfs4 10.0.0.1:/export rw,vers=4.2
511 493 254:1 /k/pods/1/volumes/kubernetes.io~configmap/c/..2026_01_31_12_00_00.2791/app.yaml /etc/app/app.yaml ro - ext4 /dev/vda1 rw
512 493 254:1 /k/pods/1/volume-subpaths/data/main/0 /sub rw,relatime - ext4 /dev/vda1 rw
513 493 254:1 /k/pods/1/volumes/kubernetes.io~configmap/whole /config ro - ext4 /dev/vda1 rw
"""
)
"""A container's table, line by line as kernels write them."""


@pytest.mark.parametrize(
    ("path", "type_", "notifies"),
    [
        ("/srv", "overlay", True),
        ("/nfs3/a", "nfs", False),
        ("/nfs4/a", "nfs4", False),
        ("/cifs/a", "cifs", False),
        ("/sshfs/a", "fuse.sshfs", False),
        ("/s3fs/a", "fuse.s3fs", False),
        ("/gcs/a", "fuse.gcsfuse", False),
        ("/nine/a", "9p", False),
        ("/virtio/a", "virtiofs", False),
        ("/bind/a", "ext4", True),
        ("/stacked/a", "nfs4", False),
    ],
)
def test_recorded_mounts_are_told_apart(path: str, type_: str, *, notifies: bool) -> None:
    """Of the mounts that pods have, those that do not notify are known, also where one lies over another."""
    mount = mount_of(path, RECORDED)
    assert mount is not None
    assert (mount.type, mount.notifies) == (type_, notifies)


@pytest.mark.parametrize(
    ("path", "points"),
    [
        ("/etc/app", ["/etc/app/app.yaml"]),
        ("/etc", ["/etc/app/app.yaml"]),
        ("/etc/application", []),
        ("/sub/deep", ["/sub"]),
        ("/config", []),
        ("/bind", []),
    ],
)
def test_subpath_mounts_are_recognised(path: str, points: list[str]) -> None:
    """A part of a volume is known by where it comes from, when it holds the directory and when it lies below it; a whole volume is none."""
    assert [mount.point for mount in subpath_mounts(path, RECORDED)] == points


def test_what_exists_is_found_by_the_number_of_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number that the kernel tells of an open path decides, whatever the points in the table; without it, the path does."""
    table, numbers = tmp_path / "mountinfo", tmp_path / "fdinfo"
    table.write_text(
        f"22 1 0:1 / / rw - ext4 a rw\n23 22 0:2 / {tmp_path} rw - nfs4 b rw\n24 22 0:3 / /elsewhere rw - tmpfs c rw\n",
        "ascii",
    )
    numbers.mkdir()
    for fd in range(256):
        (numbers / f"{fd}").write_text(
            "pos:\t0\nflags:\t012000000\nmnt_id:\t24\nino:\t2\n", "ascii"
        )
    monkeypatch.setattr("watcher.filesystem.mounts.MOUNTINFO", table)
    monkeypatch.setattr("watcher.filesystem.mounts.FDINFO", numbers)
    exact, absent = mount_of(str(tmp_path)), mount_of(str(tmp_path / "absent"))
    assert exact is not None
    assert exact.type == "tmpfs"
    assert absent is not None
    assert absent.type == "nfs4"
