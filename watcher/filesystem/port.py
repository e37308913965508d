"""What the rest asks the kernel about directories, files and mounts, whatever the kernel is.

``linux`` answers with what only Linux has, ``portable`` with what any POSIX system has. Everything
else that is asked (open, stat, scandir, access relative to a descriptor) is the same on all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import TypeAlias

    from watcher.filesystem.mounts import Mount

    Check: TypeAlias = Callable[[str], None]
    """Raises if the file with an absolute path, which has no links, must not be opened."""


class FoundFile(Protocol):
    """A file that was found by its name: its attributes, and its content if that is asked for."""

    def stat(self) -> os.stat_result:
        """Return its attributes.

        Raises:
            OSError: They cannot be read.
        """

    def refresh(self) -> None:
        """Have the kernel ask a file server for its attributes, where it can."""

    def open_content(self) -> int:
        """Open it for reading; its access time stays where that is allowed.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            OSError: It cannot be read.
        """

    def close(self) -> None:
        """Release it."""


class Files(Protocol):
    """How directories and files are opened.

    Attributes:
        lookup_flags: Flags of open(2) for a directory in which names are looked up; with
            ``O_RDONLY | O_DIRECTORY`` it is read as well.
        knows_mounts: Whether the type of a file system can be found out; else each is taken for a
            local one.
    """

    lookup_flags: int
    knows_mounts: bool

    def open_directory(self, path: bytes, check: Check | None) -> int:
        """Open a directory for lookups, following all links.

        Args:
            path: Absolute path.
            check: Called with the path of what was opened; None allows any.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            OSError: It cannot be opened; ELOOP also if a link leads to a mount of another process.
        """

    def open_beneath(self, directory: int, path: bytes, flags: int, *, follow: bool) -> int:
        """Open a directory beneath another one.

        Args:
            directory: Descriptor of the other one.
            path: Relative path; empty for the directory itself.
            flags: ``lookup_flags``, or ``O_RDONLY | O_DIRECTORY`` to read it.
            follow: Whether symbolic links may be followed, to targets beneath the directory.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            OSError: It cannot be opened; EXDEV if the path leads outside, ELOOP, ENOTDIR or EXDEV
                if it contains a link that must not be followed.
        """

    def real_prefix(self, directory: int, prefix: bytes, *, follow: bool) -> bytes:
        """Return the prefix without links of a directory beneath another one.

        Args:
            directory: Descriptor of the other one.
            prefix: Its prefix, which may lead through links.
            follow: As for ``open_beneath``.

        Raises:
            OSError: As for ``open_beneath``; ESTALE if it has just been moved elsewhere.
        """

    def open_for_listing(self, directory: int) -> int:
        """Open a directory for reading, given a descriptor for lookups.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            OSError: It must not be read.
        """

    def find_file(self, name: bytes, directory: int) -> FoundFile:
        """Find a file by its name in a directory; a symbolic link is not followed.

        Raises:
            OSError: It cannot be opened; ELOOP if it is a link.
        """

    def find_target(
        self, name: bytes, directory: int, path: bytes, check: Check | None
    ) -> FoundFile:
        """Find the file that a symbolic link leads to, wherever that is.

        Args:
            name: Name of the link in the directory.
            directory: Descriptor of the directory.
            path: Absolute path of the link.
            check: Called with the path of the file; None allows any.

        Raises:
            OSError: It cannot be opened.
        """

    def has_writer(self, name: bytes, directory: int) -> bool | None:
        """Return whether a regular file in a directory is open for writing; None if unknown."""

    def mount_of(self, path: str) -> Mount | None:
        """Return the mount that holds an absolute path; None if it is unknown."""

    def subpath_mounts(self, path: str) -> list[Mount]:
        """Return the subPath mounts of Kubernetes that hold a directory, or lie at or below it."""

    def mount_at(self, fd: int) -> Mount | None:
        """Return the mount that holds a descriptor's file; None if it is unknown."""

    def open_mounted(self, root: int, point: bytes) -> int:
        """Open what is mounted at a point, a directory or a single file, to identify it.

        Args:
            root: Descriptor of a directory.
            point: The point, relative to the directory.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            OSError: It cannot be opened.
        """

    def identity_of(self, mount: Mount, fd: int, node: str = "") -> str:
        """Return the text by which a volume is known again, see ``volumes``; empty if unknown.

        Args:
            mount: The mount that holds a directory, or a mounted file.
            fd: Its descriptor.
            node: The machine's name, where servers on several machines look at one path; empty
                where only one does.

        Raises:
            OSError: It cannot be found out.
        """

    def is_node_local(self, mount: Mount, fd: int) -> bool:
        """Return whether a directory, or a mounted file, is on one machine alone.

        Args:
            mount: The mount that holds it.
            fd: Its descriptor.
        """


class Mounts(Protocol):
    """What is mounted below directories, and whether that has changed. Thread-safe."""

    @property
    def generation(self) -> int:
        """The number of changes so far; equal numbers mean no change."""

    def below(self, root: int) -> tuple[int, list[tuple[bytes, Mount]]]:
        """Return the generation, and the mounts that can be reached below a directory.

        Args:
            root: Descriptor of the directory.

        Returns:
            The mounts with their points relative to the directory, those above first.
        """

    def read_again(self) -> None:
        """Have the table read afresh: a mounted file that is replaced changes no generation."""

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Have a function called from another thread whenever mounts have changed."""

    def unsubscribe(self, wake: Callable[[], None]) -> None:
        """Call a function no more; one that is not subscribed is ignored."""

    def close(self) -> None:
        """Release everything; may be called twice."""
