"""Mounts and tables of them, and what is known of types of file systems. Asks no kernel.

The format of a table is that of Linux: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from watcher.filesystem.paths import is_inside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SUBPATH = re.compile(r"/volume-subpaths/|/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+/[^/]")
"""Roots of Kubernetes' subPath mounts: kubelet's bind mounts, or a key of one ConfigMap version."""

NOTIFYING = frozenset(
    (  # noqa: SIM905 - one name a line would fill the page
        "adfs affs bcachefs befs bfs btrfs cramfs devtmpfs ecryptfs efs erofs exfat ext2 ext3 "
        "ext4 f2fs hfs hfsplus hpfs iso9660 jffs2 jfs minix msdos nilfs2 ntfs ntfs3 omfs overlay "
        "qnx4 qnx6 ramfs reiser4 reiserfs romfs rootfs squashfs sysv tmpfs ubifs udf ufs umsdos "
        "v7 vfat xfs zfs"
    ).split()
)
"""Types of file systems on which every change goes through this kernel, which notifies of it.

inotify(7) reports what happens through the local kernel only. So a type is listed if its data is in
memory or on a device of this machine alone, or is never changed. Not listed, and so polled, are:

- network and cluster file systems, FUSE (``fuseblk`` and ``fuse.*`` too), folders that a hypervisor
  or a desktop shares with its guests (``9p``, ``virtiofs``, ``vboxsf``, ``fakeowner``);
- ``aufs``, ``shiftfs`` and others whose files are usually changed in another layer;
- what the kernel itself writes without notifying (``proc``, ``sysfs``, ``cgroup2``, ``configfs``);
- ``autofs``, in which mounts come and go, and any type that is not known here.
"""

MADE_UP_INODES = frozenset(
    {"cifs", "exfat", "fuse", "fuseblk", "msdos", "smb2", "smb3", "smbfs", "vboxsf", "vfat"}
)
"""Types that number files as they are met, so do ``fuse.*``: iunique() and idr_alloc_cyclic() in
fs/fat/inode.c, fs/exfat/inode.c and fs/vboxsf/super.c of Linux; a FUSE daemon may do so.

SMB has the server's numbers by its option ``serverino``, which the kernel switches off when it
meets a directory under two names, since it was renamed on the server: cifs_iget() in
fs/smb/client/inode.c."""

MADE_UP_CTIMES = frozenset({"exfat"})
"""Types that keep no change time: a file has one until its inode leaves the cache, and then that of
its modification, exfat_fill_inode() in fs/exfat/inode.c of Linux. On FAT the two are always equal,
fat_truncate_time() in fs/fat/misc.c."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the mount table.

    Attributes:
        point: Absolute path at which the file system is mounted.
        type: Type of the file system, such as ``ext4`` or ``fuse.sshfs``.
        root: The mounted directory of the file system; not ``/`` for a bind mount of a part.
        options: Options of this mount, as the table has them.
        mount_id: Id of this mount; -1 if unknown. The same volume mounted again has another.
        source: What is mounted, such as ``/dev/sda1`` or ``server:/export``; empty if unknown.
        super_options: Options of the file system itself, as the table has them.
        parent_id: Id of the mount in which its point lies; -1 if unknown.
    """

    point: str
    type: str
    root: str
    options: str
    mount_id: int = field(default=-1, compare=False)
    source: str = ""
    super_options: str = ""
    parent_id: int = field(default=-1, compare=False)

    @property
    def notifies(self) -> bool:
        """Whether inotify(7) is known to report every change on this file system."""
        return self.type in NOTIFYING

    @property
    def has_stable_inodes(self) -> bool:
        """Whether a file keeps its inode number, also when the volume is mounted again."""
        return self.type not in MADE_UP_INODES and not self.type.startswith("fuse.")

    @property
    def has_stable_ctimes(self) -> bool:
        """Whether a file keeps its change time, also when the kernel reads it again."""
        return self.type not in MADE_UP_CTIMES

    @property
    def is_subpath(self) -> bool:
        """Whether it is a Kubernetes subPath mount, in which later updates do not appear."""
        return _SUBPATH.search(self.root) is not None


@dataclass(frozen=True, slots=True)
class MountTable:
    """The mounts of a process, in the order of the kernel's table; paths are free of links."""

    mounts: Sequence[Mount]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the table of a mountinfo file; malformed lines are left out."""
        mounts = []
        for line in text.split("\n"):
            left, separator, right = line.partition(" - ")
            fields = left.split(" ")
            type_, source, super_options, *_ = [*right.split(" "), "", ""]
            if separator and len(fields) >= 6:  # noqa: PLR2004 - the six fixed fields of the format
                mounts.append(
                    Mount(
                        point=_unescape(fields[4]),
                        type=type_,
                        root=_unescape(fields[3]),
                        options=fields[5],
                        mount_id=_number(fields[0]),
                        source=_unescape(source),
                        super_options=super_options,
                        parent_id=_number(fields[1]),
                    )
                )
        return cls(mounts)

    def by_id(self, mount_id: int | None) -> Mount | None:
        """Return the mount with an id; None if there is none."""
        return next((mount for mount in self.mounts if mount.mount_id == mount_id), None)

    def holding(self, path: str) -> Mount | None:
        """Return the mount that holds a path; None if the table is empty."""
        holding = [mount for mount in self.mounts if is_inside(path, mount.point)]
        # Of several mounts at one point the last in the table is on top.
        return max(reversed(holding), key=lambda mount: len(mount.point), default=None)

    def inside(self, directory: str) -> list[Mount]:
        """Return the mounts at or below a directory, in the order of the table."""
        return [mount for mount in self.mounts if is_inside(mount.point, directory)]

    def reachable(self, mount_id: int, directory: str) -> list[Mount]:
        """Return the mounts that a path below a directory can lead to, those above first.

        A mount that lies under another one, or on a directory that another one hides, is none.

        Args:
            mount_id: Id of the mount that holds the directory.
            directory: Absolute path of the directory.
        """
        children: dict[int, list[Mount]] = {}
        for mount in self.mounts:
            children.setdefault(mount.parent_id, []).append(mount)
        found: list[Mount] = []
        above = [mount_id]
        while above:
            id_ = above.pop()
            seen: list[Mount] = []
            for mount in sorted(children.pop(id_, []), key=lambda each: len(each.point)):
                is_hidden = any(is_inside(mount.point, other.point) for other in seen)
                if mount.point != directory and is_inside(mount.point, directory) and not is_hidden:
                    seen.append(mount)
                    top = _topmost(mount, children)
                    found.append(top)
                    above.append(top.mount_id)
        return sorted(found, key=lambda each: len(each.point))


def _topmost(mount: Mount, children: Mapping[int, Sequence[Mount]]) -> Mount:
    """Return the mount that is on top of those stacked at the point of a mount."""
    on_it = (each for each in children.get(mount.mount_id, ()) if each.point == mount.point)
    above = next(on_it, None)
    return mount if above is None else _topmost(above, children)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _unescape(text: str) -> str:
    """Replace the octal escapes of the table (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
