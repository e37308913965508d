"""A stream, replayed, is the directory: whatever happens to real files, notified or polled.

The default run repeats the same histories; ``make deep EXAMPLES=2000 ARGS=--timeout=0`` searches
for others.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from property.disk import FILES, FILTER, LINKED, UNLINKED, Disk, Replica, operations
from property.groups import GroupModel
from property.plain_conditions import is_marker, is_open
from property.stepwise_observer import StepwiseObserver
from support.clock import DiskClock
from support.examples import examples
from support.state import open_store
from support.wiring import FallibleOutbox, PowerFailure, reader_of
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.groups import GroupRecorder
from watcher.changes.reconciler import Reconciler
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.markers import filter_of
from watcher.model import ChangeSet, ChangeType, Entry
from watcher.sources.directory.linux import inotify
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.portable.backend import PortableBackend
from watcher.sources.directory.scan import DirectoryScan
from watcher.sources.directory.source import DirectorySource
from watcher.sources.observations import Inspection
from watcher.spec import Conditions, DirectorySpec, Group, Mode, Spec
from watcher.watch.groups import GroupCompletion

Version: TypeAlias = tuple[int, int, int]  # size, mtime in nanoseconds, inode
Operation: TypeAlias = tuple[str, int, bytes]


NO_CONDITIONS = Conditions()
EXAMPLES = examples(12)
STEPS = 40
DEADLINE_S = 60.0
CAP_S = 3700.0
"""Longer than any path waits that never rests: ``max_wait`` is an hour."""
GROUP_QUIET_S = 30.0
LEAPS = 6
"""A hint can lead to a recheck, and that to another one; each waits once."""


class JumpyScan(DirectoryScan):
    """A scan, with operations on files before and after it comes to each directory."""

    happen: Callable[[], None] = staticmethod(lambda: None)

    def _watch(self, prefix: bytes, directory: int) -> None:
        self.happen()
        super()._watch(prefix, directory)
        self.happen()


class JumpySource(DirectorySource):
    """The source, with operations on files at the moments when it reads."""

    happen: Callable[[], None] = staticmethod(lambda: None)

    def scan(self, prefix: bytes = b"") -> JumpyScan:
        scan = JumpyScan(
            prefix,
            self._tree,
            self._hints,
            self._mounts,
            self._notifications,
            self._completeness,
            self._unanswered,
            self._clock,
        )
        scan.happen = self.happen
        return scan

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        self.happen()
        return super().inspect(paths)


class StrictOutbox(FallibleOutbox):
    """The outbox, with a check before each commit."""

    before: Callable[[ChangeSet], None] = staticmethod(lambda _found: None)

    def commit(self, found: ChangeSet) -> None:
        self.before(found)
        super().commit(found)


class Watching(RuleBasedStateMachine):
    """A directory, the watch of it step by step, and a client of its stream.

    Args:
        notifications: The kernel's notifications.
        mode: How the directory is watched.
        kinds: Operations on files.
        conditions: What a file must satisfy to be reported.
        is_portable: The portable backend watches: scans decide, as when polled, and its observer
            reports all that has changed, or the first of it.
    """

    def __init__(
        self,
        notifications: Inotify,
        mode: Mode,
        kinds: Sequence[str],
        conditions: Conditions = NO_CONDITIONS,
        *,
        is_portable: bool = False,
    ) -> None:
        super().__init__()
        self._is_portable = is_portable
        self._observer = StepwiseObserver()
        self._conditions = conditions
        marker = (conditions.marker or "").removeprefix("{name}").encode()
        self._names = [path + marker for path in FILES] if marker != b"b" and marker else []
        self._notifications = notifications
        self._monitor = MountMonitor()
        self._mode = mode
        self._kinds = kinds
        self._directory = tempfile.TemporaryDirectory()
        self._disk = Disk(os.path.realpath(os.fsencode(self._directory.name)) + b"/")
        self._clock = DiskClock()
        self._settle_s = 0.0
        self._group = Group(quiet_s=GROUP_QUIET_S)
        self._changed_s: dict[str | None, float] = {}
        self._is_scanned = False
        self._intrusions: list[Operation | None] = []
        self._barriers = 0
        # Whether a ctime alone may be reported: without an event of it, or after a rename.
        self._may_report_ctime = mode is Mode.POLL
        self.is_up = False

    def teardown(self) -> None:
        """Compare once more, then remove everything."""
        try:
            if self.is_up:
                self.compare(is_scanned=False)
        finally:
            if self.is_up:
                self._end()
            self._monitor.close()
            self._disk.release()
            self._directory.cleanup()

    # The watch

    def _start(self) -> None:
        """Start on the state file, as a new process does."""
        spec = DirectorySpec(
            os.fsdecode(self._disk.root[:-1]),
            settle_s=self._settle_s,
            mode=Mode.AUTO if self._is_portable else self._mode,
        )
        self.store = open_store(self._state())
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.source = JumpySource(
            spec,
            filter_of(Spec(spec, filter=FILTER, conditions=self._conditions)),
            PortableBackend(self._make_observer)
            if self._is_portable
            else LinuxBackend(lambda: self._notifications, self._monitor),
            self._clock,
            within=None,
        )
        self.outbox = StrictOutbox(
            Spec(spec), self.store, clock=self._clock, publish=lambda *_: None
        )
        recorder = GroupRecorder(
            self._group, b"", frozenset(ChangeType), self.store.groups, self._clock
        )
        self.groups = GroupCompletion(self._group, self.store, self.source, self.outbox, recorder)
        self.groups.resume()
        self._is_scanned = False
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_rows)
        self.reconciler = Reconciler(
            self.source,
            self.store.index,
            self.detector,
            self.outbox,
            lambda _count: None,
            self._clock,
            recorder,
            conditions=self._conditions,
        )
        self.source.happen, self.outbox.before = self._intrude, self._before_commit
        self.source.open(lambda: None)
        self.is_up = True

    def _state(self) -> Path:
        return Path(self._directory.name, "state.db")

    def _end(self) -> None:
        """End as a killed process does: the kernel closes its descriptors."""
        self.is_up = False
        self.source.close()
        self.store.close()

    def _intrude(self) -> None:
        if self._intrusions and (operation := self._intrusions.pop(0)) is not None:
            self._do(operation)
            self._read_kernel()

    def _before_commit(self, found: ChangeSet) -> None:
        self._intrude()
        self._check_changes(found)
        self._check_rest(found)

    def _check_rest(self, found: ChangeSet) -> None:
        """Check that no group is completed in which something changed a moment ago."""
        now_s = self._clock.monotonic()
        for change in found.changes:
            path = os.fsdecode(change.entry.path)
            if change.type is ChangeType.COMPLETED:
                assert now_s - self._changed_s[path] >= GROUP_QUIET_S, change
            else:
                self._changed_s[self.model.group_of(path)] = now_s

    def _check_changes(self, found: ChangeSet) -> None:
        """Check that no file is reported that is as it was last reported."""
        paths = [
            path
            for change in found.changes
            for path in (change.old_path, change.entry.path)
            if path is not None
        ]
        reported: dict[bytes, Entry] = {
            path: row.entry for path, row in self.store.index.rows(paths).items()
        }
        for change in found.changes:
            path, entry = change.entry.path, change.entry
            if change.type is ChangeType.MOVED:
                assert change.old_path is not None
                reported[path] = reported.pop(change.old_path)._replace(path=path)
            elif change.type is ChangeType.MODIFIED:
                assert reported[path] != entry, change
                is_same = reported[path]._replace(ctime_ns=entry.ctime_ns) == entry
                assert (
                    not is_same
                    or self._may_report_ctime
                    or entry.is_link
                    or not self._disk.is_plain(path)
                ), change
                reported[path] = entry

    @contextmanager
    def _disturbed(self, intrusions: list[Operation | None], commits: int | None) -> Iterator[None]:
        """Let operations happen in between, and power fail after a number of commits."""
        self._intrusions, self.outbox.commits_left = list(intrusions), commits
        try:
            yield
        except PowerFailure:
            self._end()
            self._may_report_ctime = True
        finally:
            self._intrusions, self.outbox.commits_left = [], None

    def _make_observer(self) -> StepwiseObserver:
        self._observer = StepwiseObserver()
        return self._observer

    @property
    def _has_reader(self) -> bool:
        """Whether the kernel's own events are read here."""
        return self.source._notifications.is_exact and self.source._notifications.is_active

    def _read_kernel(self, share: float = 1.0) -> None:
        """Wait until all events so far are in the inbox: the kernel keeps their order."""
        if self.is_up and self._is_portable:
            self._observer.report(share)
        if not self.is_up or not self._has_reader or b"" not in reader_of(self.source).watches:
            return
        self._barriers += 1
        name = b".barrier%d" % self._barriers
        inbox = reader_of(self.source).watches.inbox
        os.close(os.open(self._disk.root + name, os.O_WRONLY | os.O_CREAT))
        os.unlink(self._disk.root + name)  # noqa: PTH108 - a path in bytes
        end_s = time.monotonic() + DEADLINE_S
        while not any(
            event.name == name and event.mask & inotify.DELETE
            for event in reversed(list(inbox._events))
        ):
            assert time.monotonic() < end_s, "no event from the kernel"
            time.sleep(0.0002)

    def _observe(self) -> None:
        for observation in self.source.observe():
            self.reconciler.apply(observation)
            if not isinstance(observation, Inspection):
                self.groups.expedite()
        if self.reconciler.rescan_reason:
            self.reconciler.rescan_reason = None
            self._scan()
        if self._is_scanned:
            self.groups.complete_due(lambda _count: None)

    def _scan(self) -> None:
        self.reconciler.scan(is_baseline=False)
        self._is_scanned = True
        self.groups.expedite()
        self.groups.complete_due(lambda _count: None)

    def _rest_groups(self) -> None:
        """Let time pass until every group is completed that has changed, and check that it is."""
        for _ in range(LEAPS // 2):
            self._clock.advance(GROUP_QUIET_S)
            if self._mode is Mode.POLL:
                self._scan()
            self._observe()
        self._replay()
        assert self.model.unfinished() == {}

    def _do(self, operation: Operation) -> None:
        # It changes the ctime of a file, the only difference after a rename there and back.
        self._may_report_ctime |= operation[0] in {"rename", "exchange"}
        self._disk.perform(operation)

    def _rest(self) -> None:
        """Let time pass until nothing waits any more."""
        self._read_kernel()
        for _ in range(LEAPS):
            self._clock.advance(CAP_S)
            self._observe()

    def _replay(self, files: dict[bytes, Version] | None = None) -> None:
        """Replay the stream.

        Args:
            files: All files, if nothing has changed since the last call.
        """
        admitted = None if files is None else {path.decode() for path in self._open(files)}
        for payload in self.store.journal.read(self.replica.seq, limit=10_000, max_bytes=1 << 30):
            self.replica.take(payload.data)
            event = json.loads(payload.data)
            self.model.take(event)
            assert (
                admitted is None
                or event["type"] in {"deleted", "completed"}
                or event["path"] in admitted
            )
        assert self.replica.seq == self.store.journal.next_seq - 1

    def _compare(self, files: dict[bytes, Version]) -> None:
        """Replay the stream, and compare it with the files and the index."""
        self._replay()
        rows = [row for page in self.store.index.rows_under(b"") for row in page]
        index = {row.entry.path: row.entry for row in rows if not row.is_unreported}
        assert self.replica.files.keys() == index.keys()
        assert self.store.index.entries == len(rows)
        assert self.store.index.gates == Counter(row.gate for row in rows if row.gate)
        if self._conditions is not NO_CONDITIONS:
            held_back = {row.entry.path for row in rows if row.is_unreported}
            assert index.keys() | held_back == files.keys()
            assert held_back.isdisjoint(index)
            files = self._open(files)
            assert files.keys() <= index.keys()
            index = {path: entry for path, entry in index.items() if path in files}
        reported = {
            path: (*self.replica.files[path], entry.inode)
            for path, entry in index.items()
            if path in files or self._disk.is_plain(path)
        }
        there = {
            path: version
            for path, version in files.items()
            if path in index or self._disk.is_plain(path)
        }
        assert reported == there

    def _open(self, files: dict[bytes, Version]) -> dict[bytes, Version]:
        """Return the files that conditions do not hold back."""
        there = {path.decode() for path in files}
        return {
            path: version
            for path, version in files.items()
            if not is_marker(self._conditions, path.decode())
            and is_open(self._conditions, path.decode(), version[0], there)
        }

    # Rules

    @initialize(
        data=st.data(), settle_s=st.sampled_from([0.0, 60.0]), depth=st.sampled_from([0, 1, 1, 2])
    )
    def begin(self, data: st.DataObject, settle_s: float, depth: int) -> None:
        """Record the existing files, which the client knows."""
        self._settle_s = settle_s
        self._group = Group(depth, GROUP_QUIET_S)
        self.model = GroupModel(depth)
        for name in data.draw(st.lists(st.sampled_from(FILES), min_size=4, unique=True)):
            self._disk.perform(("write", 0, name))
        for operation in data.draw(st.lists(operations(self._kinds, self._names), max_size=4)):
            self._disk.perform(operation)
        self._start()
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self._is_scanned = True
        self.detector.appearance = lambda _path: Appearance.NEW
        self.replica = Replica(self._open(self._disk.files()))
        self.model.begin(
            {os.fsdecode(path): version[0] for path, version in self.replica.files.items()}
        )
        self._compare(self._disk.files())

    @rule(data=st.data())
    def operate(self, data: st.DataObject) -> None:
        """Perform some operations."""
        for operation in data.draw(
            st.lists(operations(self._kinds, self._names), min_size=1, max_size=4)
        ):
            self._do(operation)

    @rule()
    def release(self) -> None:
        """Close the files that are held open."""
        self._disk.release()

    @rule(seconds=st.sampled_from([0.01, 0.1, 6.0, 61.0, CAP_S]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.advance(seconds)

    @precondition(lambda self: self.is_up)
    @rule(
        data=st.data(),
        read_share=st.sampled_from([1.0, 1.0, 0.5, 0.8]),
        commits=st.none() | st.integers(0, 4),
    )
    def observe(self, data: st.DataObject, read_share: float, commits: int | None) -> None:
        """Read the events, or the first of them, while operations happen or power fails."""
        intrusions = data.draw(
            st.lists(st.none() | operations(self._kinds, self._names), max_size=4)
        )
        self._read_kernel(read_share)
        inbox = reader_of(self.source).watches.inbox if self._has_reader else None
        late = []
        if inbox is not None:
            with inbox._lock:
                cut = int(len(inbox._events) * read_share)
                inbox._events, late = inbox._events[:cut], inbox._events[cut:]
        if late:
            intrusions = []
        with self._disturbed(intrusions, commits):
            self._observe()
        if inbox is not None:
            with inbox._lock:
                inbox._events[:0] = late

    @precondition(lambda self: self.is_up)
    @rule(data=st.data(), commits=st.none() | st.integers(0, 4))
    def scan(self, data: st.DataObject, commits: int | None) -> None:
        """Scan everything, while operations happen or power fails."""
        intrusions = data.draw(
            st.lists(st.none() | operations(self._kinds, self._names), max_size=8)
        )
        self._read_kernel()
        with self._disturbed(intrusions, commits):
            self._scan()

    @precondition(lambda self: self.is_up and self._has_reader)
    @rule(data=st.data(), start=st.integers(0, 20), count=st.integers(1, 20))
    def lose(self, data: st.DataObject, start: int, count: int) -> None:
        """Perform some operations and lose some of their events, as a full queue does."""
        self.operate(data)
        self._read_kernel()
        inbox = reader_of(self.source).watches.inbox
        with inbox._lock:
            start %= len(inbox._events) or 1
            del inbox._events[start : start + count]
        inbox.on_queue_overflow()
        self._may_report_ctime = True

    @precondition(lambda self: self.is_up)
    @rule()
    def crash(self) -> None:
        """Lose everything but the files and the state file."""
        self._end()
        self._may_report_ctime = True

    @precondition(lambda self: not self.is_up)
    @rule(data=st.data(), commits=st.none() | st.integers(0, 4))
    def restart(self, data: st.DataObject, commits: int | None) -> None:
        """Go on from the state file; a scan comes first."""
        intrusions = data.draw(
            st.lists(st.none() | operations(self._kinds, self._names), max_size=8)
        )
        self._start()
        with self._disturbed(intrusions, commits):
            self._scan()

    @precondition(lambda self: self.is_up)
    @rule(is_scanned=st.booleans())
    def compare(self, *, is_scanned: bool) -> None:
        """Compare once all is quiet; targets of links and polled files after a scan."""
        self._disk.release()
        self._may_report_ctime |= self._mode is Mode.POLL
        self._replay()
        self._rest()
        self._replay(self._disk.files())
        if self._mode is Mode.NOTIFY:
            self._compare(
                {
                    path: version
                    for path, version in self._disk.files().items()
                    if self._disk.is_plain(path)
                }
            )
        if is_scanned or self._mode is Mode.POLL:
            self._scan()
            self._rest()
            self._replay(self._disk.files())
            self._compare(self._disk.files())
        self._rest_groups()
        self._may_report_ctime = self._mode is Mode.POLL


CONDITIONS = [
    Conditions(marker="b", min_size=3),
    Conditions(marker="{name}.done"),
    Conditions(min_size=5, max_size=20),
]


@pytest.mark.parametrize("conditions", CONDITIONS, ids=["shared", "named", "sizes"])
@pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])
def test_what_conditions_admit_is_reported(
    notifications: Inotify, mode: Mode, conditions: Conditions
) -> None:
    """And nothing else is, whatever comes first and however often markers come and go."""
    run_histories(partial(Watching, notifications, mode, UNLINKED, conditions))


@pytest.mark.parametrize("kinds", [UNLINKED, LINKED], ids=["files", "links"])
@pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])
def test_the_stream_replayed_is_the_directory(
    notifications: Inotify, mode: Mode, kinds: list[str]
) -> None:
    """Through lost events, crashes and operations at any moment; no event is superfluous."""
    run_histories(partial(Watching, notifications, mode, kinds))


def run_histories(make_machine: Callable[[], Watching]) -> None:
    run_state_machine_as_test(
        # Any callable that returns a machine works; the annotation asks for a class.
        make_machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
