"""How each part of a tree is watched, in words."""

from __future__ import annotations

import pytest

from watcher.filesystem.mounts import Mount
from watcher.sources.directory.part_status import describe_parts
from watcher.sources.directory.parts import Mounted, Parts
from watcher.spec import Mode

ANOTHER = "another volume is mounted at 'disk': it was xfs at /x and is now ext4 at /x"
ROOT = Mount("/", "ext4", "/", "rw")


def volume(type_: str, *, is_file: bool = False) -> Mounted:
    return Mounted(Mount("/x", type_, "/", "rw"), f"{type_} at /x", is_file=is_file)


def lines(parts: Parts, mode: Mode, unnotified: str = "") -> list[str]:
    return [str(each) for each in describe_parts(parts, ROOT, mode=mode, unnotified=unnotified)]


def make_parts(mode: Mode) -> Parts:
    parts = Parts(mode)
    parts.set_root(ROOT)
    parts.update(
        {
            b"app.conf": volume("ext4", is_file=True),
            b"disk": volume("xfs"),
            b"share": volume("nfs4"),
            b"usb": volume("vfat"),
            b"usb/in": volume("tmpfs"),
        }
    )
    return parts


@pytest.mark.parametrize(
    ("mode", "file", "disk", "share"),
    [
        (
            Mode.AUTO,
            "poll, a mounted file is looked at every poll_interval",
            "notify",
            "poll, nfs4 is not known to notify of every change",
        ),
        (
            Mode.NOTIFY,
            "poll, a mounted file is looked at every poll_interval",
            "notify",
            "poll, 'share' is polled: nfs4 does not notify of every change",
        ),
        (
            Mode.POLL,
            "poll, a mounted file is looked at every poll_interval",
            "poll, set by the configuration",
            "poll, set by the configuration",
        ),
    ],
)
def test_parts_with_their_mode_and_why(mode: Mode, file: str, disk: str, share: str) -> None:
    shown = lines(make_parts(mode), mode)
    assert shown[0].startswith(". (ext4): ")
    assert shown[1:4] == [
        f"app.conf (ext4): {file}",
        f"disk (xfs): {disk}",
        f"share (nfs4): {share}",
    ]


def test_parts_that_are_missing() -> None:
    """A mount in a volume that is missing is unread with it."""
    parts = make_parts(Mode.AUTO)
    parts.update({b"disk": volume("ext4"), b"share": volume("nfs4")})
    assert lines(parts, Mode.AUTO)[1:] == [
        "app.conf: unread, the mount at 'app.conf' is gone",
        f"disk (ext4): unread, {ANOTHER}",
        "share (nfs4): poll, nfs4 is not known to notify of every change",
        "usb: unread, the mount at 'usb' is gone",
        "usb/in: unread, the mount that it lies in is not read",
    ]


def test_a_part_that_is_new() -> None:
    """It is unread until what it hides is marked."""
    parts = make_parts(Mode.AUTO)
    parts.update({b"disk": volume("xfs"), b"late": volume("ext4")})
    assert "late (ext4): unread, it has just been mounted" in lines(parts, Mode.AUTO)


def test_without_notifications_all_is_polled() -> None:
    shown = lines(make_parts(Mode.AUTO), Mode.AUTO, "no watches are left")
    assert shown[0] == ". (ext4): poll, no watches are left"
    assert shown[2] == "disk (xfs): poll, no watches are left"
