"""Turns the kernel's events in a tree into what is to be looked at, and when. Reads no entries; never compares.

Every doubt ends in the scan of a subtree: a directory that appeared or was renamed, one that left, an overflow.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from watcher.limits.fair_share import FairShare
from watcher.model import Rescan
from watcher.sources.directory import inotify
from watcher.sources.directory.renames import PendingRenames
from watcher.sources.directory.settle import Settle
from watcher.sources.protocol import Rename

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent

    from watcher.filters.path_filter import PathFilter
    from watcher.sources.directory.tree import Tree
    from watcher.sources.directory.watch_table import WatchTable
    from watcher.spec import DirectorySpec

HINTS_MAX = 100_000
"""Paths that may wait at once; above, the whole tree is scanned instead, once they have had the time to settle."""

ALL_HINTS_MAX = 250_000
"""Paths that may wait at once in all trees of a process: some 100 MB. Above, the same is done to those trees that have most of them."""

HEARD_AT_ONCE = 1000
"""After so many events it is looked whether too many paths wait."""

MOVE_GRACE_S = 0.05
"""How long the first half of a rename waits for the second; the kernel queues them one after the other."""

_NAMES = inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO


_CROWD = FairShare(ALL_HINTS_MAX)


class Hints:
    """What is to be looked at in one tree. For one thread; time is a parameter.

    Args:
        spec: Says whether subdirectories count, and how long a path settles.
        path_filter: Which paths count.
        tree: Knows the links.
        fair_share: Those of other trees.

    Attributes:
        settle: Single paths.
        moves: Renames.
        trees: Subtrees, each with the time from which on it is to be scanned.
        links_due_s: When everything that is reached through links is to be looked at.
        unread: Prefixes that could not be read; they are scanned once their attributes change.
        rescan_reason: Why the whole tree is to be scanned; None when it need not be.
    """

    def __init__(
        self,
        spec: DirectorySpec,
        path_filter: PathFilter,
        tree: Tree,
        fair_share: FairShare = _CROWD,
    ) -> None:
        self.settle = Settle(spec.settle_s)
        self.moves = PendingRenames(MOVE_GRACE_S)
        self.trees: dict[bytes, float] = {}
        self.links_due_s = 0.0
        self.unread: set[bytes] = set()
        self.rescan_reason: Rescan | None = None
        self._spec = spec
        self._filter = path_filter
        self._tree = tree
        self._fair_share = fair_share
        self._crowded_until_s = 0.0

    def due_s(self, *, has_links: bool) -> float:
        """Return when the next of them is to be looked at; infinity when there is none.

        Args:
            has_links: Entries are reached through links.
        """
        times = [*self.trees.values()]
        times += [
            time_s for time_s in (self.settle.due_s(), self.moves.due_s()) if time_s is not None
        ]
        if has_links:
            times.append(self.links_due_s)
        if self._crowded_until_s:
            times.append(self._crowded_until_s)
        return min(times, default=float("inf"))

    def clear(self) -> None:
        """Drop everything."""
        self.rescan(None)
        self.unread.clear()

    def rescan(self, reason: Rescan | None) -> None:
        """Drop what a scan of the whole tree finds by itself, and ask for one if there is a reason."""
        self._drop()
        self.moves.clear()
        self.rescan_reason = reason

    def advance(self, watches: WatchTable | None, now_s: float) -> None:
        """Take in what has been heard, and what the time that has passed means."""
        self.hear(watches, now_s)
        for lost in self.moves.expire(now_s):
            self._on_moved_out(watches, lost, now_s)
        self._keep_bounds(now_s)
        if self._crowded_until_s and now_s >= self._crowded_until_s:
            self._crowded_until_s = 0.0
            self.rescan(Rescan.MANY_HINTS)

    def hear(self, watches: WatchTable | None, now_s: float) -> None:
        """Turn the notifications that have come so far into hints."""
        if watches is None:
            return
        events, overflowed = watches.inbox.take()
        coming = iter(events)
        while portion := list(islice(coming, HEARD_AT_ONCE)):
            for event in portion:
                self._on_event(event, watches, now_s)
            self._keep_bounds(now_s)
        if overflowed:
            self.rescan(Rescan.NOTIFICATIONS_LOST)

    def _keep_bounds(self, now_s: float) -> None:
        """Where too many paths wait, drop them for a scan of the whole tree, which waits as long as they would have."""
        count = len(self.settle) + len(self.trees)
        if count > HINTS_MAX or not self._fair_share.admit(self, count):
            self._drop()
            # Not put off again, or a tree that is always crowded would never be scanned.
            self._crowded_until_s = self._crowded_until_s or now_s + self._spec.settle_s

    def _drop(self) -> None:
        self.settle.clear()
        self.trees.clear()
        self._fair_share.admit(self, 0)

    def _on_event(self, event: InotifyEvent, watches: WatchTable, now_s: float) -> None:
        prefix = watches.prefix(event.wd)
        if prefix is None:
            return
        if event.mask & inotify.IGNORED:
            watches.forget(event.wd)
        if not event.name:
            if not prefix and event.mask & (
                inotify.IGNORED | inotify.UNMOUNT | inotify.DELETE_SELF | inotify.MOVE_SELF
            ):
                self.rescan(Rescan.DIRECTORY_GONE)
            return
        path = prefix + event.name
        # Inside Kubernetes' own directories nothing is reported under its own path, only through the links that lead there.
        if not (prefix.startswith(b"..") or b"/.." in prefix):
            if event.mask & inotify.ISDIR:
                self._on_directory(event, watches, path + b"/", now_s)
            else:
                self._on_file(event, path, now_s)
        for link in list(self._tree.links.values()):
            # Below a link that leads upwards nothing is read, so nothing is told.
            if path.startswith(link.target) and not link.prefix.startswith(link.target):
                self._on_aliased(event, link.prefix + path[len(link.target) :], now_s)

    def _on_file(self, event: InotifyEvent, path: bytes, now_s: float) -> None:
        mask = event.mask
        is_admitted = self._filter.admits(path)
        if mask & _NAMES and self._on_link(event, path, now_s, is_admitted=is_admitted):
            return
        if mask & inotify.MOVED_FROM:
            self.moves.leave(event.cookie, path, now_s)
            if is_admitted:
                self.settle.unsettled(path, now_s)
        elif mask & inotify.MOVED_TO:
            self._on_moved_to(event.cookie, path, now_s, is_admitted=is_admitted)
        elif not is_admitted:
            return
        elif mask & inotify.CLOSE_WRITE:
            self.settle.ready(path, now_s)
        elif mask & inotify.ATTRIB and not mask & inotify.MODIFY:
            self.settle.attributes(path, now_s)
        else:
            self.settle.unsettled(path, now_s)

    def _on_moved_to(self, cookie: int, path: bytes, now_s: float, *, is_admitted: bool) -> None:
        old_path = self.moves.arrive(cookie)
        if not is_admitted:
            return
        if old_path is not None and self._filter.admits(old_path):
            self.moves.add(Rename(old_path, path))
            # Whatever becomes of the pair (two files may have changed places), the old name is looked at as well.
            self.settle.unsettled(old_path, now_s)
        self.settle.ready(path, now_s)

    def _on_link(
        self, event: InotifyEvent, path: bytes, now_s: float, *, is_admitted: bool
    ) -> bool:
        """Handle an event on one of Kubernetes' own names, or on a link to a directory; tell whether it is one."""
        if path.rpartition(b"/")[2].startswith(b".."):
            self._tree.find_projection(path[: path.rfind(b"/") + 1])
            self.links_due_s = now_s
            self.trees.update(dict.fromkeys(self._tree.links, now_s))
            return True
        was_link = self._tree.links.pop(path + b"/", None) is not None
        # Whether an admitted path is a link is found when it is looked at.
        is_new = bool(event.mask & (inotify.CREATE | inotify.MOVED_TO)) and (
            was_link or not is_admitted
        )
        is_link = is_new and self._tree.directory_link(path) is not None
        if was_link or is_link:
            self.trees[path + b"/"] = now_s
        # What was a link may be a file now.
        return is_link

    def _on_directory(
        self, event: InotifyEvent, watches: WatchTable, prefix: bytes, now_s: float
    ) -> None:
        if not self._spec.recursive or prefix[:-1].rpartition(b"/")[2].startswith(b".."):
            return
        mask = event.mask
        if mask & inotify.MOVED_FROM:
            self.moves.leave(event.cookie, prefix, now_s)
        elif mask & inotify.MOVED_TO:
            self._on_directory_moved_to(event.cookie, watches, prefix, now_s)
        elif mask & inotify.CREATE:
            # Already watched means already read after the watch was set, by the scan of a directory above it.
            if prefix not in watches and self._filter.admits_directory(prefix[:-1]):
                self.trees[prefix] = now_s
        elif mask & inotify.DELETE:
            self.trees.setdefault(prefix, now_s + self._spec.settle_s)
        elif mask & inotify.ATTRIB and (prefix in self.unread or self._is_closed(prefix)):
            self.trees[prefix] = now_s

    def _is_closed(self, prefix: bytes) -> bool:
        """Tell whether a directory that counts may no longer be read."""
        return not self._tree.is_readable(prefix) and self._filter.admits_directory(prefix[:-1])

    def _on_directory_moved_to(
        self, cookie: int, watches: WatchTable, prefix: bytes, now_s: float
    ) -> None:
        old_prefix = self.moves.arrive(cookie)
        if not self._filter.admits_directory(prefix[:-1]):
            if old_prefix is not None:
                self._on_moved_out(watches, old_prefix, now_s)
        elif old_prefix is None:
            self.trees[prefix] = now_s
        else:
            # What waits to be looked at below the old name is found by the scan of the new one, which follows the move.
            self.moves.add(Rename(old_prefix, prefix))

    def _on_moved_out(self, watches: WatchTable | None, path: bytes, now_s: float) -> None:
        """Handle the first half of a rename whose second half never came: it left the tree."""
        if not path.endswith(b"/"):
            return
        if watches is not None:
            watches.drop(path)
        self.trees.setdefault(path, now_s + self._spec.settle_s)

    def _on_aliased(self, event: InotifyEvent, path: bytes, now_s: float) -> None:
        """Handle an event below a directory that is also reached through a link, for the path through the link."""
        if event.mask & inotify.ISDIR:
            self.trees[path + b"/"] = now_s
        elif self._filter.admits(path):
            if event.mask & (inotify.CLOSE_WRITE | inotify.MOVED_TO):
                self.settle.ready(path, now_s)
            else:
                self.settle.unsettled(path, now_s)
