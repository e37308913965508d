"""Opens directories and files by descriptors that stand for exactly what was checked."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from watcher.filesystem import statx
from watcher.filesystem.linux import mount_table, writers
from watcher.filesystem.linux.openat2 import (
    current_path,
    open_beneath,
    open_for_reading,
    open_no_magiclinks,
    proc_fd_path,
)
from watcher.filesystem.linux.volume_ids import identity_of, is_node_local

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount
    from watcher.filesystem.port import Check


class LinuxFile:
    """A file, by a descriptor opened with O_PATH; see ``port.FoundFile``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def stat(self) -> os.stat_result:
        """See ``port.FoundFile.stat``."""
        return os.fstat(self._fd)

    def refresh(self) -> None:
        """See ``port.FoundFile.refresh``."""
        statx.refresh(self._fd)

    def open_content(self) -> int:
        """See ``port.FoundFile.open_content``."""
        return open_for_reading(self._fd)

    def close(self) -> None:
        """See ``port.FoundFile.close``."""
        os.close(self._fd)


class LinuxFiles:
    """See ``port.Files``. Descriptors for lookups are opened with O_PATH."""

    lookup_flags = os.O_PATH | os.O_DIRECTORY
    knows_mounts = True

    open_beneath = staticmethod(open_beneath)
    has_writer = staticmethod(writers.has_writer)
    mount_of = staticmethod(mount_table.mount_of)
    subpath_mounts = staticmethod(mount_table.subpath_mounts)
    identity_of = staticmethod(identity_of)
    is_node_local = staticmethod(is_node_local)

    def open_directory(self, path: bytes, check: Check | None) -> int:
        """See ``port.Files.open_directory``."""
        return _open_checked(path, self.lookup_flags, check)

    def real_prefix(self, directory: int, prefix: bytes, *, follow: bool) -> bytes:
        """See ``port.Files.real_prefix``."""
        fd = open_beneath(directory, prefix, self.lookup_flags, follow=follow)
        try:
            above, path = (current_path(each).rstrip(b"/") + b"/" for each in (directory, fd))
        finally:
            os.close(fd)
        if not path.startswith(above):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return path[len(above) :]

    @staticmethod
    def open_for_listing(directory: int) -> int:
        """See ``port.Files.open_for_listing``."""
        return os.open(proc_fd_path(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @staticmethod
    def find_file(name: bytes, directory: int) -> LinuxFile:
        """See ``port.Files.find_file``; of a link it is the link itself."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        return LinuxFile(os.open(name, flags, dir_fd=directory))

    @staticmethod
    def find_target(
        name: bytes,
        directory: int,
        path: bytes,  # noqa: ARG004 - the directory is known by its descriptor
        check: Check | None,
    ) -> LinuxFile:
        """See ``port.Files.find_target``."""
        return LinuxFile(_open_checked(name, os.O_PATH, check, directory=directory))

    @staticmethod
    def mount_at(fd: int) -> Mount | None:
        """See ``port.Files.mount_at``."""
        # By the descriptor: a file system may have been mounted at the path since.
        return mount_table.mount_of(os.fsdecode(proc_fd_path(fd)))

    @staticmethod
    def open_mounted(root: int, point: bytes) -> int:
        """See ``port.Files.open_mounted``."""
        return open_beneath(root, point, os.O_PATH | os.O_NOFOLLOW, follow=False)


def _open_checked(
    path: bytes, flags: int, check: Check | None, *, directory: int | None = None
) -> int:
    """Open a path for lookups, following all links, and check what was opened."""
    if check is None:
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
    fd = open_no_magiclinks(path, flags, directory=directory)
    try:
        check(os.fsdecode(current_path(fd)))
    except BaseException:
        os.close(fd)
        raise
    return fd
