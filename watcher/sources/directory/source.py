"""The directory source: puts the parts of the room together, and asks the one that answers.

Everything but ``Inbox.put`` runs in the thread of the watch. What the kernel notifies becomes hints
in ``events``; when a hint is due is decided in ``hints``, and then ``inspector`` looks. ``scan``
reads the whole tree.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from watcher.errors import ConfigError
from watcher.filesystem.paths import path_below
from watcher.limits.turns import pause
from watcher.sources.directory.completeness import Completeness
from watcher.sources.directory.contents import Contents
from watcher.sources.directory.hints import DuePaths, HintQueue
from watcher.sources.directory.inspector import Inspector
from watcher.sources.directory.mount_follower import MountFollower
from watcher.sources.directory.part_status import describe_parts
from watcher.sources.directory.parts import PartMode
from watcher.sources.directory.scan import DirectoryScan
from watcher.sources.directory.tree import Tree
from watcher.sources.directory.unanswered import Unanswered
from watcher.sources.protocol import WithoutHints, WithoutObjects
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.directory.digest_readers import DigestReaders
    from watcher.sources.directory.port import Backend
    from watcher.sources.observations import Inspection, Observation
    from watcher.spec import DirectorySpec
    from watcher.status_values import PartStatus

ROOT_CHECK_S = 5.0
"""Seconds between two checks of the root: nothing notifies that a volume was mounted over it."""


class DirectorySource(WithoutObjects, WithoutHints):
    """Reads a directory; see ``protocol.Source``.

    Args:
        spec: What to watch.
        path_filter: Which paths count; excluded directories are neither read nor watched.
        backend: Opens files, follows mounts and notifies.
        clock: The time.
        within: Directories, free of links, that may be read; None allows any.
        node: See ``Root``.
        state: The server's state directory, which must not be watched: each event would cause the
            next.
        digest_readers: The threads that read contents; a spec that compares contents needs them.

    Attributes:
        place: Canonical URI.
        mode: ``notify`` or ``poll``, decided by ``open`` for the root.
    """

    def __init__(  # noqa: PLR0913 - all that a source is made of
        self,
        spec: DirectorySpec,
        path_filter: PathFilter,
        backend: Backend,
        clock: Clock,
        *,
        within: Sequence[str] | None,
        node: str | None = None,
        state: Path | None = None,
        digest_readers: DigestReaders | None = None,
    ) -> None:
        self.place = spec.place
        self.cost = None
        self.requests = 0
        self.has_cheap_inspection = True
        self.remark = ""
        self.mode = Mode.POLL.value
        self._tree = Tree(spec, path_filter, backend.files, within=within, node=node)
        self._clock = clock
        self._unanswered = Unanswered(clock)
        self._spec = spec
        self._state = state
        self._hints = HintQueue(spec)
        self._notifications = backend.notifications(self._tree, self._hints)
        self._mounts = MountFollower(
            self._tree, self._hints, self._notifications, backend.mounts(), clock
        )
        self._completeness = Completeness(self._tree, self._hints, self._mounts, clock)
        self._contents = Contents(
            spec,
            backend.files,
            self._hints,
            readers=digest_readers,
            within=within,
            has_stable_inodes=self.has_stable_inodes,
            clock=clock,
        )
        self._inspector = Inspector(
            self._tree, self._hints, self._mounts, self._completeness, self._contents, clock
        )
        self._root_due_s = 0.0
        self._is_subpath_logged = False

    @property
    def degraded(self) -> str:
        """Why changes are noticed later than configured, or not at all; empty if they are not."""
        reasons = [self._notifications.failure, *(part.reason for part in self._mounts.parts)]
        if unread := self._hints.unread.paths:
            more = "more than " if self._hints.unread.is_overfull else ""
            count = f"{more}{len(unread)} path{'s'[: len(unread) > 1]}"
            reasons.append(f"{count} cannot be read, such as {os.fsdecode(min(unread))!r}")
        reasons.append(self._contents.degraded)
        if subpaths := self._tree.subpaths:
            points = ", ".join(map(repr, subpaths))
            reasons.append(f"mounted with subPath, so not kept up to date: {points}")
        if outside := self._tree.links_outside:
            example = os.fsdecode(min(outside))
            reasons.append(
                f"links that lead out of what the server allows are left out, such as {example!r}"
            )
        return "; ".join(filter(None, reasons))

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans: the longer interval if everything is notified.

        What cannot be read is read again by itself, unless it is too much. Where notifications may
        be lost without a word, only a configuration that asks for them alone has that interval.
        """
        is_notified = (
            self.mode == Mode.NOTIFY
            and not self._notifications.failure
            and not self._hints.unread.is_overfull
            and (self._notifications.is_exact or self._spec.mode is Mode.NOTIFY)
        )
        return self._spec.rescan_interval_s if is_notified else self._spec.poll_interval_s

    @property
    def part_status(self) -> Sequence[PartStatus]:
        """See ``protocol.Source.part_status``."""
        return describe_parts(
            self._mounts.parts,
            self._tree.root.mount,
            mode=self._spec.mode,
            unnotified=self._notifications.failure,
        )

    @property
    def unanswered_s(self) -> float:
        """See ``protocol.Source.unanswered_s``."""
        return self._unanswered.seconds

    @property
    def volume_id(self) -> str:
        """Identity of the volume that holds the place, see ``volumes``; empty if unknown."""
        return self._tree.root.volume_id

    @property
    def only_node(self) -> str | None:
        """See ``protocol.Source.only_node``."""
        return self._tree.root.only_node

    def mount_point(self, path: bytes) -> bytes:
        """See ``protocol.Source.mount_point``."""
        return self._mounts.finder.part_at(path).point

    def is_remounted(self, path: bytes) -> bool:
        """See ``protocol.Source.is_remounted``."""
        return self._mounts.is_remounted(path)

    def has_stable_inodes(self, path: bytes) -> bool:
        """See ``protocol.Source.has_stable_inodes``."""
        mount = self._mounts.mount_at(path)
        return mount is None or mount.has_stable_inodes

    def has_stable_ctimes(self, path: bytes) -> bool:
        """See ``protocol.Source.has_stable_ctimes``."""
        mount = self._mounts.mount_at(path)
        return mount is None or mount.has_stable_ctimes

    def open(self, wake: Callable[[], None]) -> None:
        """See ``protocol.Source.open``."""
        with self._unanswered.asking():
            self._open(wake)

    def _open(self, wake: Callable[[], None]) -> None:
        self.close()
        self._tree.open()
        self._check_state_outside()
        self._log_subpaths()
        self.mode = Mode.POLL.value
        self._mounts.open(wake)
        self._contents.open(wake)
        is_hinted = self._mounts.parts.at(b"").mode is PartMode.NOTIFIED
        if is_hinted and self._notifications.is_active:
            self.mode = Mode.NOTIFY.value

    def close(self) -> None:
        """See ``protocol.Source.close``."""
        self._notifications.close()
        self._contents.close()
        self._mounts.close()
        self._hints.clear()

    def _check_state_outside(self) -> None:
        """Raise ConfigError if the server's state lies in what is watched."""
        if self._state is None:
            return
        relative = path_below(str(self._state), self._spec.path)
        if relative is None:
            return
        if not relative.name or (
            self._spec.recursive and self._tree.path_filter.admits_directory(os.fsencode(relative))
        ):
            hint = f'start the server with --state elsewhere, or add "{relative}/**" to exclude'
            raise ConfigError("the server keeps its state in there", place=self.place, hint=hint)

    def _log_subpaths(self) -> None:
        """Log once the mounts in which changes of a ConfigMap or Secret never appear."""
        if self._tree.subpaths and not self._is_subpath_logged:
            self._is_subpath_logged = True
            hint = "mount the whole volume: Kubernetes does not update what is mounted with subPath"
            structlog.get_logger("watcher").warning(
                "watch.subpath", place=self.place, mounts=self._tree.subpaths, hint=hint
            )

    # Scans

    def scan(self, prefix: bytes = b"") -> DirectoryScan:
        """See ``protocol.Source.scan``."""
        return DirectoryScan(
            prefix,
            self._tree,
            self._hints,
            self._mounts,
            self._notifications,
            self._completeness,
            self._unanswered,
            self._clock,
        )

    def without_outdated(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return all entries: a batch is compared before anything is inspected."""
        return list(entries)

    def complete(self, entries: Sequence[Entry], read_ns: int | None = None) -> list[Entry]:
        """See ``protocol.Source.complete``."""
        now_s = self._clock.monotonic()
        if read_ns is not None:
            self._completeness.batch_begun_ns = read_ns
        with self._unanswered.asking():
            # A write before the reading has been notified: it is reported once, through its hint.
            self._notifications.read(now_s)
            return self._completeness.sort_out(entries, now_s)

    # Mounts

    @property
    def volumes(self) -> Mapping[bytes, str]:
        """See ``protocol.Source.volumes``."""
        return self._mounts.parts.known

    @property
    def new_volumes(self) -> Mapping[bytes, str]:
        """See ``protocol.Source.new_volumes``."""
        return self._mounts.parts.new

    def expect_volumes(self, known: Mapping[bytes, str] | None) -> None:
        """See ``protocol.Source.expect_volumes``."""
        self._mounts.finder.expect(known)

    def accept_volumes(self) -> None:
        """See ``protocol.Source.accept_volumes``."""
        self._mounts.accept()

    def hidden_by(self, point: bytes) -> Collection[bytes]:
        """See ``protocol.Source.hidden_by``."""
        return self._mounts.finder.hidden_by(point)

    def notifies(self, path: bytes) -> bool:
        """See ``protocol.Source.notifies``."""
        return self._mounts.notifies(path)

    # Contents

    def digest(
        self, entries: Sequence[Entry], attributes_only: Collection[bytes] = ()
    ) -> list[Entry]:
        """See ``protocol.Source.digest``."""
        return self._contents.add(entries, attributes_only)

    def learn_digests(self, entries: Sequence[Entry]) -> None:
        """See ``protocol.Source.learn_digests``."""
        self._contents.learn(entries)

    @property
    def is_digesting_idle(self) -> bool:
        """Whether no content waits to be read."""
        return self._contents.is_idle

    # Hints

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """See ``protocol.Source.recheck``."""
        self._hints.recheck(paths, self._clock.monotonic(), expected_ctime_ns)

    def known_until_s(self, prefix: bytes) -> float:
        """See ``protocol.Source.known_until_s``: polled parts are scanned, links are checked."""
        return min(self._mounts.known_until_s(prefix), self._hints.links_checked_s)

    def unsettled(self) -> Iterator[bytes]:
        """See ``protocol.Source.unsettled``."""
        self._notifications.read(self._clock.monotonic())
        yield from self._hints.unsettled()
        yield from self._contents.unsettled()
        yield from self._mounts.parts.unread

    def due_in_s(self) -> float:
        """See ``protocol.Source.due_in_s``."""
        due_s = min(
            self._root_due_s, self._hints.due_s(), self._mounts.due_s(), self._contents.due_s()
        )
        return max(0.0, due_s - self._clock.monotonic())

    def observe(self) -> Iterator[Observation]:
        """See ``protocol.Source.observe``."""
        return self._unanswered.asking_each(self._observe())

    def _observe(self) -> Iterator[Observation]:
        now_s = self._clock.monotonic()
        if now_s >= self._root_due_s:
            self._root_due_s = now_s + ROOT_CHECK_S
            self._tree.root.check()
        self._mounts.poll(now_s, Mode(self.mode))
        self._mounts.follow()
        self._notifications.read(now_s)
        self._notifications.expire_renames(now_s)
        yield from self._contents.observe(now_s, self.inspect)
        for request in self._hints.take(now_s):
            if isinstance(request, DuePaths):
                pause()
                yield self._inspector.inspect_due(request)
            else:
                yield request

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """See ``protocol.Source.inspect``."""
        with self._unanswered.asking():
            return self._inspector.inspect(paths)

    def confirm_deleted(
        self,
        paths: Sequence[bytes],
        missed_before: Collection[bytes] = (),  # noqa: ARG002 - each path can be inspected
    ) -> Sequence[bytes]:
        """See ``protocol.Source.confirm_deleted``; a file that is there is rechecked.

        It was renamed or created while the scan ran.
        """
        inspection = self.inspect(paths)
        self.recheck(entry.path for entry in inspection.entries)
        return inspection.gone

    def release(self, prefix: bytes) -> None:
        """See ``protocol.Source.release``."""
        self._mounts.release(prefix, self.place)
