"""Follows a path name by name, each in the directory that was opened before it.

Names are opened with O_NOFOLLOW, and a link is read and followed here, so that no link can lead
anywhere unseen. Where the kernel confines a lookup itself (openat2 with RESOLVE_BENEATH), that is
the same in one call; this takes two calls for each name.
"""

from __future__ import annotations

import errno
import os
from typing import Final, Self

LINKS_MAX: Final = 40
"""Maximum number of links in a path, as in Linux (path_resolution(7))."""

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK: Final = DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK

_NO_DIRECTORY: Final = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EMLINK})
"""Errors of an open with these flags if there is a link or a file: POSIX has ELOOP, BSD EMLINK."""


class Descent:
    """A path that is followed from a directory. To be closed.

    Args:
        start: Descriptor of the directory.
        follow: Whether symbolic links are followed.
        stays: Whether the end must be beneath the directory, and on the same volume.

    Attributes:
        directory: Descriptor of the directory that was reached; closed with this.
        names: The names from the start to it, none of them a link.
        file: Name of the file that was reached in it; empty if the directory itself was.
    """

    def __init__(self, start: int, *, follow: bool, stays: bool) -> None:
        self.names: list[bytes] = []
        self.file = b""
        self._start = _identity(start)
        self._base = os.dup(start)
        self.directory = os.dup(start)
        self._follow = follow
        self._stays = stays
        self._is_inside = True
        self._links = 0

    def close(self) -> None:
        """Close what it has opened."""
        os.close(self._base)
        os.close(self.directory)

    @property
    def path(self) -> bytes:
        """The path that was reached, relative to the start and without links."""
        return b"/".join([*self.names, self.file] if self.file else self.names)

    def release(self) -> int:
        """Return a descriptor of the directory that was reached, which the caller closes."""
        return os.dup(self.directory)

    def follow(self, path: bytes) -> Self:
        """Follow a path to its end.

        Args:
            path: Its names; a slash at the beginning has no meaning, as that of ``/`` itself.

        Raises:
            OSError: It cannot be followed: EXDEV if it ends outside of the start, ELOOP if there
                are too many links or one that must not be followed, ENODEV if it leads to another
                volume.
        """
        waiting = path.split(b"/")[::-1]
        while waiting:
            name = waiting.pop()
            if name == b"..":
                self._go_up()
            elif name not in {b"", b"."}:
                self._go_down(name, waiting)
        if not self._is_inside and self._stays:
            raise _error(errno.EXDEV, path)
        return self

    def _go_down(self, name: bytes, waiting: list[bytes]) -> None:
        if self.file:
            raise _error(errno.ENOTDIR, self.file)
        try:
            below = os.open(name, _NO_LINK, dir_fd=self.directory)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY:
                raise
            self._meet(name, waiting)
            return
        os.close(self.directory)
        self.directory = below
        self.names.append(name)
        self._enter()

    def _meet(self, name: bytes, waiting: list[bytes]) -> None:
        """Follow a link, or stop at a file."""
        try:
            target = os.readlink(name, dir_fd=self.directory)
        except OSError as error:
            # EINVAL: it is no link.
            if error.errno != errno.EINVAL:
                raise
            self.file = name
            return
        self._links += 1
        if not self._follow or self._links > LINKS_MAX:
            raise _error(errno.ELOOP, name)
        if target.startswith(b"/"):
            self._go_to(os.open(b"/", DIRECTORY))
        waiting += target.split(b"/")[::-1]

    def _go_up(self) -> None:
        if self.file:
            raise _error(errno.ENOTDIR, self.file)
        if not self.names:
            self._go_to(os.open(b"..", DIRECTORY, dir_fd=self._base))
            return
        # By its names and not by "..": the directory may just have been moved elsewhere.
        names = self.names[:-1]
        above = os.dup(self._base)
        for name in names:
            try:
                below = os.open(name, _NO_LINK, dir_fd=above)
            finally:
                os.close(above)
            above = below
        os.close(self.directory)
        self.directory, self.names = above, names

    def _go_to(self, directory: int) -> None:
        """Go on from a directory that need not be inside."""
        os.close(self._base)
        os.close(self.directory)
        self._base, self.directory, self.names = directory, os.dup(directory), []
        self._is_inside = False
        self._enter()

    def _enter(self) -> None:
        """Note whether the start was entered, and whether it was left for another volume."""
        identity = _identity(self.directory)
        if not self._is_inside:
            if identity == self._start:
                os.close(self._base)
                self._base, self.names, self._is_inside = os.dup(self.directory), [], True
        elif self._stays and identity[0] != self._start[0]:
            raise _error(errno.ENODEV, b"/".join(self.names))


def _identity(directory: int) -> tuple[int, int]:
    found = os.fstat(directory)
    return found.st_dev, found.st_ino


def _error(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), path)
