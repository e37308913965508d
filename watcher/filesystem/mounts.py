"""Finds the file system of a path in Linux's mount table; elsewhere it is unknown.

A path that exists is looked up by its mount id, which the kernel reports for a descriptor; any
other path by its name. ``st_dev`` is not used: on btrfs, overlay and NFS a file's device differs
from that of its mount. Formats: proc_pid_mountinfo(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from watcher.filesystem.paths import is_inside, real_path

MOUNTINFO = Path("/proc/self/mountinfo")
FDINFO = Path("/proc/self/fdinfo")

_SUBPATH = re.compile(r"/volume-subpaths/|/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+/[^/]")
"""Roots of Kubernetes' subPath mounts: kubelet's bind mounts, or a key of one ConfigMap version."""

WITHOUT_NOTIFICATIONS = frozenset(
    (  # noqa: SIM905 - one name a line would fill the page
        "9p afs beegfs ceph cifs coda fuse fuseblk gfs2 glusterfs lustre ncpfs nfs nfs4 "
        "ocfs2 orangefs smb2 smb3 smbfs virtiofs"
    ).split()
)
"""Types of file systems that do not notify of changes made by other machines; so do ``fuse.*``."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the mount table.

    Attributes:
        point: Absolute path at which the file system is mounted.
        type: Type of the file system, such as ``ext4`` or ``fuse.sshfs``.
        root: The mounted directory of the file system; not ``/`` for a bind mount of a part.
        options: Options of this mount, as the table has them.
        mount_id: Id of this mount; -1 if unknown. The same volume mounted again has another.
    """

    point: str
    type: str
    root: str
    options: str
    mount_id: int = field(default=-1, compare=False)

    @property
    def notifies(self) -> bool:
        """Whether inotify(7) reports every change on this file system."""
        return self.type not in WITHOUT_NOTIFICATIONS and not self.type.startswith("fuse.")

    @property
    def identity(self) -> str:
        """Text that is equal when the same volume is mounted again: its type and mount point."""
        return f"{self.type} at {self.point}"

    @property
    def is_subpath(self) -> bool:
        """Whether it is a Kubernetes subPath mount, in which later updates do not appear."""
        return _SUBPATH.search(self.root) is not None


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts of a table, in its order; malformed lines are left out."""
    mounts = []
    for line in text.split("\n"):
        left, separator, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6:  # noqa: PLR2004 - the six fixed fields of the format
            mount_id = int(fields[0]) if fields[0].isdecimal() else -1
            mounts.append(
                Mount(_unescape(fields[4]), kinds[0], _unescape(fields[3]), fields[5], mount_id)
            )
    return mounts


def mount_of(path: str, mounts: list[Mount] | None = None) -> Mount | None:
    """Return the mount that holds an absolute path, its links resolved; None if there is no table.

    Args:
        path: The path; it need not exist.
        mounts: The table to look the path up in by its name; by default the table of this process,
            in which an existing path is found by its mount id.
    """
    if mounts is None:
        mounts, mount_id = _mounts(), _mount_id_at(path)
        exact = [mount for mount in mounts if mount.mount_id == mount_id]
        if exact:
            return exact[0]
    real = real_path(path)
    holding = [mount for mount in mounts if is_inside(real, mount.point)]
    # Of several mounts at one point the last in the table is on top.
    return (
        max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1]
        if holding
        else None
    )


def is_mounted_here(fd: int) -> bool:
    """Return whether a descriptor's file is on a mount of this process; False if unknown."""
    mount_id = _mount_id(fd)
    return any(mount.mount_id == mount_id for mount in _mounts())


def subpath_mounts(path: str, mounts: list[Mount] | None = None) -> list[Mount]:
    """Return the subPath mounts that hold a directory or lie at or below it; may be empty.

    Args:
        path: Absolute path of the directory.
        mounts: The table; by default that of this process.
    """
    own = mount_of(path, mounts)
    real = real_path(path)
    below = [
        mount
        for mount in (_mounts() if mounts is None else mounts)
        if is_inside(mount.point, real) and mount != own
    ]
    return [mount for mount in ([own] if own else []) + below if mount.is_subpath]


def _mounts() -> list[Mount]:
    """Return the mount table of this process; empty if there is none."""
    try:
        return parse_mountinfo(MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape"))
    except OSError:
        return []


def _mount_id_at(path: str) -> int | None:
    """Return the id of the mount that holds a path; None if nothing is there, or it is unknown."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _mount_id(fd)
    finally:
        os.close(fd)


def _mount_id(fd: int) -> int | None:
    try:
        lines = (FDINFO / str(fd)).read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("mnt_id:")), None)


def _unescape(text: str) -> str:
    """Replace the octal escapes of the table (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
