"""The watched directory itself: checks its identity, and the allow list, whenever it is read."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.filesystem.mounts import Mount, mount_of
from watcher.filesystem.openat2 import current_path, open_beneath, open_no_magiclinks, proc_fd_path
from watcher.filesystem.paths import is_inside, real_path
from watcher.filesystem.volumes import describe_volume, identity_of, is_node_local, is_same_volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.spec import DirectorySpec

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV})
"""Errors that mean: nothing is there, or only the target of a link that must not be followed."""

_DIRECTORY = os.O_PATH | os.O_DIRECTORY


class Root:
    """The root of a tree. For one thread.

    Args:
        spec: Its path, and whether links in it are followed.
        within: Directories, free of links, that may be read; None allows any.
        node: The machine's name, where servers on several machines may watch the same path; empty
            if it is unknown, None if there is one server.

    Attributes:
        mount: The mount that holds it, found by ``open``; None if unknown.
        volume_id: Identity of its volume, see ``filesystem.volumes``; empty if unknown.
    """

    def __init__(
        self, spec: DirectorySpec, *, within: Sequence[str] | None, node: str | None = None
    ) -> None:
        self.mount: Mount | None = None
        self.volume_id = ""
        self._spec = spec
        self._within = within
        self._node = node
        self._path = os.fsencode(spec.path)
        self._fd: int | None = None
        self._identity = (-1, -1)

    def open(self) -> None:
        """Find the root and remember which directory it is.

        Raises:
            NotFoundError: It does not exist or is not a directory.
            DeniedError: It may not be read, the server does not allow it, or see ``identify``.
            UnavailableError: It cannot be read now.
        """
        place = self._spec.place
        try:
            root = self._open_root()
            try:
                os.scandir(proc_fd_path(root)).close()
                found = os.fstat(root)
                # By the descriptor: a file system may have been mounted at the path since.
                mount = mount_of(os.fsdecode(proc_fd_path(root)))
                volume_id = self.identify(mount, root) if mount else ""
            finally:
                os.close(root)
        except PermissionError as error:
            hint = f"give user {os.geteuid()} the right to read and search it"
            raise DeniedError("permission denied", place=place, hint=hint) from error
        except NotADirectoryError as error:
            raise NotFoundError(
                "is not a directory", place=place, hint="name the directory that holds the file"
            ) from error
        except FileNotFoundError as error:
            raise NotFoundError(
                "no such directory", place=place, hint="create it, or mount the volume there"
            ) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                message = "its links form a loop, or lead to a mount of another process"
                raise NotFoundError(
                    message, place=place, hint="name the directory itself"
                ) from error
            raise UnavailableError(f"cannot be read: {error.strerror}", place=place) from error
        self._identity = (found.st_dev, found.st_ino)
        self.mount, self.volume_id = mount, volume_id

    def check(self) -> None:
        """Check that the root is still the directory that was opened.

        Raises:
            UnavailableError: It is gone, or another directory or file system is in its place.
            DeniedError: It was moved out of what the server allows.
        """
        os.close(self._reopen_root())

    def check_volume(self, root: int) -> None:
        """Check that the volume is still the one that was opened.

        Device and inode do not show it: another volume may get the numbers of one that was
        unmounted before.

        Args:
            root: A descriptor of the root.

        Raises:
            UnavailableError: Another volume is in its place.
        """
        mount = mount_of(os.fsdecode(proc_fd_path(root)))
        found = self.identify(mount, root) if mount else ""
        if found and self.volume_id and not is_same_volume(self.volume_id, found):
            raise UnavailableError(
                f"another volume is in its place: {describe_volume(found)}", place=self._spec.place
            )

    def identify(self, mount: Mount, fd: int) -> str:
        """Return the identity of the volume of the root, or of one mounted below it.

        Args:
            mount: The mount that holds it.
            fd: A descriptor of it, which may be opened with O_PATH.

        Raises:
            DeniedError: It is on one node alone, and nobody knows which node this is.
            OSError: ``/proc`` cannot be read.
        """
        if self._node == "" and is_node_local(mount, fd):
            raise DeniedError(
                f"{mount.type} at {mount.point} is on one node alone, and this server does not "
                "know on which node it runs, as it must with state in PostgreSQL",
                place=self._spec.place,
                hint="set WATCHER_NODE in its pod to spec.nodeName, as the chart does",
            )
        return identity_of(mount, fd, self._node or "")

    @contextmanager
    def held(self) -> Iterator[int]:
        """Provide a descriptor of the root, the same one for nested calls.

        It is closed at the end of the outermost block, so that the volume can be unmounted.

        Raises:
            WatcherError: See ``check``.
        """
        if self._fd is not None:
            yield self._fd
            return
        self._fd = fd = self._reopen_root()
        try:
            yield fd
        finally:
            self._fd = None
            os.close(fd)

    def open_allowed(
        self, path: bytes, flags: int = os.O_PATH, *, directory: int | None = None
    ) -> int:
        """Open a path, following all links, if the result lies in what the server allows.

        Args:
            path: Absolute, or relative to ``directory``.
            flags: Flags of open(2), with O_PATH.
            directory: Descriptor of a directory; None for the working directory.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            DeniedError: The result lies elsewhere.
            OSError: The path cannot be opened.
        """
        if self._within is None:
            return os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
        fd = open_no_magiclinks(path, flags, directory=directory)
        try:
            self._check_allowed(os.fsdecode(current_path(fd)))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def open_file(self, name: bytes, *, directory: int, is_link: bool) -> int:
        """Open a name in a directory of the tree, or what the link with that name leads to.

        Returns:
            A descriptor, opened with O_PATH, which the caller closes.

        Raises:
            DeniedError: The link leads out of what the server allows.
            OSError: It cannot be opened.
        """
        if is_link:
            return self.open_allowed(name, directory=directory)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)

    @contextmanager
    def directory(self, prefix: bytes, flags: int = _DIRECTORY) -> Iterator[int]:
        """Provide a descriptor of a directory in the tree, never of one outside.

        Raises:
            OSError: It cannot be opened; EXDEV if a link leads outside.
            WatcherError: See ``held``.
        """
        with self.held() as root:
            fd = open_beneath(root, prefix, flags, follow=self._spec.follow_symlinks)
            try:
                yield fd
            finally:
                os.close(fd)

    def prefix(self, directory: int) -> bytes:
        """Return the present link-free prefix of a directory in the tree, given its descriptor.

        Raises:
            OSError: ESTALE: it has just been moved out of the tree.
        """
        with self.held() as root:
            above, path = (current_path(fd).rstrip(b"/") + b"/" for fd in (root, directory))
        if not path.startswith(above):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return path[len(above) :]

    def _open_root(self) -> int:
        try:
            return self.open_allowed(self._path, _DIRECTORY)
        except OSError:
            # Do not reveal whether paths outside the allow list exist.
            self._check_allowed(real_path(self._spec.path))
            raise

    def _check_allowed(self, path: str) -> None:
        within = self._within
        if within is not None and not any(is_inside(path, allowed) for allowed in within):
            raise DeniedError(
                "this server does not allow the directory",
                place=self._spec.place,
                hint="ask for it with --allow-directory",
            )

    def _reopen_root(self) -> int:
        place = self._spec.place
        try:
            root = self._open_root()
        except OSError as error:
            raise UnavailableError(
                f"the directory is gone or cannot be read: {error.strerror}", place=place
            ) from error
        found = os.fstat(root)
        if (found.st_dev, found.st_ino) != self._identity:
            os.close(root)
            raise UnavailableError("another directory has taken its place", place=place)
        return root
