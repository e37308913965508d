"""Decides whether a stream, replayed, is the directory: whatever is done to real files, with the kernel's notifications or without them.

The default run tells the same histories each time; ``make deep EXAMPLES=2000 ARGS=--timeout=0`` looks for others, and far.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from watcher.model import ChangeType, Entry
from watcher.patterns import PathFilter
from watcher.reconciler import Reconciler
from watcher.sources import inotify
from watcher.sources.directory import DirectorySource
from watcher.spec import DirectorySpec, Filter, Mode, Spec
from watcher.store import Store
from watcher.tracker import Appearance, Tracker
from wiring import FallibleOutbox, PowerFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.sources.base import Looks
    from watcher.sources.inotify import Inotify
    from watcher.tracker import Step

    Version: TypeAlias = tuple[int, int, int]  # size, mtime in nanoseconds, inode
    Operation: TypeAlias = tuple[str, int, bytes]

EXAMPLES = int(os.environ.get("DEEP_EXAMPLES", "25"))
STEPS = 40
DEADLINE_S = 10.0
CAP_S = 1300.0
"""Longer than the longest time for which a path that gets no rest can wait, at the longest settle time drawn here."""
LEAPS = 6
"""A hint can lead to a second look, and that to a third; each waits once."""

FILTER = Filter(exclude=("*.tmp", "skip/", ".barrier*"))
# What is a file now can be a directory later. ``out`` is not watched.
ROOT, OUTSIDE = b"root/", b"out/"
DIRECTORIES = [b"root/d", b"root/d/e", b"root/x", b"root/skip", b"out/d"]
FILES = [b"root/a", b"root/b", b"root/b.tmp", b"root/d/a", b"root/d/e/a", b"root/x/a", b"root/skip/a", b"out/a", b"out/d/a"]
UNLINKED = ["write", "append", "hold", "replace", "rename", "exchange", "unlink", "recreate", "mkdir", "rmtree", "chmod", "utime"]
LINKED = [*UNLINKED, "symlink", "retarget", "loop"]

TIMES_NS = [10**18, 10**18 + 1, 4 * 10**18]
AT_FDCWD, RENAME_EXCHANGE = -100, 2
libc = ctypes.CDLL(None, use_errno=True)

names = st.sampled_from([*FILES, *DIRECTORIES])
NEEDS_NOTHING = {"write", "hold", "mkdir", "symlink", "loop"}


def operations(kinds: Sequence[str]) -> st.SearchStrategy[Operation]:
    """Return a strategy of things to do to files; renames, which have most to go wrong, come often."""
    return st.tuples(st.sampled_from([*kinds, "rename", "rename"]), st.integers(0, 31), names)


class Disk:
    """A watched and an unwatched directory side by side, and what can be done to them.

    No two contents have the same size: two writes within one tick of the file system's clock could not be told apart.
    """

    def __init__(self, base: bytes) -> None:
        self.root = base + ROOT
        self._base = base
        self._size_bytes = 0
        self._held: list[int] = []
        os.mkdir(base + ROOT)
        os.mkdir(base + OUTSIDE)

    def perform(self, operation: Operation) -> None:
        """Do something, or nothing where it cannot be done.

        Args:
            operation: What to do; to which of the things that are there, by its number; and a name, which may be free.
        """
        kind, number, name = operation
        there = sorted(self._everything(self._base))
        some = there[number % len(there)] if there else self._base + name
        with suppress(OSError):
            if kind in NEEDS_NOTHING:
                getattr(self, f"_{kind}")(self._base + name, some)
            else:
                other = there[len(name) * number % len(there)] if kind == "exchange" and there else self._base + name
                getattr(self, f"_{kind}")(some, other)

    def _everything(self, directory: bytes) -> Iterator[bytes]:
        """Yield what is there by its own path, but for the two directories themselves."""
        for parent, directories, files in os.walk(directory):
            if parent != directory:
                yield from (os.path.join(parent, name) for name in directories + files if not name.startswith(b".barrier"))

    def release(self) -> None:
        """Close the files that are held open."""
        while self._held:
            os.close(self._held.pop())

    def files(self) -> dict[bytes, Version]:
        """Return what a stream should know: the files that count, also those that links lead to."""
        return dict(self._files(self.root, b"", ()))

    def is_plain(self, path: bytes) -> bool:
        """Tell whether no link leads to a path."""
        parts = path.split(b"/")
        return not any(os.path.islink(self.root + b"/".join(parts[: end + 1])) for end in range(len(parts)))

    def _files(self, real: bytes, prefix: bytes, hops: tuple[bytes, ...]) -> Iterator[tuple[bytes, Version]]:
        path_filter = PathFilter(FILTER)
        for name in os.listdir(real):
            path, full = prefix + name, real + name
            target = os.path.realpath(full)
            if os.path.islink(full) and os.path.isdir(target):
                target += b"/"
                is_loop = real.startswith(target) or target in hops
                if target.startswith(self.root) and not is_loop and path_filter.admits_directory(path):
                    yield from self._files(target, path + b"/", (*hops, target))
            elif os.path.isdir(full):
                if path_filter.admits_directory(path):
                    yield from self._files(full + b"/", path + b"/", hops)
            elif os.path.isfile(full) and path_filter.admits(path):
                found = os.stat(full)
                yield path, (found.st_size, found.st_mtime_ns, found.st_ino)

    def _new_size(self) -> int:
        self._size_bytes += 1
        return self._size_bytes

    def _write(self, path: bytes, _other: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(bytes(self._new_size()))

    def _append(self, path: bytes, _other: bytes) -> None:
        os.truncate(path, self._new_size())

    def _hold(self, path: bytes, _other: bytes) -> None:
        """Write to a file and keep it open."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._held.append(fd)
        os.ftruncate(fd, self._new_size())

    def _replace(self, path: bytes, _other: bytes) -> None:
        temporary = os.path.dirname(path) + b"/new.tmp"
        self._write(temporary, b"")
        os.replace(temporary, path)

    def _recreate(self, path: bytes, other: bytes) -> None:
        os.unlink(path)
        self._write(path, other)

    def _rename(self, path: bytes, other: bytes) -> None:
        os.rename(path, other)

    def _exchange(self, path: bytes, other: bytes) -> None:
        libc.renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE)

    def _unlink(self, path: bytes, _other: bytes) -> None:
        os.unlink(path)

    def _mkdir(self, path: bytes, _other: bytes) -> None:
        os.makedirs(path)

    def _rmtree(self, path: bytes, _other: bytes) -> None:
        shutil.rmtree(path)

    def _chmod(self, path: bytes, _other: bytes) -> None:
        if os.path.isfile(path):
            os.chmod(path, os.stat(path).st_mode ^ 0o040)

    def _utime(self, path: bytes, other: bytes) -> None:
        time_ns = TIMES_NS[len(other) % len(TIMES_NS)]
        os.utime(path, ns=(time_ns, time_ns))

    def _symlink(self, path: bytes, other: bytes) -> None:
        os.symlink(other, path)

    def _loop(self, path: bytes, _other: bytes) -> None:
        os.symlink(self.root[:-1], path)

    def _retarget(self, path: bytes, other: bytes) -> None:
        temporary = os.path.dirname(path) + b"/link.tmp"
        os.symlink(other, temporary)
        os.replace(temporary, path)


class Replica:
    """What a client knows who believes each event: sizes and times in nanoseconds, by path."""

    def __init__(self, files: dict[bytes, Version]) -> None:
        self.files = {path: version[:2] for path, version in files.items()}
        self.seq = 0

    def take(self, data: bytes) -> None:
        """Apply one event, which must make sense where it stands."""
        event = json.loads(data)
        path, kind = event["path"].encode(), event["type"]
        assert event["seq"] == self.seq + 1
        self.seq = event["seq"]
        assert (path in self.files) == (kind in {"modified", "deleted"}) or kind == "moved", event
        if kind == "moved":
            del self.files[event["old_path"].encode()]
        self.files[path] = (event["size"], nanoseconds(event["mtime"]))
        if kind == "deleted":
            del self.files[path]


def nanoseconds(text: str) -> int:
    """Return a time of a payload as nanoseconds since the epoch."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp()) * 10**9 + int(fraction.ljust(9, "0") or "0")


class JumpySource(DirectorySource):
    """The source, with something happening to the files at the moments when it reads."""

    happen: Callable[[], None] = staticmethod(lambda: None)

    def watch(self, prefix: bytes) -> None:
        """See ``DirectorySource``."""
        self.happen()
        super().watch(prefix)
        self.happen()

    def look(self, paths: Sequence[bytes]) -> Looks:
        """See ``DirectorySource``."""
        self.happen()
        return super().look(paths)


class StrictOutbox(FallibleOutbox):
    """The outbox, with a look at each step: whether it changes anything."""

    before: Callable[[Step], None] = staticmethod(lambda _step: None)

    def commit(self, step: Step) -> None:
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
        self._now_s = 0.0
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
        spec = DirectorySpec(os.fsdecode(self._disk.root[:-1]), settle_s=self._settle_s, mode=self._mode)
        self.store = Store(self._state())
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.source = JumpySource(spec, PathFilter(FILTER), lambda: self._notifications, clock=lambda: self._now_s)
        self.outbox = StrictOutbox(Spec(spec), self.store, time_ns=lambda: 0, clock=lambda: 0.0, committed=lambda: None)
        self.tracker = Tracker(frozenset(ChangeType), self.store.new_row)
        self.reconciler = Reconciler(self.source, self.store, self.tracker, self.outbox, lambda _count: None)
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

    def _before_commit(self, step: Step) -> None:
        self._intrude()
        self._check_changes(step)

    def _check_changes(self, step: Step) -> None:
        """Make sure that nothing is told of a file that is as it was last told."""
        paths = [path for change in step.changes for path in (change.old_path, change.entry.path) if path is not None]
        told: dict[bytes, Entry] = {path: row.entry for path, row in self.store.rows(paths).items()}
        for change in step.changes:
            path, entry = change.entry.path, change.entry
            if change.type is ChangeType.MOVED:
                assert change.old_path is not None
                told[path] = told.pop(change.old_path)._replace(path=path)
            elif change.type is ChangeType.MODIFIED:
                assert told[path] != entry, change
                is_same = told[path]._replace(ctime_ns=entry.ctime_ns) == entry
                assert not is_same or self._is_doubtful or entry.is_link or not self._disk.is_plain(path), change
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
        if not self.is_up or self.source._watches is None or b"" not in self.source._watches:
            return
        self._barriers += 1
        name = b".barrier%d" % self._barriers
        inbox = self.source._watches.inbox
        os.close(os.open(self._disk.root + name, os.O_WRONLY | os.O_CREAT))
        os.unlink(self._disk.root + name)
        end_s = time.monotonic() + DEADLINE_S
        while not any(event.name == name and event.mask & inotify.DELETE for event in reversed(list(inbox._events))):
            assert time.monotonic() < end_s, "the kernel tells nothing"
            time.sleep(0.0002)

    def _observe(self) -> None:
        for observation in self.source.observe():
            self.reconciler.apply(observation)
        if self.reconciler.rescan_reason:
            self.reconciler.rescan_reason = ""
            self.reconciler.scan(is_baseline=False)

    def _do(self, operation: Operation) -> None:
        # A rename changes the ctime of a file, and one that was renamed there and back has no other difference.
        self._is_doubtful |= operation[0] in {"rename", "exchange"}
        self._disk.perform(operation)

    def _rest(self) -> None:
        """Let time pass until nothing waits any more."""
        self._hear()
        for _ in range(LEAPS):
            self._now_s += CAP_S
            self._observe()

    def _compare(self, files: dict[bytes, Version]) -> None:
        """Replay what was told, and hold it against files and index."""
        for payload in self.store.read(self.replica.seq, limit=10_000, max_bytes=1 << 30):
            self.replica.take(payload.data)
        assert self.replica.seq == self.store.next_seq - 1
        index = {row.entry.path: row.entry for page in self.store.rows_under(b"") for row in page}
        assert self.replica.files.keys() == index.keys()
        assert self.store.entries == len(index)
        told = {
            path: (*self.replica.files[path], entry.inode) for path, entry in index.items() if path in files or self._disk.is_plain(path)
        }
        there = {path: version for path, version in files.items() if path in index or self._disk.is_plain(path)}
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
        self.tracker.appearance = lambda _path: Appearance.ADOPTED
        self.reconciler.scan(is_baseline=True)
        self.tracker.appearance = lambda _path: Appearance.NEW
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
        self._now_s += seconds

    @precondition(lambda self: self.is_up)
    @rule(data=st.data(), heard=st.sampled_from([1.0, 1.0, 0.5, 0.8]), commits=st.none() | st.integers(0, 4))
    def observe(self, data: st.DataObject, heard: float, commits: int | None) -> None:
        """Take in what was heard, or the first part of it, while more happens or power fails."""
        intrusions = data.draw(st.lists(st.none() | operations(self._kinds), max_size=4))
        self._hear()
        inbox = self.source._watches.inbox if self.source._watches else None
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

    @precondition(lambda self: self.is_up and self.source._watches)
    @rule(data=st.data(), start=st.integers(0, 20), count=st.integers(1, 20))
    def lose(self, data: st.DataObject, start: int, count: int) -> None:
        """Do some things to files and lose some of what was heard, as a full queue does."""
        self.operate(data)
        self._hear()
        assert self.source._watches is not None
        inbox = self.source._watches.inbox
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
            self._compare({path: version for path, version in self._disk.files().items() if self._disk.is_plain(path)})
        if is_scanned or self._mode is Mode.POLL:
            self.reconciler.scan(is_baseline=False)
            self._rest()
            self._compare(self._disk.files())
        self._is_doubtful = self._mode is Mode.POLL


@pytest.mark.parametrize("kinds", [UNLINKED, LINKED], ids=["files", "links"])
@pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])
def test_the_stream_replayed_is_the_directory(notifications: Inotify, mode: Mode, kinds: list[str]) -> None:
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
