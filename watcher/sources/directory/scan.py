"""Scans a tree: walks it, watches each directory before it is read, and drops what proves nothing.

The root is checked before and after, and the mounts before and after each batch: a tree that has
vanished is not empty, and entries of a mount that has changed meanwhile are left out.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from watcher.errors import UnavailableError
from watcher.sources.directory.parts import PartMode
from watcher.sources.directory.walk import Walk
from watcher.sources.scans import unread_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.clock import Clock
    from watcher.sources.directory.completeness import Completeness
    from watcher.sources.directory.file_batches import FileBatch
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.mount_follower import MountFollower
    from watcher.sources.directory.part_finder import Reading
    from watcher.sources.directory.port import Notifications
    from watcher.sources.directory.tree import Tree
    from watcher.sources.directory.unanswered import Unanswered
    from watcher.sources.scans import Batch


class DirectoryScan:
    """One reading of a tree or of a subtree; see ``scans.Scan``.

    Args:
        prefix: Empty, or a directory's path with a trailing ``/``.
        tree: The tree.
        hints: Receives the links that are met, and what could not be read.
        mounts: The mounts of the tree, followed while it is read.
        notifications: Watches the directories of the parts that are notified.
        completeness: Needs to know when the reading of each batch began.
        unanswered: Measures how long the kernel takes.
        clock: The time.
    """

    window: None = None

    def __init__(  # noqa: PLR0913, PLR0917 - all that a reading concerns
        self,
        prefix: bytes,
        tree: Tree,
        hints: HintQueue,
        mounts: MountFollower,
        notifications: Notifications,
        completeness: Completeness,
        unanswered: Unanswered,
        clock: Clock,
    ) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._tree = tree
        self._hints = hints
        self._mounts = mounts
        self._notifications = notifications
        self._completeness = completeness
        self._unanswered = unanswered
        self._clock = clock

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; the root is checked first and last, so a vanished tree is not empty."""
        return self._unanswered.asking_each(self._read())

    def unread_test(self) -> Callable[[bytes], bool]:
        """Return a function that returns whether a path is, or lies below, what was not read."""
        return unread_test(self.unread)

    def verification_scan(self, missing: int) -> None:
        """Return None: the missing paths are inspected one by one."""

    def _read(self) -> Iterator[Batch]:
        begun_s = self._clock.monotonic()
        begun_ns, since = self._clock.wall_ns(), self._mounts.follow()
        for batch in Walk(self._tree, self._watch, self.unread).run(self.prefix):
            self._unanswered.answered()
            self._check(batch, begun_ns, since)
            yield batch
            begun_ns, since = self._clock.wall_ns(), self._mounts.follow()
        self._tree.root.check()
        if b"" in self.unread:
            raise UnavailableError("the directory cannot be read", place=self._tree.spec.place)
        self._end(begun_s)

    def _watch(self, prefix: bytes, directory: int) -> None:
        """Watch a directory that is about to be read, by the descriptor it will be read from.

        Raises:
            OSError: It must not be read.
        """
        self._unanswered.answered()
        mode = self._mounts.parts.at(prefix).mode
        if mode is PartMode.UNREAD:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), prefix)
        if mode is PartMode.NOTIFIED:
            self._notifications.watch(prefix, directory)

    def _check(self, batch: FileBatch, begun_ns: int, since: Reading) -> None:
        """Drop the entries of a batch that are in a mount that is missing or has changed.

        Args:
            batch: What was read.
            begun_ns: Wall time when its reading began: quiet by then means quiet when read.
            since: The state of the mounts then.

        Raises:
            WatcherError: See ``Root.held``.
        """
        if doubtful := self._mounts.doubtful(batch.found(), since):
            batch.drop(doubtful)
        self._hints.note_links(batch.linked)
        self._completeness.batch_begun_ns = begun_ns

    def _end(self, begun_s: float) -> None:
        """Record what could not be read, apart from volumes that are missing.

        Args:
            begun_s: When the scan began, on the monotonic clock.
        """
        self._mounts.end_scan(self.prefix, begun_s)
        # These come back by a change of the mount table, which needs no polling.
        unread = [path for path in self.unread if not self._mounts.finder.is_unread(path)]
        self._hints.set_unread(self.prefix, unread, self._clock.monotonic())
        self.unread += [
            point for point in self._mounts.parts.unread if point.startswith(self.prefix)
        ]
