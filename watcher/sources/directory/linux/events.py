"""Turns the kernel's events in one tree into hints. Reads no entries and compares nothing.

inotify(7) describes the events. A directory is watched before it is read: what happened before is
read, what happens afterwards is notified.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from watcher.filesystem.linux.openat2 import proc_fd_path
from watcher.limits.turns import pause, portion
from watcher.model import Rescan
from watcher.sources.directory.linux import inotify
from watcher.sources.directory.projected_volumes import LINK
from watcher.sources.directory.volume_hints import hint_volume

if TYPE_CHECKING:
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.linux.inotify import Event
    from watcher.sources.directory.linux.watch_table import WatchTable
    from watcher.sources.directory.parts import Parts
    from watcher.sources.directory.renames import RenameKey
    from watcher.sources.directory.tree import Tree

EVENTS_PER_CHECK = 250
"""Events after which the limits on waiting hints are enforced, and others may have their turn."""

_NAMES = inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO
_ROOT_GONE = inotify.IGNORED | inotify.UNMOUNT | inotify.DELETE_SELF | inotify.MOVE_SELF


class EventReader:
    """Takes the events of one tree from its inbox and adds hints. For one thread.

    Args:
        tree: Which paths count, the links and the projected volumes.
        hints: The hints that it adds to.
        watches: The watches of the tree, and the inbox of their events; closed with this.
        parts: The parts of the tree: a directory that is mounted twice has events in both.
    """

    def __init__(self, tree: Tree, hints: HintQueue, watches: WatchTable, parts: Parts) -> None:
        self._is_recursive = tree.spec.recursive
        self._filter = tree.path_filter
        self._has_markers = tree.path_filter.has_markers
        self._tree = tree
        self._hints = hints
        self._parts = parts
        self.watches = watches

    def watch(self, prefix: bytes, directory: int) -> None:
        """Watch the directory at a prefix, by a descriptor of it.

        Raises:
            OSError: See ``Inotify.watch``.
        """
        # The path of a descriptor is a link, which inotify does not follow without the dot.
        path = proc_fd_path(directory) + b"/."
        self.watches.add(prefix, path, self._parts.at(prefix).point)

    def close(self) -> None:
        """Stop watching, and drop the events that wait."""
        self.watches.close()

    def read(self, now_s: float) -> None:
        """Turn the events that have arrived into hints."""
        events, overflowed = self.watches.inbox.take()
        remaining = iter(events)
        while some := list(islice(remaining, portion(EVENTS_PER_CHECK))):
            for event in some:
                self._on_event(event, now_s)
            self._hints.enforce_limits(now_s)
            pause()
        if overflowed:
            self._hints.rescan(Rescan.NOTIFICATIONS_LOST)

    def expire_renames(self, now_s: float) -> None:
        """Take paths whose rename has no second half for moved to a place outside the tree."""
        for path in self._hints.expire_renames(now_s):
            if path.endswith(b"/"):
                self._on_moved_out(path, now_s)

    def _on_event(self, event: Event, now_s: float) -> None:
        prefixes = self.watches.prefixes(event.wd)
        if event.mask & inotify.IGNORED:
            self.watches.forget(event.wd)
        for prefix in prefixes:
            self._on_event_at(prefix, event, now_s)

    def _on_event_at(self, prefix: bytes, event: Event, now_s: float) -> None:
        """Handle an event in the directory at a prefix, which may have others."""
        if not event.name:
            if not prefix and event.mask & _ROOT_GONE:
                self._hints.rescan(Rescan.DIRECTORY_GONE)
            elif event.mask & inotify.UNMOUNT:
                # It may be mounted again already, without a watch.
                self._hints.add_subtree(prefix, now_s)
            return
        path = prefix + event.name
        if event.name == LINK:
            hint_volume(self._tree, self._hints, prefix, now_s)
        # Kubernetes' own files are reported only through the links to them.
        if not self._tree.projected_volumes.hides(path):
            if event.mask & inotify.ISDIR:
                self._on_directory(event, path + b"/", now_s)
            else:
                self._on_file(event, path, now_s)
        for link in list(self._tree.links.values()):
            # Nothing is read, so nothing is reported, below a link that leads upwards.
            if path.startswith(link.target) and not link.prefix.startswith(link.target):
                self._on_aliased(event, link.prefix + path[len(link.target) :], now_s)

    def _on_file(self, event: Event, path: bytes, now_s: float) -> None:
        mask, hints = event.mask, self._hints
        is_admitted = self._filter.admits(path)
        if mask & _NAMES and self._on_link(event, path, now_s, is_admitted=is_admitted):
            return
        if mask & inotify.MOVED_FROM:
            hints.add_rename_from(self._rename_key(event, path), path, now_s)
        if mask & inotify.MOVED_TO:
            self._on_moved_to(event, path, now_s, is_admitted=is_admitted)
        elif is_admitted:
            self._add(path, mask, now_s)

    def _on_moved_to(self, event: Event, path: bytes, now_s: float, *, is_admitted: bool) -> None:
        old_path = self._hints.pair_rename(self._rename_key(event, path))
        if not is_admitted:
            return
        if old_path is not None and self._filter.admits(old_path):
            self._hints.add_rename(old_path, path, now_s)
        elif self._has_markers and self._filter.is_marker(path):
            self._hints.add_marker(path, now_s)
        else:
            self._hints.add_closed(path, now_s)

    def _on_link(self, event: Event, path: bytes, now_s: float, *, is_admitted: bool) -> bool:
        """Handle an event of a link to a directory; return whether it was."""
        hints, tree = self._hints, self._tree
        was_link = tree.links.pop(path + b"/", None) is not None
        # An admitted path is inspected anyway, which detects a link.
        is_new = bool(event.mask & (inotify.CREATE | inotify.MOVED_TO)) and (
            was_link or not is_admitted
        )
        is_link = is_new and tree.directory_link(path) is not None
        if was_link or is_link:
            hints.add_subtree(path + b"/", now_s)
        if was_link and event.mask & inotify.MOVED_TO:
            # It has a new target, and other links may lead through it.
            for prefix in tree.links:
                hints.add_subtree(prefix, now_s)
        # A former link may be a file now.
        return is_link

    def _on_directory(self, event: Event, prefix: bytes, now_s: float) -> None:
        if not self._is_recursive:
            return
        mask, hints = event.mask, self._hints
        if mask & inotify.MOVED_FROM:
            hints.add_rename_from(self._rename_key(event, prefix), prefix, now_s)
        elif mask & inotify.MOVED_TO:
            self._on_directory_moved_to(event, prefix, now_s)
        elif mask & inotify.CREATE:
            # A watched directory was read after its watch was set, by a scan from above.
            if prefix not in self.watches and self._filter.admits_directory(prefix[:-1]):
                hints.add_subtree(prefix, now_s)
        elif mask & inotify.DELETE:
            hints.add_vanished(prefix, now_s)
        elif mask & inotify.ATTRIB and (hints.unread.is_near(prefix) or self._is_closed(prefix)):
            hints.add_subtree(prefix, now_s)

    def _is_closed(self, prefix: bytes) -> bool:
        """Return whether an admitted directory may no longer be read."""
        return not self._tree.is_readable(prefix) and self._filter.admits_directory(prefix[:-1])

    def _on_directory_moved_to(self, event: Event, prefix: bytes, now_s: float) -> None:
        old_prefix = self._hints.pair_rename(self._rename_key(event, prefix))
        if not self._filter.admits_directory(prefix[:-1]):
            if old_prefix is not None:
                self._on_moved_out(old_prefix, now_s)
        elif old_prefix is None:
            self._hints.add_subtree(prefix, now_s)
        else:
            # The scan of the new name follows, and finds what still waits under the old one.
            self._hints.add_rename(old_prefix, prefix, now_s)

    def _rename_key(self, event: Event, path: bytes) -> RenameKey:
        """Return what both halves of a rename have in common, which does not leave a part."""
        return event.cookie, self._parts.at(path).point

    def _on_moved_out(self, prefix: bytes, now_s: float) -> None:
        self.watches.drop(prefix)
        self._hints.add_vanished(prefix, now_s)

    def _on_aliased(self, event: Event, path: bytes, now_s: float) -> None:
        """Handle an event in a directory that a link leads to, for the path through the link."""
        if event.mask & inotify.ISDIR:
            self._hints.add_subtree(path + b"/", now_s)
        elif self._filter.admits(path):
            self._add(path, event.mask, now_s)

    def _add(self, path: bytes, mask: int, now_s: float) -> None:
        """Add what happened to a file."""
        hints = self._hints
        if self._has_markers and self._filter.is_marker(path):
            hints.add_marker(path, now_s)
        elif mask & (inotify.CLOSE_WRITE | inotify.MOVED_TO):
            hints.add_closed(path, now_s)
        elif mask & inotify.MODIFY:
            hints.add_written(path, now_s)
        elif mask & (inotify.DELETE | inotify.MOVED_FROM):
            hints.add_removed(path, now_s)
        elif mask & inotify.CREATE:
            hints.add_created(path, now_s)
        else:
            hints.add_attributes(path, now_s)
