"""Decides whether a stream, replayed, is the directory: whatever is done to real files, with the kernel's notifications or without them.

The default run tells the same histories each time; ``make deep EXAMPLES=2000 ARGS=--timeout=0`` looks for others, and far.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

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
from support.clock import DiskClock
from support.examples import examples
from support.state import open_store
from support.wiring import FallibleOutbox, PowerFailure
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Reconciler
from watcher.filters.path_filter import PathFilter
from watcher.model import ChangeType, Entry
from watcher.sources.directory import inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import DirectorySpec, Mode, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.model import ChangeSet
    from watcher.sources.directory.inotify import Inotify
    from watcher.sources.protocol import Inspection

    Version: TypeAlias = tuple[int, int, int]  # size, mtime in nanoseconds, inode
    Operation: TypeAlias = tuple[str, int, bytes]

EXAMPLES = examples(25)
STEPS = 40
DEADLINE_S = 10.0
CAP_S = 1300.0
"""Longer than the longest time for which a path that gets no rest can wait, at the longest settle time drawn here."""
LEAPS = 6
"""A hint can lead to a second look, and that to a third; each waits once."""


class JumpySource(DirectorySource):
    """The source, with something happening to the files at the moments when it reads."""

    happen: Callable[[], None] = staticmethod(lambda: None)

    def watch(self, prefix: bytes, directory: int) -> None:
        """See ``DirectorySource``."""
        self.happen()
        super().watch(prefix, directory)
        self.happen()

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """See ``DirectorySource``."""
        self.happen()
        return super().inspect(paths)


class StrictOutbox(FallibleOutbox):
    """The outbox, with a look at each step: whether it changes anything."""

    before: Callable[[ChangeSet], None] = staticmethod(lambda _step: None)

    def commit(self, step: ChangeSet) -> None:
        """See ``Outbox``."""
        self.before(step)
        super().commit(step)


class Watching(RuleBasedStateMachine):
    """A directory, the watch of it step by step, and a client of its stream.

    Args:
        notifications: Of the kernel.
        mode: How the directory is watched.
        kinds: What is done to files.
    """

    def __init__(self, notifications: Inotify, mode: Mode, kinds: Sequence[str]) -> None:
        super().__init__()
        self._notifications = notifications
        self._mode = mode
        self._kinds = kinds
        self._directory = tempfile.TemporaryDirectory()
        self._disk = Disk(os.path.realpath(os.fsencode(self._directory.name)) + b"/")
        self._clock = DiskClock()
        self._settle_s = 0.0
        self._intrusions: list[Operation | None] = []
        self._barriers = 0
        # Whether a difference in ctime alone may be told: its reason was lost or is not heard of, or it was a rename.
        self._is_doubtful = mode is Mode.POLL
        self.is_up = False

    def teardown(self) -> None:
        """Compare once more, then remove everything."""
        try:
            if self.is_up:
                self.compare(is_scanned=False)
        finally:
            if self.is_up:
                self._end()
            self._disk.release()
            self._directory.cleanup()

    # The watch

    def _start(self) -> None:
        """Begin on the state file, as a new process does."""
        spec = DirectorySpec(
            os.fsdecode(self._disk.root[:-1]), settle_s=self._settle_s, mode=self._mode
        )
        self.store = open_store(self._state())
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.source = JumpySource(
            spec, PathFilter(FILTER), lambda: self._notifications, self._clock, within=None
        )
        self.outbox = StrictOutbox(
            Spec(spec), self.store, time_ns=lambda: 0, clock=lambda: 0.0, committed=lambda: None
        )
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_row)
        self.reconciler = Reconciler(
            self.source,
            self.store.index,
            self.detector,
            self.outbox,
            lambda _count: None,
            self._clock,
        )
        self.source.happen, self.outbox.before = self._intrude, self._before_commit
        self.source.open(lambda: None)
        self.is_up = True

    def _state(self) -> Path:
        return Path(self._directory.name, "state.db")

    def _end(self) -> None:
        """End as a killed process does: the kernel closes what it had open."""
        self.is_up = False
        self.source.close()
        self.store.close()

    def _intrude(self) -> None:
        if self._intrusions and (operation := self._intrusions.pop(0)) is not None:
            self._do(operation)
            self._hear()

    def _before_commit(self, step: ChangeSet) -> None:
        self._intrude()
        self._check_changes(step)

    def _check_changes(self, step: ChangeSet) -> None:
        """Make sure that nothing is told of a file that is as it was last told."""
        paths = [
            path
            for change in step.changes
            for path in (change.old_path, change.entry.path)
            if path is not None
        ]
        told: dict[bytes, Entry] = {
            path: row.entry for path, row in self.store.index.rows(paths).items()
        }
        for change in step.changes:
            path, entry = change.entry.path, change.entry
            if change.type is ChangeType.MOVED:
                assert change.old_path is not None
                told[path] = told.pop(change.old_path)._replace(path=path)
            elif change.type is ChangeType.MODIFIED:
                assert told[path] != entry, change
                is_same = told[path]._replace(ctime_ns=entry.ctime_ns) == entry
                assert (
                    not is_same
                    or self._is_doubtful
                    or entry.is_link
                    or not self._disk.is_plain(path)
                ), change
                told[path] = entry

    @contextmanager
    def _disturbed(self, intrusions: list[Operation | None], commits: int | None) -> Iterator[None]:
        """Let operations happen in between, and power fail after so many commits."""
        self._intrusions, self.outbox.commits_left = list(intrusions), commits
        try:
            yield
        except PowerFailure:
            self._end()
            self._is_doubtful = True
        finally:
            self._intrusions, self.outbox.commits_left = [], None

    def _hear(self) -> None:
        """Wait until the kernel has told everything that happened so far: it keeps the order, so a last event shows it."""
        if not self.is_up or self.source._events is None or b"" not in self.source._events.watches:
            return
        self._barriers += 1
        name = b".barrier%d" % self._barriers
        inbox = self.source._events.watches.inbox
        os.close(os.open(self._disk.root + name, os.O_WRONLY | os.O_CREAT))
        os.unlink(self._disk.root + name)  # noqa: PTH108 - a path in bytes
        end_s = time.monotonic() + DEADLINE_S
        while not any(
            event.name == name and event.mask & inotify.DELETE
            for event in reversed(list(inbox._events))
        ):
            assert time.monotonic() < end_s, "the kernel tells nothing"
            time.sleep(0.0002)

    def _observe(self) -> None:
        for observation in self.source.observe():
            self.reconciler.apply(observation)
        if self.reconciler.rescan_reason:
            self.reconciler.rescan_reason = None
            self.reconciler.scan(is_baseline=False)

    def _do(self, operation: Operation) -> None:
        # A rename changes the ctime of a file, and one that was renamed there and back has no other difference.
        self._is_doubtful |= operation[0] in {"rename", "exchange"}
        self._disk.perform(operation)

    def _rest(self) -> None:
        """Let time pass until nothing waits any more."""
        self._hear()
        for _ in range(LEAPS):
            self._clock.advance(CAP_S)
            self._observe()

    def _compare(self, files: dict[bytes, Version]) -> None:
        """Replay what was told, and hold it against files and index."""
        for payload in self.store.journal.read(self.replica.seq, limit=10_000, max_bytes=1 << 30):
            self.replica.take(payload.data)
        assert self.replica.seq == self.store.journal.next_seq - 1
        index = {
            row.entry.path: row.entry for page in self.store.index.rows_under(b"") for row in page
        }
        assert self.replica.files.keys() == index.keys()
        assert self.store.index.entries == len(index)
        told = {
            path: (*self.replica.files[path], entry.inode)
            for path, entry in index.items()
            if path in files or self._disk.is_plain(path)
        }
        there = {
            path: version
            for path, version in files.items()
            if path in index or self._disk.is_plain(path)
        }
        assert told == there

    # Rules

    @initialize(data=st.data(), settle_s=st.sampled_from([0.0, 60.0]))
    def begin(self, data: st.DataObject, settle_s: float) -> None:
        """Record what is there; the client is told of it by other means."""
        self._settle_s = settle_s
        for name in data.draw(st.lists(st.sampled_from(FILES), min_size=4, unique=True)):
            self._disk.perform(("write", 0, name))
        for operation in data.draw(st.lists(operations(self._kinds), max_size=4)):
            self._disk.perform(operation)
        self._start()
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        self.replica = Replica(self._disk.files())
        self._compare(self._disk.files())

    @rule(data=st.data())
    def operate(self, data: st.DataObject) -> None:
        """Do some things to files."""
        for operation in data.draw(st.lists(operations(self._kinds), min_size=1, max_size=4)):
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
        heard=st.sampled_from([1.0, 1.0, 0.5, 0.8]),
        commits=st.none() | st.integers(0, 4),
    )
    def observe(self, data: st.DataObject, heard: float, commits: int | None) -> None:
        """Take in what was heard, or the first part of it, while more happens or power fails."""
        intrusions = data.draw(st.lists(st.none() | operations(self._kinds), max_size=4))
        self._hear()
        inbox = self.source._events.watches.inbox if self.source._events else None
        late = []
        if inbox is not None:
            with inbox._lock:
                cut = int(len(inbox._events) * heard)
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
        """Scan everything, while more happens or power fails."""
        intrusions = data.draw(st.lists(st.none() | operations(self._kinds), max_size=8))
        self._hear()
        with self._disturbed(intrusions, commits):
            self.reconciler.scan(is_baseline=False)

    @precondition(lambda self: self.is_up and self.source._events)
    @rule(data=st.data(), start=st.integers(0, 20), count=st.integers(1, 20))
    def lose(self, data: st.DataObject, start: int, count: int) -> None:
        """Do some things to files and lose some of what was heard, as a full queue does."""
        self.operate(data)
        self._hear()
        assert self.source._events is not None
        inbox = self.source._events.watches.inbox
        with inbox._lock:
            start %= len(inbox._events) or 1
            del inbox._events[start : start + count]
        inbox.on_queue_overflow()
        self._is_doubtful = True

    @precondition(lambda self: self.is_up)
    @rule()
    def crash(self) -> None:
        """Lose everything but the files and the state file."""
        self._end()
        self._is_doubtful = True

    @precondition(lambda self: not self.is_up)
    @rule(data=st.data(), commits=st.none() | st.integers(0, 4))
    def restart(self, data: st.DataObject, commits: int | None) -> None:
        """Go on from the state file: a scan comes first."""
        intrusions = data.draw(st.lists(st.none() | operations(self._kinds), max_size=8))
        self._start()
        with self._disturbed(intrusions, commits):
            self.reconciler.scan(is_baseline=False)

    @precondition(lambda self: self.is_up)
    @rule(is_scanned=st.booleans())
    def compare(self, *, is_scanned: bool) -> None:
        """When all is quiet the client knows what is there; what links lead to, and what is polled, after a scan."""
        self._disk.release()
        self._is_doubtful |= self._mode is Mode.POLL
        self._rest()
        if self._mode is Mode.NOTIFY:
            self._compare(
                {
                    path: version
                    for path, version in self._disk.files().items()
                    if self._disk.is_plain(path)
                }
            )
        if is_scanned or self._mode is Mode.POLL:
            self.reconciler.scan(is_baseline=False)
            self._rest()
            self._compare(self._disk.files())
        self._is_doubtful = self._mode is Mode.POLL


@pytest.mark.parametrize("kinds", [UNLINKED, LINKED], ids=["files", "links"])
@pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])
def test_the_stream_replayed_is_the_directory(
    notifications: Inotify, mode: Mode, kinds: list[str]
) -> None:
    """Through lost hints, crashes and changes at any moment, the events replayed from the baseline give the files; none tells nothing."""
    run_state_machine_as_test(
        # Whatever makes a machine will do, although the annotation asks for a class.
        partial(Watching, notifications, mode, kinds),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
