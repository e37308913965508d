"""Identifies the volume behind a mount, so that it is known again wherever it is mounted next.

A network file system is identified by what is mounted (``server:/export``), a local one by the id
that it keeps on its disk; never by a device or a machine, since a claim of Kubernetes moves between
them with its pod. Where there is no such id, type and mount point have to do; between servers on
several machines also when the directory was made, since each may have a disk of its own there.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import uuid
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

from watcher.filesystem import statx
from watcher.filesystem.mounts import NOTIFYING
from watcher.filesystem.openat2 import current_path, proc_fd_path
from watcher.filesystem.paths import is_inside

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
_OF_NODE = ("node", "born_ns")
_GENERATION = re.compile(r"/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+(?=/|$)")
"""Directory of one version of a ConfigMap, Secret or projected volume."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume, and where a directory lies in it.

    Attributes:
        type: Type of the file system; empty if the volume is known by a bare text.
        id: ``UUID=…`` or ``fsid=…`` of a local file system, the source of another, the name that
            Kubernetes gives a volume of a pod; empty if there is none.
        root: The mounted directory of the file system; empty if unknown.
        directory: The watched directory or mounted file, as a path in the file system.
        point: Where it is mounted.
        node: Where a server found a volume that has no id; empty if that does not matter.
        born_ns: When its directory was made, nanoseconds since the epoch; 0 if unknown, or if
            ``node`` is empty.
    """

    type: str
    id: str = ""
    root: str = ""
    directory: str = ""
    point: str = ""
    node: str = ""
    born_ns: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the volume that ``identity_of`` described, or 0.1 (``TYPE at POINT``)."""
        if text.startswith("{"):
            return cls(**json.loads(text))
        type_, _, point = text.partition(" at ")
        return cls(type_, point=point)

    def __str__(self) -> str:
        """Return a description for people, in which unprintable bytes are replaced."""
        root = "" if self.root in {"", "/"} else self.root
        id_ = self.id.rstrip("/") if root and ":/" in self.id else self.id
        separator = ":" if root and id_.startswith(("UUID=", "fsid=")) else ""
        named = " ".join(filter(None, (self.type, f"{id_}{separator}{root}")))
        shown = f"{named} at {self.point}" if self.point else named
        shown += f" on {self.node}" if self.node else ""
        return os.fsencode(shown).decode(errors="replace")

    @property
    def kind(self) -> str:
        """The kind of the id: ``UUID``, ``fsid`` or ``source``; empty if there is none."""
        if not self.id:
            return ""
        return self.id[:4] if self.id.startswith(("UUID=", "fsid=")) else "source"

    def is_same(self, found: Volume) -> bool:
        """Return whether a volume that is found is this one, with the same directory of it.

        The point matters only where an id is missing, or depends on the kernel (UUID and fsid). At
        the same point another directory may be watched, since links in a path may change; at
        another point it is the same only if it is the same directory of the volume. So a volume is
        not taken for one of the same id that it was mounted in, when it is unmounted.
        """
        is_here, kinds = self.point == found.point, {self.kind, found.kind}
        is_root = is_here and (not self.root or self.root == found.root)
        if "" in kinds or kinds == {"UUID", "fsid"}:
            return is_root and self.type == found.type and self._may_be_at(found)
        return self.id == found.id and (is_root if is_here else self.directory == found.directory)

    def _may_be_at(self, found: Volume) -> bool:
        """Return whether a volume without an id may be this one, although servers share a state."""
        is_near = not (self.node and found.node) or self.node == found.node
        return is_near or 0 < self.born_ns == found.born_ns


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
    fields = asdict(volume)
    # Written only where they matter: other texts stay as they were.
    return json.dumps({key: fields[key] for key in fields if key not in _OF_NODE or fields[key]})


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


def is_same_volume(known: str, found: str) -> bool:
    """Return whether a volume that is found is the known one.

    Args:
        known: What ``identity_of`` returned before, or ``TYPE at POINT`` as 0.1 recorded it.
        found: What it returns now.
    """
    return known == found or Volume.parse(known).is_same(Volume.parse(found))


def describe_volume(identity: str) -> str:
    """Return what ``identity_of`` returned, or 0.1 recorded, for people to read."""
    return str(Volume.parse(identity))


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
