"""The directory source: scans a tree, and inspects the paths that its hints make due.

Everything but ``Inbox.put`` runs in the thread of the watch. What the kernel notifies becomes hints
in ``events``; when a hint is due is decided in ``hints``.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import structlog

from watcher.errors import ConfigError, NotFoundError, UnavailableError
from watcher.filesystem.paths import is_inside, real_path
from watcher.model import Rescan
from watcher.sources.directory.completeness import Completeness
from watcher.sources.directory.digests import Digests
from watcher.sources.directory.events import EventReader
from watcher.sources.directory.exact_names import ExactNames
from watcher.sources.directory.hints import DuePaths, HintQueue
from watcher.sources.directory.inotify import Inbox, Inotify
from watcher.sources.directory.part_finder import PartFinder
from watcher.sources.directory.part_status import describe_parts
from watcher.sources.directory.parts import PartMode
from watcher.sources.directory.tree import Tree
from watcher.sources.directory.walk import Walk
from watcher.sources.directory.watch_table import WatchTable
from watcher.sources.protocol import (
    BATCH_ENTRIES,
    Batch,
    EntryBatch,
    Inspection,
    Observation,
    Subtree,
)
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.filesystem.mount_monitor import MountMonitor
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry, PartStatus
    from watcher.sources.directory.digests import DigestReaders, Result
    from watcher.sources.directory.part_finder import Reading
    from watcher.sources.directory.parts import Part, Parts
    from watcher.spec import DirectorySpec

ROOT_CHECK_S = 5.0
"""Seconds between two checks of the root: nothing notifies that a volume was mounted over it."""

_WATCH_LIMIT = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENOMEM})


class DirectoryScan:
    """One reading of the tree or of a subtree; see ``protocol.Scan``."""

    def __init__(self, source: DirectorySource, prefix: bytes) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._source = source

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; the root is checked first and last, so a vanished tree is not empty."""
        source = self._source
        entries: list[Entry] = []
        begun_ns, mounts = source.clock.wall_ns(), source.follow_mounts()
        for found in Walk(source.tree, source.watch, self.unread).run(self.prefix):
            entries += found
            if len(entries) >= BATCH_ENTRIES:
                yield source.batch(entries, begun_ns, mounts)
                entries, begun_ns, mounts = [], source.clock.wall_ns(), source.follow_mounts()
        source.tree.root.check()
        if b"" in self.unread:
            raise UnavailableError("the directory cannot be read", place=source.place)
        yield source.batch(entries, begun_ns, mounts)
        source.end_scan(self)

    def verification_scan(self, missing: int) -> None:
        """Return None: the missing paths are inspected one by one."""


class DirectorySource:
    """Reads a directory; see ``protocol.Source``.

    Args:
        spec: What to watch.
        path_filter: Which paths count; excluded directories are neither read nor watched.
        notifications: Returns the process's inotify descriptor; raises OSError if there is none.
        monitor: The mount table of the process.
        clock: The time.
        within: Directories, free of links, that may be read; None allows any.
        state: The server's state directory, which must not be watched: each event would cause the
            next.
        digest_readers: The threads that read contents; a spec that compares contents needs them.

    Attributes:
        place: Canonical URI.
        mode: ``notify`` or ``poll``, decided by ``open`` for the root.
        tree: The files below the directory.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913 - all that a source is made of
        self,
        spec: DirectorySpec,
        path_filter: PathFilter,
        notifications: Callable[[], Inotify],
        monitor: MountMonitor,
        clock: Clock,
        *,
        within: Sequence[str] | None,
        state: Path | None = None,
        digest_readers: DigestReaders | None = None,
    ) -> None:
        self.place = spec.place
        self.cost = None
        self.requests = 0
        self.mode = Mode.POLL.value
        self.tree = Tree(spec, path_filter, within=within)
        self.clock = clock
        self._spec = spec
        self._filter = path_filter
        self._notifications = notifications
        self._state = state
        self._within = within
        self._hints = HintQueue(spec)
        self._mounts = PartFinder(self.tree, monitor)
        self._completeness = Completeness(
            self.tree, self._hints, self._mounts, self.notifies, clock
        )
        self._remounted: set[bytes] = set()
        self._wake: Callable[[], None] = _nothing
        self._events: EventReader | None = None
        self._digest_readers = digest_readers
        self._digests: Digests | None = None
        self._retry_due_s = 0.0
        self._unnotified = ""
        self._root_due_s = self._polls_due_s = 0.0
        self._is_subpath_logged = False

    @property
    def degraded(self) -> str:
        """Why changes are noticed later than configured, or not at all; empty if they are not."""
        reasons = [self._unnotified, *(part.reason for part in self.parts)]
        if unread := self._hints.unread.paths:
            more = "more than " if self._hints.unread.is_overfull else ""
            count = f"{more}{len(unread)} path{'s'[: len(unread) > 1]}"
            reasons.append(f"{count} cannot be read, such as {os.fsdecode(min(unread))!r}")
        if self._digests is not None and (unreadable := self._digests.unreadable):
            count = f"{len(unreadable)} file{'s'[: len(unreadable) > 1]}"
            example = os.fsdecode(min(unreadable))
            reasons.append(
                f"the content of {count} cannot be read, so attributes are compared, "
                f"such as those of {example!r}"
            )
        if subpaths := self.tree.subpaths:
            points = ", ".join(map(repr, subpaths))
            reasons.append(f"mounted with subPath, so not kept up to date: {points}")
        if outside := self.tree.links_outside:
            example = os.fsdecode(min(outside))
            reasons.append(
                f"links that lead out of what the server allows are left out, such as {example!r}"
            )
        return "; ".join(filter(None, reasons))

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans: the longer interval if everything is notified.

        What cannot be read is read again by itself, unless it is too much.
        """
        is_notified = (
            self.mode == Mode.NOTIFY and not self._unnotified and not self._hints.unread.is_overfull
        )
        return self._spec.rescan_interval_s if is_notified else self._spec.poll_interval_s

    @property
    def parts(self) -> Parts:
        """The root and the mounts below it, each with how it is watched."""
        return self._mounts.parts

    @property
    def part_status(self) -> Sequence[PartStatus]:
        """See ``protocol.Source.part_status``."""
        return describe_parts(
            self.parts, self.tree.root.mount, mode=self._spec.mode, unnotified=self._unnotified
        )

    @property
    def volume_id(self) -> str:
        """Identity of the volume that holds the place, see ``volumes``; empty if unknown."""
        return self.tree.root.volume_id

    def mount_point(self, path: bytes) -> bytes:
        """See ``protocol.Source.mount_point``."""
        return self._mounts.part_at(path).point

    def is_remounted(self, path: bytes) -> bool:
        """See ``protocol.Source.is_remounted``."""
        return any(map(path.startswith, self._remounted))

    def has_stable_inodes(self, path: bytes) -> bool:
        """See ``protocol.Source.has_stable_inodes``."""
        mount = self._mounts.mount_at(path)
        return mount is None or mount.has_stable_inodes

    def open(self, wake: Callable[[], None]) -> None:
        """See ``protocol.Source.open``."""
        self.close()
        self.tree.open()
        self._check_state_outside()
        self._log_subpaths()
        self.mode, self._unnotified, self._wake = Mode.POLL.value, "", wake
        self._mounts.open(wake)
        self._digests = self._open_digests(wake)
        self._start_notifications()
        if self._events is not None and self._mounts.part_at(b"").mode is PartMode.NOTIFIED:
            self.mode = Mode.NOTIFY.value

    def close(self) -> None:
        """See ``protocol.Source.close``."""
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._digests is not None:
            self._digests.close()
            self._digests = None
        self._mounts.close(self._wake)
        self._remounted.clear()
        self._hints.clear()

    def _start_notifications(self) -> None:
        """Watch by notifications if there is a part for it and they are to be had."""
        is_notified = any(part.mode is PartMode.NOTIFIED for part in self.parts)
        if not is_notified or self._events is not None or self._unnotified:
            return
        try:
            watches = WatchTable(self._notifications(), Inbox(self._wake))
        except OSError as error:
            self._unnotified = f"no notifications, polling instead: {error.strerror}"
            return
        self._events = EventReader(
            self._spec, self._filter, self.tree, self._hints, watches, self.parts
        )

    def _open_digests(self, wake: Callable[[], None]) -> Digests | None:
        if not self._spec.compare.is_content:
            return None
        assert self._digest_readers is not None  # noqa: S101 - the factory gives them
        return Digests(
            self._spec,
            within=self._within,
            readers=self._digest_readers,
            has_stable_inodes=self.has_stable_inodes,
            wake=wake,
        )

    def _check_state_outside(self) -> None:
        """Raise ConfigError if the server's state lies in what is watched."""
        if self._state is None:
            return
        state, root = real_path(str(self._state)), real_path(self._spec.path)
        if not is_inside(state, root):
            return
        relative = os.path.relpath(state, root)
        if relative == "." or (
            self._spec.recursive and self._filter.admits_directory(os.fsencode(relative))
        ):
            hint = f'start the server with --state elsewhere, or add "{relative}/**" to exclude'
            raise ConfigError("the server keeps its state in there", place=self.place, hint=hint)

    def _log_subpaths(self) -> None:
        """Log once the mounts in which changes of a ConfigMap or Secret never appear."""
        if self.tree.subpaths and not self._is_subpath_logged:
            self._is_subpath_logged = True
            hint = "mount the whole volume: Kubernetes does not update what is mounted with subPath"
            structlog.get_logger("watcher").warning(
                "watch.subpath", place=self.place, mounts=self.tree.subpaths, hint=hint
            )

    # Scans

    def scan(self, prefix: bytes = b"") -> DirectoryScan:
        """See ``protocol.Source.scan``."""
        return DirectoryScan(self, prefix)

    def end_scan(self, scan: DirectoryScan) -> None:
        """Record what a completed scan could not read, apart from volumes that are missing."""
        self._remounted = {each for each in self._remounted if not each.startswith(scan.prefix)}
        # These come back by a change of the mount table, which needs no polling.
        unread = [path for path in scan.unread if not self._mounts.is_unread(path)]
        self._hints.set_unread(scan.prefix, unread, self.clock.monotonic())
        scan.unread += [point for point in self.parts.unread if point.startswith(scan.prefix)]

    def watch(self, prefix: bytes, directory: int) -> None:
        """Watch a directory that is about to be read, by the descriptor it will be read from.

        Raises:
            OSError: It must not be read.
        """
        mode = self.parts.at(prefix).mode
        if mode is PartMode.UNREAD:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), prefix)
        if self._events is None or mode is PartMode.POLLED:
            return
        try:
            self._events.watch(prefix, directory)
        except OSError as error:
            if error.errno in _WATCH_LIMIT:
                self._unnotified = (
                    "the limit of watches is reached, polling instead; "
                    "raise fs.inotify.max_user_watches"
                )

    def batch(self, entries: list[Entry], begun_ns: int, mounts: Reading) -> Batch:
        """Return a batch of a scan, without entries of a mount that is missing or has changed.

        Args:
            entries: The entries that were read.
            begun_ns: Wall time when their reading began: quiet by then means quiet when read.
            mounts: The state of the mounts then.

        Raises:
            WatcherError: See ``Root.held``.
        """
        found = ((entry.path, entry.is_link) for entry in entries)
        if doubtful := self.doubtful(found, mounts):
            entries = [entry for entry in entries if entry.path not in doubtful]
        self._hints.note_links(entries)
        self._completeness.batch_begun_ns = begun_ns
        return EntryBatch(entries)

    def complete(self, entries: Sequence[Entry]) -> list[Entry]:
        """See ``protocol.Source.complete``."""
        now_s = self.clock.monotonic()
        # A write before the reading has been notified: it is reported once, through its hint.
        self._read_events(now_s)
        return self._completeness.sort_out(entries, now_s)

    # Mounts

    @property
    def volumes(self) -> Mapping[bytes, str]:
        """See ``protocol.Source.volumes``."""
        return self.parts.known

    @property
    def new_volumes(self) -> Mapping[bytes, str]:
        """See ``protocol.Source.new_volumes``."""
        return self.parts.new

    def expect_volumes(self, known: Mapping[bytes, str] | None) -> None:
        """See ``protocol.Source.expect_volumes``."""
        self._mounts.expect(known)

    def accept_volumes(self) -> None:
        """See ``protocol.Source.accept_volumes``."""
        self._note_changed(self.parts.accept())

    def hidden_by(self, point: bytes) -> Collection[bytes]:
        """See ``protocol.Source.hidden_by``."""
        return self._mounts.hidden_by(point)

    def notifies(self, path: bytes) -> bool:
        """See ``protocol.Source.notifies``."""
        return self._events is not None and self._mounts.part_at(path).mode is PartMode.NOTIFIED

    def follow_mounts(self) -> Reading:
        """Find the parts again if the mount table has changed; return the state that they are in.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self._note_changed(self._mounts.refresh())
        return self._mounts.reading

    def doubtful(self, found: Iterable[tuple[bytes, bool]], mounts: Reading) -> set[bytes]:
        """Return the paths of a reading that prove nothing, and recheck them if that may help.

        Args:
            found: The paths, each with whether it may be a link.
            mounts: The state of the mounts when the reading began.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self.follow_mounts()
        unread, changed = self._mounts.doubts(found, mounts)
        self._hints.recheck(changed, self.clock.monotonic())
        return unread | changed

    def _note_changed(self, parts: Iterable[Part]) -> None:
        """Scan the parts in which other volumes are mounted, or watch them no longer."""
        now_s = self.clock.monotonic()
        for part in parts:
            if self._events is not None:
                self._events.watches.drop(part.prefix)
            if part.mode is not PartMode.UNREAD:
                self._remounted.add(part.prefix)
                self._look_at(part, now_s)
        self._start_notifications()

    def _look_at(self, part: Part, now_s: float) -> None:
        if part.is_file:
            self._hints.recheck([part.point], now_s)
        else:
            self._hints.add_subtree(part.prefix, now_s)

    def _poll_parts(self, now_s: float) -> None:
        """Look at the polled parts if they are due; where the root is polled, scans read them."""
        if now_s < self._polls_due_s:
            return
        self._polls_due_s = now_s + self._spec.poll_interval_s
        if any(part.is_file for part in self.parts):
            # Nothing notifies that a mounted file was replaced where it comes from.
            self._mounts.forget()
        if self.mode == Mode.NOTIFY:
            for part in self.parts:
                if part.mode is PartMode.POLLED:
                    self._look_at(part, now_s)

    # Contents

    def digest(
        self, entries: Sequence[Entry], attributes_only: Collection[bytes] = ()
    ) -> list[Entry]:
        """See ``protocol.Source.digest``."""
        return (
            list(entries) if self._digests is None else self._digests.add(entries, attributes_only)
        )

    def learn_digests(self, entries: Sequence[Entry]) -> None:
        """See ``protocol.Source.learn_digests``."""
        if self._digests is not None:
            self._digests.learn(entries)

    @property
    def is_digesting_idle(self) -> bool:
        """Whether no content waits to be read."""
        return self._digests is None or self._digests.is_idle

    def _observe_digests(self, digests: Digests, now_s: float) -> Iterator[Observation]:
        """Yield the files whose contents were read, and have those tried again that could not."""
        results = digests.take()
        for start in range(0, len(results), BATCH_ENTRIES):
            yield self._digested(digests, results[start : start + BATCH_ENTRIES])
        if digests.end_overflow():
            yield Subtree(b"", Rescan.MANY_HINTS)
        if now_s >= self._retry_due_s:
            self._retry_due_s = now_s + self._spec.poll_interval_s
            self._hints.recheck(digests.unreadable, now_s)

    def _digested(self, digests: Digests, results: Sequence[Result]) -> Inspection:
        """Return files with their digests; one that has changed meanwhile is rechecked."""
        by_path = {result.job.entry.path: result for result in results}
        inspection = self.inspect(list(by_path))
        entries: list[Entry] = []
        for entry in inspection.entries:
            result = by_path[entry.path]
            job = result.job
            if digests.settle(result, entry):
                entries.append(entry._replace(etag=result.digest))
                if job.attributes_only:
                    inspection.attributes_only.add(entry.path)
            elif not job.is_background:
                self.recheck([entry.path])
        inspection.entries, inspection.has_digests = entries, True
        return inspection

    # Hints

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """See ``protocol.Source.recheck``."""
        self._hints.recheck(paths, self.clock.monotonic(), expected_ctime_ns)

    def due_in_s(self) -> float:
        """See ``protocol.Source.due_in_s``."""
        times = [self._root_due_s, self._hints.due_s()]
        if len(self.parts):
            times.append(self._polls_due_s)
        if self._digests is not None and self._digests.unreadable:
            times.append(self._retry_due_s)
        return max(0.0, min(times) - self.clock.monotonic())

    def observe(self) -> Iterator[Observation]:
        """See ``protocol.Source.observe``."""
        now_s = self.clock.monotonic()
        if now_s >= self._root_due_s:
            self._root_due_s = now_s + ROOT_CHECK_S
            self.tree.root.check()
        self._poll_parts(now_s)
        self.follow_mounts()
        self._read_events(now_s)
        if self._events is not None:
            self._events.expire_renames(now_s)
        if self._digests is not None:
            yield from self._observe_digests(self._digests, now_s)
        for request in self._hints.take(now_s):
            yield self._inspect_due(request) if isinstance(request, DuePaths) else request

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """See ``protocol.Source.inspect``."""
        return self._inspect(paths, may_ask=False)

    def _inspect(self, paths: Sequence[bytes], *, may_ask: bool) -> Inspection:
        """Inspect paths, and leave out those in a mount that is missing or has changed.

        Args:
            paths: The paths.
            may_ask: Ask their file server, where the kernel can.

        Raises:
            WatcherError: See ``Root.held``.
        """
        mounts = self.follow_mounts()
        inspection = self._inspect_each(paths, may_ask=may_ask)
        found = [*(entry.path for entry in inspection.entries), *inspection.gone]
        if doubtful := self.doubtful(((path, True) for path in found), mounts):
            inspection.entries = [each for each in inspection.entries if each.path not in doubtful]
            inspection.gone = [path for path in inspection.gone if path not in doubtful]
        return inspection

    def _inspect_each(self, paths: Sequence[bytes], *, may_ask: bool) -> Inspection:
        inspection = Inspection()
        now_s = self.clock.monotonic()
        names = ExactNames(self.tree.root, paths)
        with self.tree.root.held():
            for path in paths:
                try:
                    entry = self._entry(path, names, may_ask=may_ask)
                except OSError:
                    self._hints.add_unread(path, now_s)
                    continue
                was_unread = self._hints.unread.discard(path)
                if entry is not None:
                    inspection.entries.append(entry)
                    continue
                inspection.gone.append(path)
                if self.tree.directory_link(path) is not None or (
                    was_unread and self._may_be_directory(path)
                ):
                    self._hints.add_subtree(path + b"/", now_s)
        self._hints.note_links(inspection.entries)
        # A writer may use another case than the directory has.
        self.recheck(names.instead)
        if inspection.gone:
            if self._digests is not None:
                self._digests.discard(inspection.gone)
            self.tree.root.check()
        return inspection

    def _may_be_directory(self, path: bytes) -> bool:
        """Return whether a directory at a path would be read."""
        return self._spec.recursive and self._filter.admits_directory(path)

    def _entry(self, path: bytes, names: ExactNames, *, may_ask: bool) -> Entry | None:
        if not self._filter.admits(path):
            return None
        asks_server = may_ask and self._completeness.asks_server(path)
        return self.tree.entry(path, asks_server=asks_server, names=names)

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """See ``protocol.Source.confirm_deleted``; a file that is there is rechecked.

        It was renamed or created while the scan ran.
        """
        inspection = self.inspect(paths)
        self.recheck(entry.path for entry in inspection.entries)
        return inspection.gone

    def release(self, prefix: bytes) -> None:
        """See ``protocol.Source.release``."""
        self.follow_mounts()
        if prefix not in self.parts.missing:
            missing = ", ".join(repr(os.fsdecode(point)) for point in self.parts.missing)
            raise NotFoundError(
                f"no mount is missing at {os.fsdecode(prefix)!r}",
                place=self.place,
                hint=f"these are: {missing}" if missing else "all mounts are there",
            )
        self._note_changed(self.parts.release(prefix))

    def _read_events(self, now_s: float) -> None:
        if self._events is not None:
            self._events.read(now_s)

    def _inspect_due(self, due: DuePaths) -> Inspection:
        inspection = self._inspect(list(due.hints), may_ask=True)
        inspection.attributes_only = due.attributes_only
        inspection.expected_ctime_ns = due.expected_ctime_ns
        # After the looks: the next ones must be far enough from them, however long these took.
        now_s = self.clock.monotonic()
        inspection.entries = [
            entry
            for entry in inspection.entries
            if self._completeness.is_complete(due.hints[entry.path], entry, now_s)
        ]
        return inspection


def _nothing() -> None:
    """Do nothing: the function that wakes a source before it is opened."""
