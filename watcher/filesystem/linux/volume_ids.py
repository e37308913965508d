"""Finds the identity of the volume behind a mount, see ``volumes``."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.filesystem import statx
from watcher.filesystem.linux.openat2 import current_path, proc_fd_path
from watcher.filesystem.mounts import NOTIFYING
from watcher.filesystem.paths import is_inside
from watcher.filesystem.volumes import Volume

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount

_FS_IOC_GETFSUUID = 0x8011_1500
"""Request of ioctl(2), from Linux 6.9: _IOR(0x15, 0, struct fsuuid2), include/uapi/linux/fs.h.

The struct is a byte with the length of the id, and 16 bytes with it. Architectures that encode
requests otherwise (MIPS, PowerPC, SPARC) answer ENOTTY, as older kernels do.
"""

_MAX_UUID_BYTES = 16

_UUID_TYPES = frozenset(
    (  # noqa: SIM905 - one name a line would fill the page
        "bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs gfs2 jfs msdos nilfs2 ntfs3 ocfs2 reiserfs "
        "ubifs udf vfat xfs"
    ).split()
)
"""Types whose id for that request, if they answer it, is on their disk.

Others make up a new one with each mount: tmpfs (mm/shmem.c) and what is built on it, overlay.
"""

_FSID_TYPES = frozenset({"btrfs", "ext2", "ext3", "ext4", "jfs", "zfs"})
"""Types whose ``f_fsid``, see statfs(2), derives from an id on their disk.

ext2_statfs, ext4_statfs: uuid_to_fsid(s_uuid); jfs_statfs: crc32_le(uuid); btrfs_statfs: the fsid
and the id of the subvolume; zfs_statvfs: dmu_objset_fsid_guid. Not listed: xfs, f2fs, nilfs2, exfat
and vfat, which encode the number of the device (fs/xfs/xfs_super.c: huge_encode_dev).
"""

_NAMED_TYPES = frozenset({"9p", "fuse.gcsfuse", "gpfs", "virtiofs", "vboxsf"})
"""Types whose source may be a plain name that stands for one share; else that is the program's."""

_TREE_9P = re.compile(r"\baname=(?:drvfs;path=)?([^,;]+)")
"""Option of 9p that names the tree of the server; on Windows' Linux, the drive."""

_BRANCHED_TYPES = frozenset({"aufs", "fuse.mergerfs", "fuse.unionfs", "fuse.unionfs-fuse"})
"""Types whose source lists the directories that they unite, and changes with each disk added."""

_POD_VOLUME = re.compile(r"^.*/pods/[^/]+/volumes/(?P<id>[^/~]+~[^/]+/[^/]+)(?P<rest>/.*)?$")
"""A directory that kubelet made for a volume of one pod: emptyDir, ConfigMap, Secret and others."""

_WRITTEN_BY_KUBELET = re.compile(r"^kubernetes\.io~(configmap|downward-api|projected|secret)/")
"""Id of a volume that kubelet writes (AtomicWriter): its content is the same on each node."""

_DATA_LINK = "..data"
"""The link in such a volume, by which one in memory is known: its mount names no volume."""

_POD = re.compile(r"/pods/[^/]+/(?=volume-subpaths/)")
_GENERATION = re.compile(r"/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+(?=/|$)")
"""Directory of one version of a ConfigMap, Secret or projected volume."""


def identity_of(mount: Mount, fd: int, node: str = "") -> str:
    """Return the text by which the volume of a directory, or of a mounted file, is known again.

    Args:
        mount: The mount that holds it.
        fd: A descriptor of it, which may be opened with O_PATH.
        node: The machine's name, where servers on several machines look at one path; empty where
            only one does.

    Returns:
        Text for ``is_same_volume``; equal texts are the same volume.

    Raises:
        OSError: ``/proc`` cannot be read.
    """
    path = os.fsdecode(current_path(fd))
    below = path[len(mount.point.rstrip("/")) :] if is_inside(path, mount.point) else ""
    volume = _in_pod(_volume(mount, fd, below))
    if node and not volume.id and is_node_local(mount, fd):
        volume = replace(volume, node=node, born_ns=statx.born_ns(fd) or 0)
    return volume.identity


def is_node_local(mount: Mount, fd: int) -> bool:
    """Return whether a directory, or a mounted file, is on a disk or in memory of one machine.

    Not those that kubelet writes for a pod, since it writes the same ones on each node.

    Args:
        mount: The mount that holds it.
        fd: A descriptor of it, which may be opened with O_PATH.
    """
    if not mount.notifies or _WRITTEN_BY_KUBELET.match(_in_pod(_volume(mount, fd, "")).id):
        return False
    try:
        os.readlink(_DATA_LINK, dir_fd=fd)
    except OSError:
        return True
    return False


def _volume(mount: Mount, fd: int, below: str) -> Volume:
    directory = (mount.root.rstrip("/") + below).rstrip("/") or "/"
    id_ = _uuid(mount, fd) or _fsid(mount, fd) or _source(mount)
    return Volume(mount.type, id_, mount.root, directory, mount.point)


def _in_pod(volume: Volume) -> Volume:
    """Return a volume without the pod, the node's disk and the version that it is of.

    A volume that kubelet keeps on the disk of a node is the same one in the next pod, elsewhere.
    """
    root, directory = (
        _GENERATION.sub("/..data", _POD.sub("/pods/", path))
        for path in (volume.root, volume.directory)
    )
    of_pod = _POD_VOLUME.match(root)
    if of_pod is None:
        return replace(volume, root=root, directory=directory)
    start = of_pod.end("id")
    inside = (root[start:] or "/", directory[start:] or "/")
    return replace(volume, id=of_pod["id"], root=inside[0], directory=inside[1])


def _uuid(mount: Mount, fd: int) -> str:
    """Return the id that the file system itself reports; empty if it reports none."""
    if mount.type not in _UUID_TYPES:
        return ""
    answer = bytearray(1 + _MAX_UUID_BYTES)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return ""  # To open a device may start it.
        readable = os.open(proc_fd_path(fd), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(readable, _FS_IOC_GETFSUUID, answer)
        finally:
            os.close(readable)
    except OSError:
        return ""
    id_ = bytes(answer[1 : 1 + min(answer[0], _MAX_UUID_BYTES)])
    if not any(id_):
        return ""
    return f"UUID={uuid.UUID(bytes=id_) if len(id_) == _MAX_UUID_BYTES else id_.hex()}"


def _fsid(mount: Mount, fd: int) -> str:
    if mount.type not in _FSID_TYPES:
        return ""
    try:
        number = os.fstatvfs(fd).f_fsid
    except OSError:
        return ""
    return f"fsid={number:016x}" if number else ""


def _source(mount: Mount) -> str:
    """Return what is mounted, where that is neither a device nor the name of a program."""
    if mount.type in NOTIFYING | _UUID_TYPES | _BRANCHED_TYPES:
        return ""
    tree = _TREE_9P.search(mount.super_options) if mount.type == "9p" else None
    if tree is None or tree[1] == mount.source:
        source = mount.source
    else:
        source = tree[1] if mount.source == "drvfs" else f"{mount.source}:{tree[1]}"
    if source.startswith("/dev/"):
        return ""
    is_address = ":" in source or "/" in source
    return source if is_address or (mount.type in _NAMED_TYPES and source != "none") else ""
