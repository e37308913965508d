"""The identity of a mounted volume, of real directories and of mounts that others have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import mount_tables
from watcher.filesystem.linux.volume_ids import identity_of, is_node_local
from watcher.filesystem.mounts import Mount, MountTable
from watcher.filesystem.statx import born_ns
from watcher.filesystem.volumes import Volume, describe_volume, is_same_volume

ALL = MountTable.parse(
    mount_tables.POD + mount_tables.DESKTOP + mount_tables.WINDOWS + mount_tables.MACHINE
)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.fixture
def identity(fd: int) -> Callable[[Mount], str]:
    """Return the identity that a mount has, as far as the directory behind it has no id."""
    return lambda mount: identity_of(mount, fd)


def mounted(point: str) -> Mount:
    (mount,) = (mount for mount in ALL.mounts if mount.point == point)
    return mount


@pytest.mark.parametrize(
    ("point", "id_", "root"),
    [
        ("/share", "10.0.0.1:/export/pvc-1", "/"),
        ("/ceph", "10.0.0.7:6789:/volumes/csi/csi-vol-9", "/"),
        ("/bucket", "", "/"),
        ("/secret", "", "/"),
        ("/work", "kubernetes.io~empty-dir/work", "/"),
        ("/config", "kubernetes.io~configmap/app", "/"),
        ("/app", "/run/host_mark/Users", "/me/app"),
        ("/old", "", "/host_mnt/Users/me/old"),
        ("/mnt/c", "C:\\", "/"),
        ("/mnt/d", "D:\\", "/"),
        ("/mnt/f", "F:\\", "/"),
        ("/media/disk", "", "/"),
        ("/hosthome", "/hosthome", "/"),
        ("/media/psf/Home", "", "/"),
        ("/mnt/hgfs", "", "/"),
        ("/mnt/old-hgfs", ".host:/", "/"),
        ("/gpfs", "gpfs01", "/"),
        ("/weka", "backend-1/default", "/"),
        ("/acfs", "", "/"),
        ("/dav", "https://dav.example/in", "/"),
        ("/uml", "", "/srv/in"),
        ("/auto", "", "/"),
        ("/lustre", "10.0.0.5@tcp:/scratch", "/"),
        ("/gluster", "gluster-1:/in", "/"),
        ("/snap/core/1", "", "/"),
        ("/unheard", "", "/"),
    ],
)
def test_ids_of_mounts(identity: Callable[[Mount], str], point: str, id_: str, root: str) -> None:
    """What is mounted identifies it; neither a device does, nor the name of a program."""
    found = Volume.parse(identity(mounted(point)))
    assert (found.type, found.id, found.root) == (mounted(point).type, id_, root)
    assert (found.directory, found.point) == (root, point)


@pytest.mark.parametrize(
    ("type_", "source", "options", "id_"),
    [
        ("9p", "hostshare", "access=client,trans=virtio", "hostshare"),
        ("9p", "10.0.0.1", "aname=/export,trans=tcp", "10.0.0.1:/export"),
        ("virtiofs", "share", "", "share"),
        ("cifs", "//10.0.0.3/share", "vers=3.1.1", "//10.0.0.3/share"),
        ("fuse.sshfs", "host:/data", "", "host:/data"),
        ("fuse.gcsfuse", "bucket", "", "bucket"),
        ("fuse.s3fs", "s3fs", "", ""),
        ("fuse.mergerfs", "/mnt/a:/mnt/b", "", ""),
        ("nfs", "none", "", ""),
    ],
)
def test_sources(
    identity: Callable[[Mount], str], type_: str, source: str, options: str, id_: str
) -> None:
    mount = Mount("/data", type_, "/", "rw", source=source, super_options=f"rw,{options}")
    assert Volume.parse(identity(mount)).id == id_


def test_another_export_at_the_same_point(identity: Callable[[Mount], str]) -> None:
    """Exports a and b are two places; other options, and another mount id, make none."""
    export = mounted("/share")
    again = replace(export, mount_id=7, options="ro", super_options="rw,vers=3,soft")
    other = replace(export, source="10.0.0.1:/export/pvc-2")
    assert identity(export) == identity(again)
    assert not is_same_volume(identity(export), identity(other))
    assert describe_volume(identity(other)) == "nfs4 10.0.0.1:/export/pvc-2 at /share"


def test_a_volume_of_the_next_pod_is_the_same(identity: Callable[[Mount], str]) -> None:
    """Whatever the pod's uid, the node's disk and its type are, and the version of a ConfigMap."""
    key = replace(
        mounted("/config"),
        root=f"{mounted('/config').root}/..2026_01_31_12_00_00.2791/app.yaml",
        point="/etc/app.yaml",
    )
    uid = "6f3a1c2e-8a51-4a0b-9d27-0c6c8f4f8c11"
    for mount in (mounted("/work"), mounted("/config"), key):
        assert uid in mount.root
        root = mount.root.replace(uid, "next").replace("12_00_00.2791", "12_10_00.113")
        following = replace(mount, type="xfs", source="/dev/vdb", root=root)
        assert is_same_volume(identity(mount), identity(following))
    assert Volume.parse(identity(key)).root == "/..data/app.yaml"


def test_the_directory_in_the_volume(tmp_path: Path) -> None:
    """The watched directory is named as in the volume, also if a part of that is mounted."""
    (tmp_path / "in").mkdir()
    fd = os.open(tmp_path / "in", os.O_PATH)
    try:
        found = {
            root: Volume.parse(identity_of(Mount(str(tmp_path), "tmpfs", root, "rw"), fd)).directory
            for root in ("/", "/sub")
        }
    finally:
        os.close(fd)
    assert found == {"/": "/in", "/sub": "/sub/in"}


def test_memory_has_no_id(tmp_path: Path, fd: int) -> None:
    """The id that a kernel makes up for a file system in memory is another one after a restart."""
    assert Volume.parse(identity_of(Mount(str(tmp_path), "tmpfs", "/", "rw"), fd)).id == ""


def made_later(directory: Path) -> Path:
    """Make a directory in another one, which is younger by the kernel's coarse clock."""
    other = directory / "other"
    other.mkdir()
    while born_at(other) == born_at(directory):
        other.rmdir()
        other.mkdir()
    return other


def born_at(directory: Path) -> int | None:
    fd = os.open(directory, os.O_PATH)
    try:
        return born_ns(fd)
    finally:
        os.close(fd)


def test_each_node_has_a_disk_of_its_own(tmp_path: Path, fd: int) -> None:
    """A volume without an id is the same on one node, and on another if its directory is."""
    other = os.open(made_later(tmp_path), os.O_PATH)
    mount = Mount(str(tmp_path), "tmpfs", "/", "rw")
    try:
        known, there = identity_of(mount, fd, "a"), identity_of(mount, other, "b")
        here = identity_of(mount, other, "a")
    finally:
        os.close(other)
    alone = identity_of(mount, fd)
    assert not is_same_volume(known, there)
    assert describe_volume(there) == f"tmpfs at {tmp_path} on b"
    assert is_same_volume(known, here)
    assert is_same_volume(known, identity_of(mount, fd, "b")), "the disk was moved"
    assert is_same_volume(alone, there), "state of one server was moved into a database"
    assert Volume.parse(alone).node == ""


@pytest.mark.parametrize("point", ["/share", "/config"])
def test_nodes_share_a_volume(fd: int, point: str) -> None:
    """What a server or kubelet provides on each node has nothing of the node in its identity."""
    assert identity_of(mounted(point), fd, "a") == identity_of(mounted(point), fd)
    assert not is_node_local(mounted(point), fd)


def test_secrets_are_known_by_their_link(tmp_path: Path, fd: int) -> None:
    """A Secret is in memory, and its mount names no volume."""
    secret = replace(mounted("/secret"), point=str(tmp_path))
    assert is_node_local(secret, fd)
    (tmp_path / "..data").symlink_to("..2026_01_31_12_00_00.1")
    assert not is_node_local(secret, fd)
    assert identity_of(secret, fd, "a") == identity_of(secret, fd)
