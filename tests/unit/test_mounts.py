"""Decides whether the table of mounts is read as proc_pid_mountinfo(5) has it; it must not import a source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from watcher.mounts import MOUNTINFO, Mount, mount_of, parse_mountinfo

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
    assert [mount.point for mount in MOUNTS] == ["/", "/data", "/data/in", "/with space\ttab\\back", "/over", "/over"]
    assert MOUNTS[1] == Mount("/data", "nfs4", "/", "rw,nosuid")
    assert MOUNTS[2].root == "/sub"


@pytest.mark.parametrize("odd", ["\r", "\f", "\x85", "\u2028", "\x1c"])
def test_only_a_newline_ends_a_line(odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount point may hold any other control character, which the kernel does not escape."""
    table = tmp_path / "mountinfo"
    table.write_bytes(f"22 1 254:1 / / rw - ext4 vda rw\n23 22 0:1 / /a{odd}b rw - nfs4 s:/ rw\n".encode())
    monkeypatch.setattr("watcher.mounts.MOUNTINFO", table)
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
    assert len({Mount(point, type_, "/", "rw").identity for point in ("/x", "/y") for type_ in ("ext4", "nfs")}) == 4


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
    monkeypatch.setattr("watcher.mounts.MOUNTINFO", tmp_path / "absent")
    assert mount_of("/") is None
    assert mount_of("/", []) is None
