"""Mount tables are understood as proc_pid_mountinfo(5) defines them."""

from __future__ import annotations

import pytest

from support import mount_tables
from watcher.filesystem.mounts import Mount, MountTable

TABLE = MountTable.parse(
    r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /data rw,nosuid shared:2 master:7 - nfs4 server:/export rw,vers=4.2
31 22 0:27 /sub /data/in ro - tmpfs tmpfs rw
32 22 0:28 / /with\040space\011tab\134back ro - fuse.sshfs host: rw
33 22 0:29 / /over rw - ext4 /dev/vdb rw
34 22 0:30 / /over rw - virtiofs share rw
not a line
35 22 0:31 / /short - ext4
"""
)
RECORDED = MountTable.parse(mount_tables.CONTAINER)


def test_malformed_lines_are_left_out() -> None:
    """Optional fields are skipped, and octal escapes replaced."""
    assert [mount.point for mount in TABLE.mounts] == [
        "/",
        "/data",
        "/data/in",
        "/with space\ttab\\back",
        "/over",
        "/over",
    ]
    assert TABLE.mounts[1] == Mount(
        "/data",
        "nfs4",
        "/",
        "rw,nosuid",
        source="server:/export",
        super_options="rw,vers=4.2",
    )
    assert TABLE.mounts[2].root == "/sub"


@pytest.mark.parametrize("odd", ["\r", "\f", "\x85", "\u2028", "\x1c"])
def test_only_a_newline_ends_a_line(odd: str) -> None:
    """The kernel does not escape other control characters of a mount point."""
    line = f"23 22 0:1 / /a{odd}b rw - nfs4 s:/ rw"
    mount = MountTable.parse(f"22 1 254:1 / / rw - ext4 vda rw\n{line}\n").holding(f"/a{odd}b/c")
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
    mount = TABLE.holding(path)
    assert mount is not None
    assert (mount.point, mount.type) == (point, type_)


def test_an_empty_table_holds_nothing() -> None:
    table = MountTable([])
    assert table.holding("/") is table.by_id(22) is None
    assert table.inside("/") == []


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
def test_mounts_of_pods_notify_or_not(path: str, type_: str, *, notifies: bool) -> None:
    mount = RECORDED.holding(path)
    assert mount is not None
    assert (mount.type, mount.notifies) == (type_, notifies)


@pytest.mark.parametrize(
    ("type_", "is_stable"),
    [
        ("ext4", True),
        ("nfs4", True),
        ("virtiofs", True),
        ("fuse", False),
        ("fuseblk", False),
        ("fuse.sshfs", False),
        ("fuse.mergerfs", False),
        ("vfat", False),
        ("exfat", False),
        ("vboxsf", False),
        ("cifs", False),
        ("smb3", False),
    ],
)
def test_some_file_systems_make_up_their_inodes(type_: str, *, is_stable: bool) -> None:
    """SMB too, even with ``serverino``, which the kernel may switch off while it is mounted."""
    mount = Mount("/x", type_, "/", "rw", super_options="rw,vers=3.1.1,serverino")
    assert mount.has_stable_inodes is is_stable


@pytest.mark.parametrize(("type_", "is_stable"), [("exfat", False), ("vfat", True), ("nfs", True)])
def test_a_file_system_may_keep_no_change_times(type_: str, *, is_stable: bool) -> None:
    assert Mount("/x", type_, "/", "rw").has_stable_ctimes is is_stable


@pytest.mark.parametrize(
    ("recorded", "notified"),
    [
        (mount_tables.CONTAINER, "/ /bind /stacked /etc/app/app.yaml /sub /config"),
        (
            mount_tables.POD,
            "/ /tmp /claim /local /work /config /secret /run/secrets /path",
        ),
        (mount_tables.DESKTOP, "/ /cache"),
        (mount_tables.WINDOWS, "/"),
        (
            mount_tables.MACHINE,
            "/ /home /boot/efi /media/usb /tank/in /snap/core/1 /media/cdrom /dev",
        ),
    ],
    ids=["container", "pod", "desktop", "windows", "machine"],
)
def test_only_types_that_are_known_to_notify_are_notified(recorded: str, notified: str) -> None:
    """What servers, hypervisors, desktops and FUSE share is polled, and so is an unknown type."""
    mounts = MountTable.parse(recorded).mounts
    assert len(mounts) == len(recorded.strip().splitlines())
    assert [mount.point for mount in mounts if mount.notifies] == notified.split()


@pytest.mark.parametrize(
    ("type_", "notifies"), [("tmpfs", True), ("tmpfs2", False), ("fuse.ext4", False), ("", False)]
)
def test_types_are_compared_as_a_whole(type_: str, *, notifies: bool) -> None:
    assert Mount("/x", type_, "/", "rw").notifies is notifies


@pytest.mark.parametrize(
    ("directory", "points"),
    [
        ("/etc/app", ["/etc/app/app.yaml"]),
        ("/etc", ["/etc/app/app.yaml"]),
        ("/etc/application", []),
        ("/sub", ["/sub"]),
        ("/sub/deep", []),
        ("/stacked", ["/stacked", "/stacked"]),
    ],
)
def test_mounts_inside_a_directory(directory: str, points: list[str]) -> None:
    assert [mount.point for mount in RECORDED.inside(directory)] == points


def test_subpath_mounts_are_recognised_by_their_root() -> None:
    """Kubelet's own bind mounts, and a key of one version of a ConfigMap; no whole volume."""
    subpaths = [mount.point for mount in RECORDED.mounts if mount.is_subpath]
    assert subpaths == ["/etc/app/app.yaml", "/sub"]


STACKED = MountTable.parse(
    r"""
20 1 254:1 / / rw - ext4 /dev/vda1 rw
30 20 254:1 /srv/data /data rw - ext4 /dev/vda1 rw
31 30 0:31 / /data/usb rw - vfat /dev/sdb1 rw
32 31 0:32 / /data/usb/in rw - tmpfs tmpfs rw
33 30 0:33 / /data/twice rw - tmpfs below rw
34 33 0:34 / /data/twice rw - nfs4 s:/above rw
35 33 0:35 / /data/twice/hidden rw - tmpfs tmpfs rw
36 30 0:36 / /data/over/hidden rw - tmpfs tmpfs rw
37 30 0:37 / /data/over rw - tmpfs over rw
38 37 0:38 / /data/over/seen rw - tmpfs tmpfs rw
39 30 254:1 /srv/data/usb /data/database rw - ext4 /dev/vda1 rw
40 20 0:40 / /database rw - tmpfs tmpfs rw
41 20 0:41 / /data/usb/under rw - tmpfs tmpfs rw
"""
)
"""Mounts in mounts, two at one point, and mounts that others hide."""


@pytest.mark.parametrize(
    ("mount_id", "directory", "found"),
    [
        (30, "/data", {31, 32, 34, 37, 38, 39}),
        (31, "/data/usb", {32}),
        (37, "/data/over", {38}),
        (20, "/", {30, 31, 32, 34, 37, 38, 39, 40}),
        (32, "/data/usb/in", set()),
        (99, "/data", set()),
    ],
)
def test_only_mounts_that_a_path_leads_to_are_reachable(
    mount_id: int, directory: str, found: set[int]
) -> None:
    """Of two at one point the upper one, and none that lies under another mount."""
    reachable = STACKED.reachable(mount_id, directory)
    assert {mount.mount_id for mount in reachable} == found
    lengths = [len(mount.point) for mount in reachable]
    assert lengths == sorted(lengths)
