"""Reads the mount table of this process, and finds the mount of a path or a descriptor in it.

A path that exists is looked up by its mount id, which the kernel reports for a descriptor; any
other path by its name. ``st_dev`` is not used: on btrfs, overlay and NFS a file's device differs
from that of its mount. Formats: proc_pid_mountinfo(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.filesystem.mounts import MountTable
from watcher.filesystem.paths import real_path

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount

MOUNTINFO = Path("/proc/self/mountinfo")
FDINFO = Path("/proc/self/fdinfo")


def read_table() -> MountTable:
    """Return the table of this process; empty if it cannot be read."""
    try:
        return MountTable.parse(MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape"))
    except OSError:
        return MountTable([])


def mount_of(path: str) -> Mount | None:
    """Return the mount of this process that holds an absolute path; None if it is unknown.

    Args:
        path: It need not exist; then the mount is that of the directory above it.
    """
    table = read_table()
    return table.by_id(_mount_id_at(path)) or table.holding(real_path(path))


def subpath_mounts(path: str) -> list[Mount]:
    """Return the subPath mounts that hold a directory or lie at or below it; may be empty."""
    own, inside = mount_of(path), read_table().inside(real_path(path))
    shown = ([own] if own else []) + [mount for mount in inside if mount != own]
    return [mount for mount in shown if mount.is_subpath]


def is_mounted_here(fd: int) -> bool:
    """Return whether a descriptor's file is on a mount of this process; False if unknown."""
    return read_table().by_id(mount_id(fd)) is not None


def _mount_id_at(path: str) -> int | None:
    """Return the id of the mount that holds a path; None if nothing is there, or it is unknown."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return mount_id(fd)
    finally:
        os.close(fd)


def mount_id(fd: int) -> int | None:
    """Return the id of the mount that holds a descriptor's file; None if it is unknown."""
    try:
        lines = (FDINFO / str(fd)).read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("mnt_id:")), None)
