"""Inspects single paths of a tree, each by itself, and those that are due by their hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.directory.exact_names import ExactNames
from watcher.sources.directory.lookups import Lookups, lookups
from watcher.sources.observations import Inspection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.sources.directory.completeness import Completeness
    from watcher.sources.directory.contents import Contents
    from watcher.sources.directory.hints import DuePaths, HintQueue
    from watcher.sources.directory.mount_follower import MountFollower
    from watcher.sources.directory.tree import Tree


class Inspector:
    """Inspects paths of one tree. For one thread.

    Args:
        tree: The tree.
        hints: Receives the paths that cannot be inspected, and those that lead elsewhere.
        mounts: The mounts of the tree, followed while paths are inspected.
        completeness: Decides whether a due path is complete.
        contents: Forgets the paths at which nothing is any more.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the state of a path depends on
        self,
        tree: Tree,
        hints: HintQueue,
        mounts: MountFollower,
        completeness: Completeness,
        contents: Contents,
        clock: Clock,
    ) -> None:
        self._tree = tree
        self._hints = hints
        self._mounts = mounts
        self._completeness = completeness
        self._contents = contents
        self._clock = clock
        self._is_marker = tree.path_filter.is_marker

    def inspect(self, paths: Sequence[bytes], *, may_ask: bool = False) -> Inspection:
        """Inspect paths, and leave out those in a mount that is missing or has changed.

        Args:
            paths: The paths.
            may_ask: Ask their file server, where the kernel can.

        Raises:
            WatcherError: See ``Root.held``.
        """
        since = self._mounts.follow()
        inspection = self._inspect_each(paths, may_ask=may_ask)
        found = [*(entry.path for entry in inspection.entries), *inspection.gone]
        if doubtful := self._mounts.doubtful(((path, True) for path in found), since):
            inspection.entries = [each for each in inspection.entries if each.path not in doubtful]
            inspection.gone = [path for path in inspection.gone if path not in doubtful]
        return inspection

    def inspect_due(self, due: DuePaths) -> Inspection:
        """Inspect due paths, and leave out those that are not complete: they wait on.

        Raises:
            WatcherError: See ``Root.held``.
        """
        inspection = self.inspect(list(due.hints), may_ask=True)
        inspection.attributes_only = due.attributes_only
        inspection.expected_ctime_ns = due.expected_ctime_ns
        # After the looks: the next ones must be far enough from them, however long these took.
        now_s = self._clock.monotonic()
        for path in inspection.gone:
            if due.hints[path].is_first_look:
                self._hints.add_removed(path, now_s)
        inspection.gone = [path for path in inspection.gone if not due.hints[path].is_first_look]
        inspection.entries = [
            entry
            for entry in inspection.entries
            if self._is_marker(entry.path)
            or self._completeness.is_complete(due.hints[entry.path], entry, now_s)
        ]
        return inspection

    def _inspect_each(self, paths: Sequence[bytes], *, may_ask: bool) -> Inspection:
        inspection = Inspection()
        now_s = self._clock.monotonic()
        names = ExactNames(self._tree.root, paths)
        with lookups(self._tree.root) as directories:
            for path in paths:
                try:
                    entry = self._entry(path, directories, names, may_ask=may_ask)
                except OSError:
                    self._hints.add_unread(path, now_s)
                    continue
                was_unread = self._hints.unread.discard(path)
                if entry is not None:
                    inspection.entries.append(entry)
                    continue
                inspection.gone.append(path)
                if self._tree.directory_link(path) is not None or (
                    was_unread and self._may_be_directory(path)
                ):
                    self._hints.add_subtree(path + b"/", now_s)
        self._hints.note_links(inspection.entries)
        # A writer may use another case than the directory has.
        self._hints.recheck(names.instead, self._clock.monotonic())
        if inspection.gone:
            self._contents.discard(inspection.gone)
            self._tree.root.check()
        return inspection

    def _may_be_directory(self, path: bytes) -> bool:
        """Return whether a directory at a path would be read."""
        return self._tree.spec.recursive and self._tree.path_filter.admits_directory(path)

    def _entry(
        self, path: bytes, directories: Lookups, names: ExactNames, *, may_ask: bool
    ) -> Entry | None:
        if not self._tree.path_filter.admits(path):
            return None
        asks_server = may_ask and self._completeness.asks_server(path)
        return self._tree.look_up(path, directories, names, asks_server=asks_server)
