"""The watched directory itself: checks its identity, and the allow list, whenever it is read."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.filesystem.paths import is_inside, real_path
from watcher.filesystem.volumes import describe_volume, is_same_volume
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.filesystem.mounts import Mount
    from watcher.filesystem.port import Check, Files, FoundFile
    from watcher.spec import DirectorySpec

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV})
"""Errors that mean: nothing is there, or only the target of a link that must not be followed."""


class Root:
    """The root of a tree. For one thread.

    Args:
        spec: Its path, and whether links in it are followed.
        files: Opens directories and files.
        within: Directories, free of links, that may be read; None allows any.
        node: The machine's name, where servers on several machines may watch the same path; empty
            if it is unknown, None if there is one server.

    Attributes:
        mount: The mount that holds it, found by ``open``; None if unknown.
        volume_id: Identity of its volume, see ``filesystem.volumes``; empty if unknown.
        only_node: The only machine that has it; None if others may have it, or there is one server.
    """

    def __init__(
        self,
        spec: DirectorySpec,
        files: Files,
        *,
        within: Sequence[str] | None,
        node: str | None = None,
    ) -> None:
        self.mount: Mount | None = None
        self.volume_id = ""
        self.only_node: str | None = None
        self._spec = spec
        self._files = files
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
                os.close(self._files.open_for_listing(root))
                found = os.fstat(root)
                mount = self._files.mount_at(root)
                volume_id = self.identify(mount, root) if mount else ""
                is_local = bool(self._node and mount and self._files.is_node_local(mount, root))
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
        self.only_node = self._node if is_local else None

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
        mount = self._files.mount_at(root)
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
            OSError: It cannot be found out.
        """
        if self._node == "" and self._files.is_node_local(mount, fd):
            raise DeniedError(
                f"{mount.type} at {mount.point} is on one node alone, and this server does not "
                "know on which node it runs, as it must with state in PostgreSQL",
                place=self._spec.place,
                hint="set WATCHER_NODE in its pod to spec.nodeName, as the chart does",
            )
        return self._files.identity_of(mount, fd, self._node or "")

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

    def find_file(self, path: bytes, *, directory: int, is_link: bool) -> FoundFile:
        """Find the file at a path of the tree, or what the link there leads to.

        Args:
            path: The path.
            directory: Descriptor of the directory that holds it.
            is_link: It is a link, which is followed, also out of the tree.

        Returns:
            The file, which the caller closes.

        Raises:
            DeniedError: The link leads out of what the server allows.
            OSError: It cannot be opened.
        """
        name = path.rpartition(b"/")[2]
        if not is_link:
            return self._files.find_file(name, directory)
        link = self._path.rstrip(b"/") + b"/" + path
        return self._files.find_target(name, directory, link, self._check)

    @contextmanager
    def directory(self, prefix: bytes, flags: int | None = None) -> Iterator[int]:
        """Provide a descriptor of a directory in the tree, never of one outside.

        Args:
            prefix: Its prefix, or its path.
            flags: See ``Files.open_beneath``; None for lookups.

        Raises:
            OSError: It cannot be opened; EXDEV if a link leads outside.
            WatcherError: See ``held``.
        """
        with self.held() as root:
            fd = self.open_beneath(root, prefix, flags)
            try:
                yield fd
            finally:
                os.close(fd)

    def open_beneath(self, root: int, prefix: bytes, flags: int | None = None) -> int:
        """Open a directory in the tree; see ``directory``.

        Args:
            root: What ``held`` provides.
            prefix: Its prefix, or its path.
            flags: See ``Files.open_beneath``; None for lookups.

        Raises:
            OSError: It cannot be opened; EXDEV if a link leads outside.
        """
        files = self._files
        return files.open_beneath(
            root,
            prefix,
            files.lookup_flags if flags is None else flags,
            follow=self._spec.follow_symlinks,
        )

    def real_prefix(self, prefix: bytes) -> bytes:
        """Return the present link-free prefix of a directory in the tree.

        Raises:
            OSError: It cannot be opened; EXDEV if a link leads outside, ESTALE if it has just been
                moved out of the tree.
            WatcherError: See ``held``.
        """
        with self.held() as root:
            return self._files.real_prefix(root, prefix, follow=self._spec.follow_symlinks)

    def _open_root(self) -> int:
        try:
            return self._files.open_directory(self._path, self._check)
        except OSError:
            # Do not reveal whether paths outside the allow list exist.
            self._check_allowed(real_path(self._spec.path))
            raise

    @property
    def _check(self) -> Check | None:
        return None if self._within is None else self._check_allowed

    def _check_allowed(self, path: str) -> None:
        within = self._within
        if within is not None and not any(is_inside(path, allowed) for allowed in within):
            raise DeniedError(
                "this server does not allow the directory",
                place=self._spec.place,
                hint="ask for it with --allow-directory",
            )

    @property
    def _keeps_inode(self) -> bool:
        """Whether the root has the same inode for as long as it is the same directory.

        Where inodes are made up, the kernel drops that of a directory with its caches, unless the
        directory is notified.
        """
        mount = self.mount
        if mount is None or mount.has_stable_inodes:
            return True
        return mount.notifies and self._spec.mode is not Mode.POLL

    def _reopen_root(self) -> int:
        place = self._spec.place
        try:
            root = self._open_root()
            try:
                # To open it for lookups asks no file server: a stale handle shows only here.
                found = os.fstat(root)
            except OSError:
                os.close(root)
                raise
        except OSError as error:
            raise UnavailableError(
                f"the directory is gone or cannot be read: {error.strerror}", place=place
            ) from error
        device, inode = self._identity
        if found.st_dev != device or (found.st_ino != inode and self._keeps_inode):
            os.close(root)
            raise UnavailableError("another directory has taken its place", place=place)
        return root
