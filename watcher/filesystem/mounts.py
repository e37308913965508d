"""Which file system a path is on, read from Linux's table of mounts. Knows nothing of watches; elsewhere than on Linux it knows nothing.

What exists is found by the number of its mount, which the kernel tells of a descriptor; what does not, by its path. Never by
``st_dev``: on btrfs, overlay and NFS device numbers differ between a file and its mount.
Formats: proc_pid_mountinfo(5), proc_pid_fdinfo(5).
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
"""What Kubernetes' subPath mounts come from: kubelet's own bind mounts, or a key in one generation of a ConfigMap or Secret."""

WITHOUT_NOTIFICATIONS = frozenset(
    "9p afs beegfs ceph cifs coda fuse fuseblk gfs2 glusterfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb2 smb3 smbfs virtiofs".split()  # noqa: SIM905 - one name a line would fill the page
)
"""Types of file systems on which a change made elsewhere, or at all, sends no notification. ``fuse.*`` belongs to them too."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the table.

    Attributes:
        point: Absolute path at which the file system is mounted.
        type: Its type, as ``ext4`` or ``fuse.sshfs``.
        root: Which part of the file system is mounted; not ``/`` for bind mounts.
        options: Options of this mount, as the table has them.
        number: Its number in this table; another one when it is mounted again.
    """

    point: str
    type: str
    root: str
    options: str
    number: int = field(default=-1, compare=False)

    @property
    def notifies(self) -> bool:
        """Whether inotify reports every change on it."""
        return self.type not in WITHOUT_NOTIFICATIONS and not self.type.startswith("fuse.")

    @property
    def identity(self) -> str:
        """What stays the same when the same volume is mounted again: where, and of which type."""
        return f"{self.type} at {self.point}"

    @property
    def is_subpath(self) -> bool:
        """Whether Kubernetes mounted a part of a volume with ``subPath``: what it writes to the volume later does not appear here."""
        return _SUBPATH.search(self.root) is not None


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts of a table, in its order; lines that are not understood are left out."""
    mounts = []
    for line in text.split("\n"):
        left, separator, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6:  # noqa: PLR2004 - the six fixed fields of the format
            number = int(fields[0]) if fields[0].isdecimal() else -1
            mounts.append(
                Mount(_unescape(fields[4]), kinds[0], _unescape(fields[3]), fields[5], number)
            )
    return mounts


def mount_of(path: str, mounts: list[Mount] | None = None) -> Mount | None:
    """Return the mount that holds an absolute path, its symbolic links resolved; None where there is no table.

    Args:
        path: It need not exist.
        mounts: The table; by default that of this process, and then what exists is found by the number of its mount.
    """
    if mounts is None:
        mounts = _mounts()
        number = _number_at(path)
        if (
            number is not None
            and (exact := next((mount for mount in mounts if mount.number == number), None))
            is not None
        ):
            return exact
    real = real_path(path)
    holding = [mount for mount in mounts if is_inside(real, mount.point)]
    # Of mounts at one point the last in the table lies on top.
    return (
        max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1]
        if holding
        else None
    )


def is_mounted_here(fd: int) -> bool:
    """Tell whether what a descriptor stands for is on a mount of this process, not on one that only others have; False where unknown."""
    number = _number(fd)
    return any(mount.number == number for mount in _mounts())


def subpath_mounts(path: str, mounts: list[Mount] | None = None) -> list[Mount]:
    """Return Kubernetes' subPath mounts that a directory shows: the one that holds it, and those at or below it; may be empty.

    Args:
        path: Absolute.
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
    """Return the table of this process; empty where there is none."""
    try:
        return parse_mountinfo(MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape"))
    except OSError:
        return []


def _number_at(path: str) -> int | None:
    """Return the number of the mount that holds what is at a path; None where nothing is, or the kernel does not tell."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _number(fd)
    finally:
        os.close(fd)


def _number(fd: int) -> int | None:
    try:
        lines = (FDINFO / str(fd)).read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("mnt_id:")), None)


def _unescape(text: str) -> str:
    """Undo the octal escapes of the table (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
