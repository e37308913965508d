"""Which file system a path is on, read from Linux's table of mounts. Knows nothing of watches; elsewhere than on Linux it knows nothing.

The table is found by path and not by ``st_dev``: on btrfs, overlay and NFS device numbers differ between a file and its mount.
Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

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
    """

    point: str
    type: str
    root: str
    options: str

    @property
    def notifies(self) -> bool:
        """Whether inotify reports every change on it."""
        return self.type not in WITHOUT_NOTIFICATIONS and not self.type.startswith("fuse.")

    @property
    def identity(self) -> str:
        """What stays the same when the same volume is mounted again: where, and of which type."""
        return f"{self.type} at {self.point}"


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts of a table, in its order; lines that are not understood are left out."""
    mounts = []
    for line in text.split("\n"):
        left, separator, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6:  # noqa: PLR2004 - the six fixed fields of the format
            mounts.append(Mount(point=_unescape(fields[4]), type=kinds[0], root=_unescape(fields[3]), options=fields[5]))
    return mounts


def mount_of(path: str, mounts: list[Mount] | None = None) -> Mount | None:
    """Return the mount that holds an absolute path, its symbolic links resolved; None where there is no table.

    Args:
        path: It need not exist.
        mounts: The table; by default that of this process.
    """
    if mounts is None:
        try:
            mounts = parse_mountinfo(MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape"))
        except OSError:
            return None
    real = os.path.realpath(path)
    holding = [mount for mount in mounts if real == mount.point or real.startswith(mount.point.rstrip("/") + "/")]
    # Of mounts at one point the last in the table lies on top.
    return max(enumerate(holding), key=lambda item: (len(item[1].point), item[0]))[1] if holding else None


def _unescape(text: str) -> str:
    """Undo the octal escapes of the table (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
