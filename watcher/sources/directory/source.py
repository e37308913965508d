"""The directory source: reads a tree, and turns hints that are ready into observations. Never compares with the index.

Events are taken in the kernel's order by the watch's own thread, and become hints in ``hints.py``. A directory is watched before it is
read: what happens before is read, what happens after is hinted.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import structlog

from watcher.errors import ConfigError, UnavailableError
from watcher.filesystem.openat2 import proc_fd_path
from watcher.filesystem.paths import is_inside, real_path
from watcher.sources.directory import inotify
from watcher.sources.directory.hints import Hints
from watcher.sources.directory.tree import Tree
from watcher.sources.directory.watch_table import WatchTable
from watcher.sources.protocol import (
    BATCH_ENTRIES,
    Batch,
    EntryBatch,
    Inspection,
    LinksChanged,
    Observation,
    Subtree,
)
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.directory.settle import Hint
    from watcher.spec import DirectorySpec

ROOT_CHECK_S = 5.0
"""How often the root is looked at: no notification tells that something was mounted over it."""


class DirectoryScan:
    """One reading of the tree or of a subtree; see ``base.Scan``."""

    def __init__(self, source: DirectorySource, prefix: bytes, *, settled_only: bool) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._source = source
        self._settled_only = settled_only

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of entries; the root is checked before and after, so a tree that vanished meanwhile is not an empty one."""
        source = self._source
        met: list[Entry] = []
        since_ns = time.time_ns()
        for entries in source.tree.walk(self.prefix, source.watch, self.unread):
            met += entries
            if len(met) >= BATCH_ENTRIES:
                yield self._batch(met, since_ns)
                met, since_ns = [], time.time_ns()
        source.tree.root.check()
        if b"" in self.unread:
            raise UnavailableError("the directory cannot be read", place=source.place)
        yield self._batch(met, since_ns)
        source.scanned(self)

    def verification_scan(self, missing: int) -> None:
        """Return None."""

    def _batch(self, entries: list[Entry], since_ns: int) -> Batch:
        self._source.note_links(entries)
        return (
            self._source.settled(entries, since_ns) if self._settled_only else EntryBatch(entries)
        )


class DirectorySource:
    """Reads a directory; see ``base.Source``.

    Args:
        spec: What to watch.
        path_filter: Which entries count; excluded directories are not read and not watched.
        notifications: Gives the process's inotify descriptor, or raises OSError where there is none to be had.
        clock: Monotonic seconds.
        within: Directories, free of links, that may be read; None allows any.
        state: Where the server keeps its state, of which every event would cause the next.
    """

    def __init__(  # noqa: PLR0913 - all that a source is made of
        self,
        spec: DirectorySpec,
        path_filter: PathFilter,
        notifications: Callable[[], inotify.Inotify],
        *,
        within: Sequence[str] | None,
        clock: Callable[[], float] = time.monotonic,
        state: Path | None = None,
    ) -> None:
        self.place = spec.place
        self.cost = None
        self.requests = 0
        self.mode = Mode.POLL.value
        self.tree = Tree(spec, path_filter, within=within)
        self._spec = spec
        self._filter = path_filter
        self._notifications = notifications
        self._clock = clock
        self._state = state
        self._hints = Hints(spec, path_filter, self.tree)
        self._watches: WatchTable | None = None
        self._unnotified = ""
        self._has_links = False
        self._root_due_s = 0.0
        self._warned_of_subpaths = False

    @property
    def degraded(self) -> str:
        """Why less is noticed than was asked for; empty when nothing is amiss."""
        prefixes = self._hints.unread
        unread = (
            f"{len(prefixes)} paths cannot be read, such as {os.fsdecode(min(prefixes))!r}"
            if prefixes
            else ""
        )
        subpath = (
            f"mounted with subPath, so not kept up to date: {', '.join(map(repr, self.tree.subpaths))}"
            if self.tree.subpaths
            else ""
        )
        links_outside = self.tree.links_outside
        stray = (
            f"links that lead out of what the server allows are left out, such as {os.fsdecode(min(links_outside))!r}"
            if links_outside
            else ""
        )
        return "; ".join(reason for reason in (self._unnotified, unread, subpath, stray) if reason)

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans: long while everything is notified."""
        is_notified = self.mode == Mode.NOTIFY and not self._unnotified and not self._hints.unread
        return self._spec.rescan_interval_s if is_notified else self._spec.poll_interval_s

    @property
    def volume_id(self) -> str:
        """Which file system holds the place, in words that stay the same when it is mounted again."""
        return self.tree.root.mount.identity if self.tree.root.mount else ""

    def open(self, wake: Callable[[], None]) -> None:
        """See ``base.Source.open``."""
        self.close()
        self.tree.open()
        if self._state is not None:
            self._refuse_state(real_path(str(self._state)), real_path(self._spec.path))
        self._warn_of_subpaths()
        self.mode, self._unnotified = Mode.POLL.value, ""
        if self._spec.mode is Mode.POLL or (
            self._spec.mode is Mode.AUTO
            and self.tree.root.mount is not None
            and not self.tree.root.mount.notifies
        ):
            return
        try:
            self._watches = WatchTable(self._notifications(), inotify.Inbox(wake))
        except OSError as error:
            self._unnotified = f"no notifications, polling instead: {error.strerror}"
            return
        self.mode = Mode.NOTIFY.value

    def close(self) -> None:
        """See ``base.Source.close``."""
        if self._watches is not None:
            self._watches.close()
            self._watches = None
        self._hints.clear()

    def _refuse_state(self, state: str, root: str) -> None:
        if not is_inside(state, root):
            return
        relative = os.path.relpath(state, root)
        if relative == "." or (
            self._spec.recursive and self._filter.admits_directory(os.fsencode(relative))
        ):
            hint = f'start the server with --state elsewhere, or add "{relative}/**" to exclude'
            raise ConfigError("the server keeps its state in there", place=self.place, hint=hint)

    def _warn_of_subpaths(self) -> None:
        """Warn once of mounts in which changes of a ConfigMap or Secret never appear."""
        if self.tree.subpaths and not self._warned_of_subpaths:
            self._warned_of_subpaths = True
            hint = "mount the whole volume: Kubernetes does not update what is mounted with subPath"
            structlog.get_logger("watcher").warning(
                "watch.subpath", place=self.place, mounts=self.tree.subpaths, hint=hint
            )

    # Scans

    def scan(self, prefix: bytes = b"", *, settled_only: bool = True) -> DirectoryScan:
        """See ``base.Source.scan``."""
        return DirectoryScan(self, prefix, settled_only=settled_only)

    def scanned(self, scan: DirectoryScan) -> None:
        """Note the end of a scan: what it could not read is read again once its attributes change."""
        hints = self._hints
        hints.unread = {
            prefix for prefix in hints.unread if not prefix.startswith(scan.prefix)
        } | set(scan.unread)

    def watch(self, prefix: bytes, directory: int) -> None:
        """Watch a directory that is about to be read, by the descriptor that it will be read from."""
        if self._watches is None:
            return
        try:
            # With a dot, since links are not followed, and the name of a descriptor is one.
            self._watches.add(prefix, proc_fd_path(directory) + b"/.")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM):
                self._unnotified = "the limit of watches is reached, polling instead; raise fs.inotify.max_user_watches"

    def note_links(self, entries: list[Entry]) -> None:
        """Remember that there are links: their targets notify nobody, so they are looked at from time to time."""
        self._has_links = self._has_links or any(entry.is_link for entry in entries)

    def settled(self, entries: list[Entry], since_ns: int) -> Batch:
        """Part what a scan met into what can be reported and what is still being written; that is hinted for later.

        Args:
            entries: What was met.
            since_ns: When their reading began: what was quiet by then was quiet when it was met.
        """
        now_s, now_ns = self._clock(), time.time_ns()
        # What was written before it was met has been heard of: that is told once, by the look that answers the hint.
        self._hints.hear(self._watches, now_s)
        quiet_ns, settle = since_ns - int(self._spec.settle_s * 1e9), self._hints.settle
        fresh = [e.path for e in entries if _is_between(e, quiet_ns, now_ns) or e.path in settle]
        for path in fresh:
            settle.doubt(path, now_s)
        if not fresh:
            return EntryBatch(entries)
        waiting = set(fresh)
        return EntryBatch([entry for entry in entries if entry.path not in waiting], fresh)

    # Hints

    def recheck(self, doubts: Mapping[bytes, int | None]) -> None:
        """See ``base.Source.hint``."""
        now_s = self._clock()
        for path, ctime_ns in doubts.items():
            self._hints.settle.doubt(path, now_s, ctime_ns)

    def due_in_s(self) -> float:
        """See ``base.Source.due_in_s``."""
        return max(
            0.0, min(self._root_due_s, self._hints.due_s(has_links=self._has_links)) - self._clock()
        )

    def observe(self) -> Iterator[Observation]:
        """See ``base.Source.observe``."""
        now_s = self._clock()
        if now_s >= self._root_due_s:
            self._root_due_s = now_s + ROOT_CHECK_S
            self.tree.root.check()
        self._hints.advance(self._watches, now_s)
        if reason := self._hints.rescan_reason:
            self._hints.rescan_reason = None
            yield Subtree(b"", reason)
            return
        yield from self._ready(now_s)

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """See ``base.Source.look``."""
        looks = Inspection()
        with self.tree.root.held():
            for path in paths:
                try:
                    entry = self.tree.entry(path) if self._filter.admits(path) else None
                except OSError:
                    continue
                if entry is not None:
                    looks.entries.append(entry)
                    continue
                looks.gone.append(path)
                if self.tree.directory_link(path) is not None:
                    self._hints.trees[path + b"/"] = self._clock()
        self.note_links(looks.entries)
        if looks.gone:
            self.tree.root.check()
        return looks

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """See ``base.Source.confirm_deleted``; what is there after all was renamed while the scan ran, and is hinted."""
        looks = self.inspect(paths)
        self.recheck(dict.fromkeys(entry.path for entry in looks.entries))
        return looks.gone

    def _ready(self, now_s: float) -> Iterator[Observation]:
        hints = self._hints
        yield from hints.moves.take()
        scanned: bytes | None = None
        for prefix in sorted(prefix for prefix, due_s in hints.trees.items() if due_s <= now_s):
            del hints.trees[prefix]
            # In this order a directory comes right after the one that holds it, whose scan reads it too.
            if scanned is None or not prefix.startswith(scanned):
                scanned = prefix
                yield Subtree(prefix)
        if self._has_links and hints.links_due_s <= now_s:
            hints.links_due_s = now_s + self._spec.poll_interval_s
            yield LinksChanged()
        while taken := hints.settle.take(now_s, BATCH_ENTRIES):
            since_ns = time.time_ns()
            looks = self.inspect([path for path, _ in taken])
            looks.attributes_only = {path for path, hint in taken if hint.attributes_only}
            looks.doubts = {path: hint.ctime_ns for path, hint in taken if not hint.is_notified}
            if self._watches is None:
                looks.entries = self._quiet(looks.entries, dict(taken), now_s, since_ns)
            yield looks

    def _quiet(
        self, entries: list[Entry], hints: dict[bytes, Hint], now_s: float, since_ns: int
    ) -> list[Entry]:
        """Return the entries that nobody is writing: without notifications only their times tell. The others wait once more."""
        now_ns = time.time_ns()
        quiet_ns = since_ns - int(self._spec.settle_s * 1e9)
        return [
            entry
            for entry in entries
            if not (
                _is_between(entry, quiet_ns, now_ns)
                and self._hints.settle.again(entry.path, hints[entry.path], now_s)
            )
        ]


def _is_between(entry: Entry, quiet_ns: int, now_ns: int) -> bool:
    """Tell whether a file was written since ``quiet_ns``; times in the future come from other clocks, and nothing can be told from them."""
    return quiet_ns < entry.ctime_ns <= now_ns or quiet_ns < entry.mtime_ns <= now_ns
