"""Files that are compared by content, notified and polled: what is read, and what comes of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from support.clock import DiskClock
from support.files import fill, unprivileged
from support.state import open_store
from support.wiring import reader_of
from watcher.changes.detector import Appearance, ChangeDetector, Rule
from watcher.changes.digest_learning import DigestLearning
from watcher.changes.reconciler import Reconciler
from watcher.delivery.outbox import Outbox
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.path_filter import PathFilter
from watcher.model import ChangeType
from watcher.sources.directory import digests
from watcher.sources.directory.digest_readers import DigestReaders
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import Compare, DirectorySpec, Filter, Mode, Spec

DEADLINE_S = 60.0
SETTLE_S = 60.0
"""Longer than any test takes, so that nothing but the bench's own clock makes a file quiet."""

HUGE_BYTES = 1 << 30
"""Size of a file without blocks that takes about a second to read."""

LEAPS = 6
"""A result can lead to a recheck, and that to another one; each waits once."""


class Bench:
    """A directory that is compared by content, on a clock that skips waits."""

    def __init__(self, root: Path, notifications: Inotify, mode: Mode) -> None:
        self.root = root
        self.clock = DiskClock()
        # No file looks as if it were being written.
        self.clock.ahead_s = 10 * SETTLE_S
        self.readers = DigestReaders()
        self.monitor = MountMonitor()
        self._barriers = count()
        self._notifications = notifications
        settle_s = SETTLE_S if mode is Mode.NOTIFY else 0.0
        self.spec = DirectorySpec(str(root), mode=mode, settle_s=settle_s)
        self.compare(Compare(is_content=True))

    def compare(self, compare: Compare) -> None:
        """Start with the state that there is, as a server does."""
        self.store = open_store(self.root.parent / "state.db")
        self.spec = replace(self.spec, compare=compare)
        self.source = DirectorySource(
            self.spec,
            PathFilter(Filter(exclude=("*.tmp",))),
            LinuxBackend(lambda: self._notifications, self.monitor),
            self.clock,
            within=None,
            digest_readers=self.readers,
        )
        rule = Rule(compare, self.source.has_stable_inodes)
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_rows, rule)
        outbox = Outbox(Spec(self.spec), self.store, clock=self.clock, publish=lambda *_: None)
        self.reconciler = Reconciler(
            self.source, self.store.index, self.detector, outbox, lambda _count: None, self.clock
        )
        self.learning = DigestLearning(self.source, self.store.index)
        self.source.open(lambda: None)
        self.reconciler.is_reopened = True
        self._reported_seq = self.store.journal.next_seq - 1

    def baseline(self, appearance: Appearance = Appearance.IGNORED_EXISTING) -> None:
        """Scan for the first time."""
        self.detector.appearance = lambda _path: appearance
        self.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW

    def scan(self, *, is_baseline: bool = False) -> None:
        """Scan; the first time since the opening, the digests that are not known are learnt."""
        is_first = self.reconciler.is_reopened
        self.reconciler.scan(is_baseline=is_baseline)
        if is_first and self.detector.rule.is_content:
            self.learning.begin()

    def stop(self) -> None:
        self.source.close()
        self.store.close()

    def end(self) -> None:
        self.stop()
        self.readers.close()
        self.monitor.close()

    def observe(self) -> None:
        """Do what a turn does, until no content waits to be read."""
        end_s = time.monotonic() + DEADLINE_S
        while True:
            for observation in self.source.observe():
                self.reconciler.apply(observation)
            if self.reconciler.rescan_reason:
                self.reconciler.rescan_reason = None
                self.scan()
            elif not self.learning.advance() and self.source.is_digesting_idle:
                return
            assert time.monotonic() < end_s
            time.sleep(0.001)

    def changes(self) -> list[str]:
        """Return the changes once everything that happened was read and is quiet."""
        if self.source.mode == "notify":
            self._wait_notified()
        else:
            self.scan()
        for _ in range(LEAPS):
            self.observe()
            self.clock.advance(SETTLE_S + 1)
        return self.new_changes()

    def _wait_notified(self) -> None:
        """Wait until the kernel's notifications have come, which keep their order."""
        inbox = reader_of(self.source).watches.inbox
        barrier = self.root / f"barrier{next(self._barriers)}.tmp"
        barrier.touch()
        end_s = time.monotonic() + DEADLINE_S
        while not any(each.name == os.fsencode(barrier.name) for each in list(inbox._events)):
            assert time.monotonic() < end_s
            time.sleep(0.001)
        barrier.unlink()

    def new_changes(self) -> list[str]:
        """Return the changes since the last call, each with the file that has its digest."""
        payloads = self.store.journal.read(self._reported_seq, limit=100_000, max_bytes=1 << 30)
        self._reported_seq = self.store.journal.next_seq - 1
        return sorted(map(self._described, payloads))

    def _described(self, payload: object) -> str:
        event = json.loads(payload.data)  # type: ignore[attr-defined]
        digest = event["digest"]
        if event["type"] in {"created", "modified"} and digest is not None:
            content = (self.root / event["path"]).read_bytes()
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        existing = ["existing"] if event["existing"] else []
        paths = [event["old_path"], event["path"], None if digest else "without digest"]
        return " ".join(filter(None, [*existing, event["type"], *paths]))

    def digests(self) -> dict[str, str]:
        """Return the digests that are known, by path."""
        return {
            os.fsdecode(row.entry.path): row.entry.etag
            for page in self.store.index.rows_under(b"")
            for row in page
            if row.entry.etag
        }


@pytest.fixture
def root(open_directory: Path) -> Path:
    """Make an empty directory that every user may read."""
    root = open_directory / "root"
    root.mkdir()
    return root


@pytest.fixture(params=[Mode.NOTIFY, Mode.POLL])
def bench(root: Path, notifications: Inotify, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Watch an empty directory."""
    bench = Bench(root, notifications, request.param)
    yield bench
    bench.end()


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def replace_by_copy(path: Path) -> None:
    """Replace a file by a copy with other times."""
    other = path.with_name("other.tmp")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def copy_linked(path: Path) -> None:
    """Make a hard link elsewhere, as ``cp -al`` does."""
    path.with_name("linked.tmp").hardlink_to(path)


def grow_and_cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content + b"more")
    path.write_bytes(content)


TOUCHED: dict[str, Callable[[Path], object]] = {
    "rewritten": rewrite,
    "touched": Path.touch,
    "chmod": lambda path: path.chmod(0o640),
    "replaced": replace_by_copy,
    "linked": copy_linked,
    "grown and cut": grow_and_cut,
}


@pytest.mark.sampled
@pytest.mark.parametrize("is_down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("how", TOUCHED)
def test_a_file_with_the_same_content_is_not_modified(
    bench: Bench, how: str, *, is_down: bool
) -> None:
    """It is read once more at most; then its row is as it is."""
    fill(bench.root, "a", "b")
    bench.baseline()
    assert bench.changes() == []
    if is_down:
        bench.stop()
    TOUCHED[how](bench.root / "a")
    if is_down:
        bench.compare(bench.spec.compare)
        bench.scan()
    assert bench.changes() == []
    # A hard link is not notified.
    bench.scan()
    assert bench.changes() == []
    row = bench.store.index.rows([b"a"])[b"a"]
    found = (bench.root / "a").stat()
    assert (row.entry.mtime_ns, row.entry.ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    assert bench.digests().keys() == {"a", "b"}


def test_each_change_has_the_digest_of_its_content(bench: Bench) -> None:
    """Also where size and times were restored; a deleted file has the last one."""
    fill(bench.root, "a", "b", "c", "d/e")
    bench.baseline()
    assert bench.changes() == []
    found = (bench.root / "a").stat()
    (bench.root / "a").write_bytes(b"A")
    os.utime(bench.root / "a", ns=(found.st_atime_ns, found.st_mtime_ns))
    (bench.root / "b").unlink()
    (bench.root / "new").write_bytes(b"")
    (bench.root / "l").symlink_to("c")
    assert bench.changes() == ["created l", "created new", "deleted b", "modified a"]
    shutil.rmtree(bench.root / "d")
    assert bench.changes() == ["deleted d/e"]
    assert bench.changes() == []


def test_a_renamed_file_keeps_its_digest(root: Path, notifications: Inotify) -> None:
    """What was written to it as well is a change of its own."""
    bench = Bench(root, notifications, Mode.NOTIFY)
    try:
        fill(root, "a", "b", "d/e")
        bench.baseline()
        assert bench.changes() == []
        (root / "a").rename(root / "a2")
        (root / "d").rename(root / "d2")
        with (root / "b").open("a") as file:
            file.write("more")
        (root / "b").rename(root / "b2")
        assert bench.changes() == ["modified b2", "moved a a2", "moved b b2", "moved d/e d2/e"]
        assert bench.changes() == []
    finally:
        bench.end()


def test_existing_files_are_reported_with_their_digests(bench: Bench) -> None:
    fill(bench.root, "a", "d/b")
    bench.baseline(Appearance.EXISTING)
    assert bench.changes() == ["existing created a", "existing created d/b"]
    assert bench.changes() == []


def test_the_baseline_is_learnt_in_the_background(bench: Bench) -> None:
    """After a restart the rest is; nothing is reported for it."""
    names = [f"d{number % 7}/{number}" for number in range(3000)]
    fill(bench.root, *names)
    bench.baseline()
    assert bench.digests() == {}
    bench.learning.advance()
    bench.stop()
    bench.compare(bench.spec.compare)
    bench.scan()
    assert bench.changes() == []
    assert bench.digests() == {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_what_changes_before_its_digest_is_known_is_judged_by_attributes(bench: Bench) -> None:
    fill(bench.root, "a")
    bench.baseline()
    (bench.root / "a").touch()
    bench.learning = DigestLearning(bench.source, bench.store.index)
    assert bench.changes() == ["modified a"]


def test_what_is_compared_can_be_changed(bench: Bench) -> None:
    """Digests are learnt, and kept while the files stay as they are; nothing is reported."""
    fill(bench.root, "a", "b")
    bench.baseline()
    assert bench.changes() == []
    for compare in (Compare(), Compare(is_content=True), Compare(), Compare(is_content=True)):
        bench.stop()
        bench.compare(compare)
        bench.scan()
        assert bench.changes() == []
        assert bench.digests().keys() == {"a", "b"}
        (bench.root / "a").write_text("longer" + (bench.root / "a").read_text())
        without = "" if compare.is_content else " without digest"
        assert bench.changes() == ["modified a" + without]


def test_a_file_that_cannot_be_read_is_reported_without_a_digest(bench: Bench) -> None:
    """The watch says so, and learns the digest once it can be read."""
    bench.root.chmod(0o777)
    fill(bench.root, "a")
    bench.baseline()
    (bench.root / "closed").write_text("closed")
    (bench.root / "closed").chmod(0)
    with unprivileged():
        assert bench.changes() == ["created closed without digest"]
        assert "the content of 1 file cannot be read" in bench.source.degraded
        assert "'closed'" in bench.source.degraded
        assert bench.changes() == []
    bench.observe()
    bench.clock.advance(bench.spec.poll_interval_s + SETTLE_S)
    assert bench.changes() == []
    assert bench.source.degraded == ""
    assert bench.digests().keys() == {"a", "closed"}


def test_a_huge_file_is_compared_by_its_attributes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "CONTENT_MAX_BYTES", 10)
    fill(bench.root, "a")
    bench.baseline()
    assert bench.changes() == []
    (bench.root / "a").write_bytes(b"x" * 11)
    (bench.root / "b").write_bytes(b"x" * 10)
    assert bench.changes() == ["created b", "modified a without digest"]
    (bench.root / "a").write_bytes(b"x" * 11)
    assert bench.changes() == ["modified a without digest"]
    (bench.root / "a").write_bytes(b"x" * 9)
    assert bench.changes() == ["modified a"]


def test_a_burst_that_does_not_fit_is_found_by_a_scan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and existing files are reported as such."""
    monkeypatch.setattr(digests, "QUEUE_MAX", 7)
    names = [f"{number:03}" for number in range(100)]
    fill(bench.root, *names)
    bench.baseline(Appearance.EXISTING)
    assert bench.changes() == [f"existing created {name}" for name in names]
    for name in names:
        (bench.root / name).write_text(f"{name} again")
    assert bench.changes() == [f"modified {name}" for name in names]


def reading(bench: Bench) -> bool:
    assert bench.source._contents.digests is not None
    return bench.source._contents.digests._reading is not None


def start_reading(bench: Bench, path: Path) -> None:
    """Make a file that takes seconds to read, and wait until it is being read."""
    path.touch()
    os.truncate(path, HUGE_BYTES)
    if bench.source.mode == "notify":
        bench._wait_notified()
    else:
        bench.scan()
    end_s = time.monotonic() + DEADLINE_S
    while not reading(bench):
        bench.clock.advance(SETTLE_S + 1)
        for observation in bench.source.observe():
            bench.reconciler.apply(observation)
        assert time.monotonic() < end_s


def test_a_file_that_changes_while_it_is_read_is_read_again(bench: Bench) -> None:
    bench.baseline()
    assert bench.changes() == []
    start_reading(bench, bench.root / "a")
    (bench.root / "a").write_text("other")
    assert bench.changes() == ["created a"]
    assert bench.changes() == []


def test_a_file_that_is_deleted_while_it_is_read_was_never_there(bench: Bench) -> None:
    bench.baseline()
    assert bench.changes() == []
    start_reading(bench, bench.root / "a")
    (bench.root / "a").unlink()
    assert bench.changes() == []


def test_the_watch_is_not_held_up_by_a_reading(bench: Bench) -> None:
    """What needs no content is reported, and its end ends the reading."""
    fill(bench.root, "b")
    bench.baseline()
    assert bench.changes() == []
    start_reading(bench, bench.root / "a")
    (bench.root / "b").unlink()
    if bench.source.mode == "notify":
        bench._wait_notified()
    else:
        bench.scan()
    for _ in range(2):
        for observation in bench.source.observe():
            bench.reconciler.apply(observation)
        bench.clock.advance(SETTLE_S + 1)
    for observation in bench.source.observe():
        bench.reconciler.apply(observation)
    assert reading(bench)
    assert bench.new_changes() == ["deleted b"]
    digests_ = bench.source._contents.digests
    bench.source.close()
    bench.readers.close(DEADLINE_S)
    assert digests_ is not None
    assert digests_.take() == []
    assert not any(thread.is_alive() for thread in bench.readers._threads)


def test_a_reader_leaves_the_access_time_alone(bench: Bench) -> None:
    fill(bench.root, "a")
    os.utime(bench.root / "a", ns=(1, 1))
    bench.baseline()
    assert bench.changes() == []
    assert bench.digests().keys() == {"a"}
    assert (bench.root / "a").stat().st_atime_ns == 1
