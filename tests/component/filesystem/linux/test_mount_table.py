"""The mount of a real path is found by the mount id that the kernel reports, or by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.filesystem.linux.mount_table import MOUNTINFO, mount_of, subpath_mounts


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a mount table in place of the kernel's, in which no path has a mount id."""
    monkeypatch.setattr("watcher.filesystem.linux.mount_table.MOUNTINFO", tmp_path / "mountinfo")
    monkeypatch.setattr("watcher.filesystem.linux.mount_table.FDINFO", tmp_path / "fdinfo")
    return tmp_path / "mountinfo"


def type_of(path: Path | str) -> str:
    mount = mount_of(str(path))
    assert mount is not None
    return mount.type


def test_links_are_resolved(tmp_path: Path, table: Path) -> None:
    """A path that does not exist is on the mount of the directory above it."""
    (tmp_path / "link").symlink_to("/")
    table.write_text(f"22 1 0:1 / / rw - ext4 a rw\n23 22 0:2 / {tmp_path} rw - tmpfs b rw\n")
    assert type_of(tmp_path / "link") == "ext4"
    assert type_of(tmp_path / "absent/deep") == "tmpfs"


def test_without_a_table_nothing_is_known(table: Path) -> None:
    assert MOUNTINFO.is_absolute()
    assert mount_of("/") is None
    table.touch()
    assert mount_of("/") is None
    assert subpath_mounts("/") == []


def test_the_mount_id_decides_before_the_name(tmp_path: Path, table: Path) -> None:
    table.write_text(
        f"22 1 0:1 / / rw - ext4 a rw\n"
        f"23 22 0:2 / {tmp_path} rw - nfs4 b rw\n"
        f"24 22 0:3 / /elsewhere rw - tmpfs c rw\n"
    )
    (tmp_path / "fdinfo").mkdir()
    for fd in range(256):
        (tmp_path / f"fdinfo/{fd}").write_text("pos:\t0\nflags:\t012000000\nmnt_id:\t24\nino:\t2\n")
    assert type_of(tmp_path) == "tmpfs"
    assert type_of(tmp_path / "absent") == "nfs4"


def test_subpath_mounts_at_above_and_below_a_directory(tmp_path: Path, table: Path) -> None:
    """A directory shows the subPath mount that holds it, and those below it."""
    (tmp_path / "sub/deep").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    root = "/k/pods/1/volume-subpaths/data/main/0"
    table.write_text(
        f"22 1 0:1 / / rw - ext4 a rw\n23 22 0:2 {root} {tmp_path}/sub rw - ext4 b rw\n"
    )
    for name, count in (("", 1), ("sub", 1), ("sub/deep", 1), ("beside", 0)):
        assert len(subpath_mounts(str(tmp_path / name))) == count
