"""Opens directories and files by paths that are resolved name by name; see ``port.Files``.

A descriptor for lookups is one for reading, since only Linux has O_PATH. So each directory on the
way to a watched one must be readable where the server has an allow list.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import closing
from typing import TYPE_CHECKING

from watcher.filesystem.portable.descent import DIRECTORY, Descent

if TYPE_CHECKING:
    from watcher.filesystem.mounts import Mount
    from watcher.filesystem.port import Check


class PortableFile:
    """A file, by its name in a directory that is held open; see ``port.FoundFile``.

    Args:
        name: The name.
        directory: Descriptor of the directory, which this takes over.
        follow: Whether a link with this name is followed.
    """

    def __init__(self, name: bytes, directory: int, *, follow: bool = False) -> None:
        self._name = name
        self._directory = directory
        self._follow = follow

    def stat(self) -> os.stat_result:
        """See ``port.FoundFile.stat``."""
        return os.stat(self._name, dir_fd=self._directory, follow_symlinks=self._follow)

    def refresh(self) -> None:
        """See ``port.FoundFile.refresh``; no system has a common way to ask."""

    def open_content(self) -> int:
        """See ``port.FoundFile.open_content``."""
        # Neither a pipe nor a device: to open one has effects.
        found = self.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ENOENT, "no file", self._name)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if self._follow else os.O_NOFOLLOW)
        content = os.open(self._name, flags, dir_fd=self._directory)
        opened = os.fstat(content)
        if (opened.st_dev, opened.st_ino) != (found.st_dev, found.st_ino):
            os.close(content)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), self._name)
        return content

    def close(self) -> None:
        """See ``port.FoundFile.close``."""
        os.close(self._directory)


class PortableFiles:
    """See ``port.Files``."""

    lookup_flags = DIRECTORY
    knows_mounts = False

    @staticmethod
    def open_directory(path: bytes, check: Check | None) -> int:
        """See ``port.Files.open_directory``."""
        if check is None:
            return os.open(path, DIRECTORY)
        with closing(_from_top(path)) as descent:
            check(os.fsdecode(b"/" + descent.path))
            if descent.file:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return descent.release()

    @staticmethod
    def open_beneath(
        directory: int,
        path: bytes,
        flags: int,  # noqa: ARG004 - all descriptors are for reading
        *,
        follow: bool,
    ) -> int:
        """See ``port.Files.open_beneath``; ENODEV if it is on another volume."""
        with closing(Descent(directory, follow=follow, stays=True)) as descent:
            if descent.follow(path).file:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return descent.release()

    @staticmethod
    def real_prefix(directory: int, prefix: bytes, *, follow: bool) -> bytes:
        """See ``port.Files.real_prefix``."""
        with closing(Descent(directory, follow=follow, stays=True)) as descent:
            if descent.follow(prefix).file:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), prefix)
            return descent.path + b"/" if descent.names else b""

    @staticmethod
    def open_for_listing(directory: int) -> int:
        """See ``port.Files.open_for_listing``."""
        return os.dup(directory)

    @staticmethod
    def find_file(name: bytes, directory: int) -> PortableFile:
        """See ``port.Files.find_file``."""
        return PortableFile(name, os.dup(directory))

    @staticmethod
    def find_target(name: bytes, directory: int, path: bytes, check: Check | None) -> PortableFile:
        """See ``port.Files.find_target``."""
        if check is None:
            return PortableFile(name, os.dup(directory), follow=True)
        with closing(_from_top(path)) as descent:
            check(os.fsdecode(b"/" + descent.path))
            return PortableFile(descent.file or b".", descent.release())

    @staticmethod
    def has_writer(name: bytes, directory: int) -> bool | None:  # noqa: ARG004 - nobody says
        """See ``port.Files.has_writer``; never known."""
        return None

    @staticmethod
    def mount_of(path: str) -> Mount | None:  # noqa: ARG004 - no table is read
        """See ``port.Files.mount_of``; never known."""
        return None

    @staticmethod
    def subpath_mounts(path: str) -> list[Mount]:  # noqa: ARG004 - only Linux runs pods
        """See ``port.Files.subpath_mounts``."""
        return []

    @staticmethod
    def mount_at(fd: int) -> Mount | None:  # noqa: ARG004 - no table is read
        """See ``port.Files.mount_at``; never known."""
        return None

    def open_mounted(self, root: int, point: bytes) -> int:
        """See ``port.Files.open_mounted``; a single file cannot be mounted."""
        return self.open_beneath(root, point, self.lookup_flags, follow=False)

    @staticmethod
    def identity_of(mount: Mount, fd: int, node: str = "") -> str:  # noqa: ARG004 - as above
        """See ``port.Files.identity_of``; never known."""
        return ""

    @staticmethod
    def is_node_local(mount: Mount, fd: int) -> bool:  # noqa: ARG004 - as above
        """See ``port.Files.is_node_local``; no mount is known, so none is asked about."""
        return False


def _from_top(path: bytes) -> Descent:
    """Follow an absolute path with all its links."""
    top = os.open(b"/", DIRECTORY)
    try:
        descent = Descent(top, follow=True, stays=False)
    finally:
        os.close(top)
    try:
        return descent.follow(path)
    except BaseException:
        descent.close()
        raise
