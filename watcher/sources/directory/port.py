"""What a backend brings to the source of a directory: files, mounts and notifications.

``linux`` and ``portable`` implement it; nothing else in the room depends on the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.filesystem.port import Files, Mounts
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.parts import Parts
    from watcher.sources.directory.tree import Tree


class Notifications(Protocol):
    """The notifications of one tree, from ``start`` to ``close``. For one thread.

    Attributes:
        failure: Why there are none, or not in every directory; empty if nothing has failed.
        is_exact: Whether each change is notified, or the loss of one, and the end of each writing;
            else the tree is scanned and files are looked at as if there were no notifications.
    """

    failure: str
    is_exact: bool

    @property
    def is_active(self) -> bool:
        """Whether there are any."""

    def start(self, parts: Parts, wake: Callable[[], None]) -> None:
        """Start to notify, if there is a part for it and it has not been tried.

        Args:
            parts: The parts of the tree.
            wake: Called from any thread when something was notified.
        """

    def watch(self, prefix: bytes, directory: int) -> None:
        """Watch the directory at a prefix, by a descriptor of it, if that can be had."""

    def unwatch(self, prefix: bytes) -> None:
        """Stop watching the directory at a prefix and everything below it."""

    def read(self, now_s: float) -> None:
        """Turn what has been notified into hints."""

    def expire_renames(self, now_s: float) -> None:
        """Take paths whose rename has no second half for moved to a place outside the tree."""

    def close(self) -> None:
        """Stop watching, and forget the failure: the next ``start`` tries again."""


class Backend(Protocol):
    """What the sources of one server share. Thread-safe."""

    @property
    def files(self) -> Files:
        """Opens directories and files."""

    def mounts(self) -> Mounts:
        """Return the mounts for one tree; the backend closes what trees share."""

    def notifications(self, tree: Tree, hints: HintQueue) -> Notifications:
        """Return the notifications of one tree, not yet started.

        Args:
            tree: The tree.
            hints: Receives what is notified.
        """

    def close(self) -> None:
        """Release everything; every source must be closed before."""

    @property
    def descriptors(self) -> int:
        """Number of watch descriptors of the kernel in use."""

    @property
    def is_deaf(self) -> bool:
        """Whether notifications are in use, but the thread that reads them has ended."""
