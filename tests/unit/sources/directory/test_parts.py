"""A tree has the parts that its mount table says; what is missing is unread."""

from __future__ import annotations

import pytest

from watcher.filesystem.mounts import Mount
from watcher.sources.directory.parts import Mounted, Part, PartMode, Parts
from watcher.spec import Mode

NOTIFIED, POLLED, UNREAD = PartMode.NOTIFIED, PartMode.POLLED, PartMode.UNREAD


def volume(
    name: str, type_: str = "ext4", *, mount_id: int = 1, is_file: bool = False, root: str = "/"
) -> Mounted:
    mount = Mount("/root", type_, root, "rw", mount_id, name, "rw")
    return Mounted(mount, f"{type_} at {name}", is_file)


def parts_of(mode: Mode = Mode.AUTO, **volumes: Mounted) -> Parts:
    """Return the parts of a tree on ext4; double underscores in the points stand for slashes."""
    parts = Parts(mode)
    parts.set_root(Mount("/", "ext4", "/", "rw"))
    parts.update(by_point(volumes))
    return parts


def by_point(volumes: dict[str, Mounted]) -> dict[bytes, Mounted]:
    return {point.replace("__", "/").encode(): each for point, each in volumes.items()}


def modes(parts: Parts) -> dict[str, str]:
    return {part.point.decode(): part.mode.value for part in parts}


def test_the_longest_point_holds_a_path() -> None:
    parts = parts_of(usb=volume("a"), usb__in=volume("b", "nfs4"), usb__in__file=volume("c"))
    for path, point in {
        b"": b"",
        b"usbstick": b"",
        b"usb": b"usb",
        b"usb/": b"usb",
        b"usb/x/y": b"usb",
        b"usb/inn/x": b"usb",
        b"usb/in/x/y/z": b"usb/in",
        b"usb/in/file": b"usb/in/file",
        b"in/usb": b"",
    }.items():
        assert parts.at(path).point == point, path


@pytest.mark.parametrize(
    ("mode", "root", "below", "degraded"),
    [
        (Mode.AUTO, NOTIFIED, POLLED, False),
        (Mode.NOTIFY, NOTIFIED, POLLED, True),
        (Mode.POLL, POLLED, POLLED, False),
    ],
)
def test_each_part_is_watched_by_its_own_file_system(
    mode: Mode, root: PartMode, below: PartMode, *, degraded: bool
) -> None:
    """A part that does not notify is polled, which is less than ``mode: notify`` asks for."""
    parts = parts_of(mode, net=volume("s:/e", "nfs4"), disk=volume("/dev/sdb"))
    local = POLLED if mode is Mode.POLL else NOTIFIED
    assert modes(parts) == {"": root, "disk": local, "net": below}
    assert bool(parts.at(b"net").reason) is degraded
    assert parts.at(b"").reason == parts.at(b"disk").reason == ""


@pytest.mark.parametrize(
    ("type_", "mode"), [("ext4", NOTIFIED), ("nfs4", POLLED), ("fuse.sshfs", POLLED)]
)
def test_the_root_is_watched_by_its_mount(type_: str, mode: PartMode) -> None:
    parts = parts_of(disk=volume("/dev/sdb"))
    parts.set_root(Mount("/", type_, "/", "rw"))
    assert modes(parts) == {"": mode, "disk": NOTIFIED}


def test_what_is_mounted_at_first_is_known() -> None:
    parts = parts_of(usb=volume("a"))
    assert parts.known == {b"usb": "ext4 at a"}
    assert (parts.new, list(parts.unread)) == ({}, [])


def test_a_mount_that_goes_is_unread_until_it_is_back() -> None:
    parts = parts_of(usb=volume("a"), usb__in=volume("b"))
    changed = parts.update({})
    assert [(part.point, part.mode) for part in changed] == [
        (b"usb", UNREAD),
        (b"usb/in", UNREAD),
    ]
    assert [part.reason for part in parts] == ["", "the mount at 'usb' is gone", ""]
    assert parts.update({}) == []
    assert parts.at(b"usb/x").mode is parts.at(b"usb/in/x").mode is UNREAD

    changed = parts.update(by_point({"usb": volume("a", mount_id=7)}))
    assert [part.point for part in changed] == [b"usb"]
    assert modes(parts) == {"": NOTIFIED, "usb": NOTIFIED, "usb/in": UNREAD}


def test_another_volume_at_the_same_point_is_unread() -> None:
    parts = parts_of(usb=volume("a"))
    parts.update(by_point({"usb": volume("b")}))
    assert modes(parts)["usb"] == UNREAD
    assert "it was ext4 at a and is now ext4 at b" in parts.at(b"usb").reason


def test_a_volume_that_is_mounted_again_is_looked_at_again() -> None:
    parts = parts_of(usb=volume("a"))
    assert parts.update(by_point({"usb": volume("a")})) == []
    (part,) = parts.update(by_point({"usb": volume("a", mount_id=2)}))
    assert (part.point, part.mode) == (b"usb", NOTIFIED)


def test_a_new_mount_is_unread_until_it_is_accepted() -> None:
    parts = parts_of()
    (part,) = parts.update(by_point({"usb": volume("a")}))
    assert (part.mode, part.reason, parts.new) == (UNREAD, "", {b"usb": "ext4 at a"})
    (part,) = parts.accept()
    assert (part.mode, parts.new, parts.known) == (NOTIFIED, {}, {b"usb": "ext4 at a"})


def test_volumes_of_an_earlier_run_are_expected() -> None:
    parts = Parts(Mode.AUTO)
    parts.expect({b"usb": "ext4 at a", b"other": "ext4 at b"})
    parts.update(by_point({"usb": volume("a"), "new": volume("c")}))
    assert modes(parts) == {"": NOTIFIED, "new": UNREAD, "other": UNREAD, "usb": NOTIFIED}
    assert parts.new == {b"new": "ext4 at c"}


def test_a_mount_in_a_part_that_is_unread_is_none_of_ours() -> None:
    """It is neither new nor read: it may belong to the volume that has taken the place."""
    parts = parts_of(usb=volume("a"))
    parts.update(by_point({"usb": volume("b"), "usb__in": volume("c")}))
    assert modes(parts) == {"": NOTIFIED, "usb": UNREAD}
    assert parts.new == {}


def test_a_released_mount_is_an_ordinary_directory() -> None:
    parts = parts_of(usb=volume("a"), usb__in=volume("b"), kept=volume("c"))
    assert parts.release(b"usb") == []
    parts.update(by_point({"kept": volume("c")}))
    changed = parts.release(b"usb")
    assert sorted(changed, key=lambda part: part.point) == [
        Part(b"usb", NOTIFIED),
        Part(b"usb/in", NOTIFIED),
    ]
    assert (modes(parts), parts.known) == ({"": NOTIFIED, "kept": NOTIFIED}, {b"kept": "ext4 at c"})


def test_releasing_a_mount_accepts_what_is_there_instead() -> None:
    parts = parts_of(usb=volume("a"))
    parts.update(by_point({"usb": volume("b")}))
    (part,) = parts.release(b"usb")
    assert (part.mode, parts.known, parts.new) == (NOTIFIED, {b"usb": "ext4 at b"}, {})


def test_a_file_is_polled_and_says_when_it_was_replaced() -> None:
    """The mount keeps the file that was removed, so it is the same volume."""
    parts = parts_of(conf=volume("/dev/sda1", root="/app.conf", is_file=True))
    assert (modes(parts)["conf"], parts.at(b"conf").reason) == (POLLED, "")
    replaced = volume("/dev/sda1", root="/app.conf//deleted", is_file=True)
    parts.update(by_point({"conf": replaced}))
    assert modes(parts)["conf"] == POLLED
    assert "replaced outside" in parts.at(b"conf").reason


def test_a_volume_that_cannot_be_identified_counts_as_the_known_one() -> None:
    """Its files cannot be read either; it is identified as soon as that is possible."""
    unknown = Mounted(volume("a").mount, "")
    parts = parts_of(usb=volume("a"), other=unknown)
    parts.update(by_point({"usb": unknown, "other": volume("b")}))
    assert list(parts.unread) == []
    assert parts.known == {b"usb": "ext4 at a", b"other": "ext4 at b"}
