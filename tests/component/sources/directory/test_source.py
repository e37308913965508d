"""The directory source over the real kernel: what it observes becomes the right changes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.clock import DiskClock
from support.files import fill
from support.state import open_store
from support.wiring import reader_of
from watcher.changes.detector import Appearance, ChangeDetector, Rule
from watcher.changes.reconciler import Reconciler
from watcher.delivery.outbox import Outbox
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.path_filter import PathFilter
from watcher.model import ChangeType, Rescan
from watcher.sources.directory.file_batches import FileBatch
from watcher.sources.directory.linux import inotify
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.sources.directory.walk import Walk
from watcher.sources.observations import Inspection, LinksChanged, Subtree
from watcher.spec import DirectorySpec, Filter, Mode, Spec

DEADLINE_S = 60.0
SETTLE_S = 60.0
"""Longer than any test takes, so that nothing but the bench's own clock makes a file quiet."""


class Bench:
    """A directory that is watched into an index, step by step, on a clock that skips waits."""

    def __init__(
        self,
        root: Path,
        notifications: Inotify,
        path_filter: Filter = Filter(),  # noqa: B008
        monitor: MountMonitor | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.root = root
        self.woken = threading.Event()
        self.clock = DiskClock()
        spec = DirectorySpec(str(root), settle_s=SETTLE_S, **options)
        self.monitor = monitor or MountMonitor()
        self.source = DirectorySource(
            spec,
            PathFilter(path_filter),
            LinuxBackend(lambda: notifications, self.monitor),
            self.clock,
            within=None,
        )
        self.store = open_store(root.parent / "state.db")
        outbox = Outbox(Spec(spec), self.store, clock=self.clock, publish=lambda *_: None)
        rule = Rule(spec.compare, self.source.has_stable_inodes, self.source.has_stable_ctimes)
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_rows, rule)
        self.reconciler = Reconciler(
            self.source, self.store.index, self.detector, outbox, lambda _count: None, self.clock
        )
        self.source.open(self.woken.set)
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        self._reported_seq = self.store.journal.next_seq - 1

    def barrier(self) -> None:
        """Wait until all events so far are in the inbox: the kernel keeps their order."""
        inbox = reader_of(self.source).watches.inbox
        (self.root / "..barrier").touch()
        end_s = time.monotonic() + DEADLINE_S
        while not any(
            each.name == b"..barrier" and each.mask & inotify.CLOSE_WRITE
            for each in list(inbox._events)
        ):
            assert time.monotonic() < end_s
            time.sleep(0.001)
        (self.root / "..barrier").unlink()

    def observe(self, after_s: float) -> list[object]:
        """Let time pass, apply the observations that are due, and return them."""
        self.clock.advance(after_s)
        seen: list[object] = []
        for observation in self.source.observe():
            seen.append(observation)
            self.reconciler.apply(observation)
        return seen

    def changes(self) -> list[str]:
        """Return the changes once everything that happened was read and is quiet."""
        self.barrier()
        for _ in range(24):
            self.observe(SETTLE_S + 1)
        return self.new_changes()

    def new_changes(self) -> list[str]:
        """Return the changes since the last call, sorted by their text."""
        payloads = self.store.journal.read(self._reported_seq, limit=1000, max_bytes=1 << 30)
        self._reported_seq = self.store.journal.next_seq - 1
        events = [json.loads(payload.data) for payload in payloads]
        return sorted(
            " ".join(filter(None, [event["type"], event["old_path"], event["path"]]))
            for event in events
        )


@pytest.fixture
def watch(tmp_path: Path, notifications: Inotify) -> Iterator[Callable[..., Bench]]:
    """Return a function that fills a directory and watches it."""
    benches: list[Bench] = []

    def start(*names: str, **options: Any) -> Bench:  # noqa: ANN401 - those of Bench
        root = tmp_path / "root"
        root.mkdir()
        fill(root, *names)
        benches.append(Bench(root, notifications, **options))
        return benches[-1]

    yield start
    for bench in benches:
        bench.source.close()
        bench.monitor.close()
        bench.store.close()


# The source over the kernel


def test_plain_changes(watch: Callable[..., Bench]) -> None:
    bench = watch("a", "b", "c", "d/e")
    assert bench.changes() == []
    assert bench.woken.is_set()
    (bench.root / "new").write_text("x")
    (bench.root / "a").write_text("longer than before")
    (bench.root / "b").chmod(0o600)
    (bench.root / "c").unlink()
    (bench.root / "d/e").rename(bench.root / "f")
    assert bench.changes() == ["created new", "deleted c", "modified a", "moved d/e f"]
    assert bench.changes() == []


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        ("a>b b>c", ["deleted b", "moved a c"]),
        ("a>b b>a", ["deleted b", "modified a"]),
        ("a>t b>a t>b", ["modified a", "modified b"]),
        ("b>c a>b", ["moved a b", "moved b c"]),
        ("a>x x>y y>z", ["moved a z"]),
        ("d>e", ["moved d/1 e/1", "moved d/s/2 e/s/2"]),
        ("d>e e>f", ["created f/1", "created f/s/2", "deleted d/1", "deleted d/s/2"]),
        ("d/1>d/0 d>e", ["moved d/1 e/0", "moved d/s/2 e/s/2"]),
        ("d>../out", ["deleted d/1", "deleted d/s/2"]),
        ("a>../out ../out>z", ["created z", "deleted a"]),
    ],
)
def test_renames_in_a_row(watch: Callable[..., Bench], renames: str, expected: list[str]) -> None:
    """A path that was overwritten between two renames is reported as deleted too."""
    bench = watch("a", "b", "d/1", "d/s/2")
    for rename in renames.split():
        old, new = rename.split(">")
        (bench.root / old).rename(bench.root / new)
    changes = bench.changes()
    alternatives = [expected]
    if renames == "d/1>d/0 d>e":
        alternatives.append(["created e/0", "deleted d/1", "moved d/s/2 e/s/2"])
    assert changes in alternatives


def test_a_file_renamed_into_place_is_reported_at_once(watch: Callable[..., Bench]) -> None:
    bench = watch("a")
    (bench.root / "tmp").write_text("x")
    (bench.root / "tmp").rename(bench.root / "final")
    bench.barrier()
    bench.observe(0.0)
    bench.observe(0.0)
    assert bench.new_changes() == ["created final"]


def test_a_directory_renamed_out_of_the_filter_is_gone(watch: Callable[..., Bench]) -> None:
    """Its files are deleted, not moved, and later writes to them are not reported."""
    bench = watch("in/a", "in/b", path_filter=Filter(include=("in/*",)))
    (bench.root / "in/b").write_text("written to, and not yet looked at")
    (bench.root / "in").rename(bench.root / "out")
    assert bench.changes() == ["deleted in/a", "deleted in/b"]
    (bench.root / "out").rename(bench.root / "in")
    assert bench.changes() == ["created in/a", "created in/b"]


def test_a_chmod_that_a_scan_meets_first_is_silent(watch: Callable[..., Bench]) -> None:
    """The notification of the chmod comes after the scan, and still counts."""
    bench = watch("a")
    (bench.root / "a").chmod(0o600)
    bench.barrier()
    bench.reconciler.scan(is_baseline=False)
    assert bench.changes() == []


def test_a_new_tree_is_read_and_watched(watch: Callable[..., Bench]) -> None:
    bench = watch()
    (bench.root / "x/y").mkdir(parents=True)
    (bench.root / "x/y/1").touch()
    assert bench.changes() == ["created x/y/1"]
    (bench.root / "x/y/2").touch()
    assert bench.changes() == ["created x/y/2"]


@pytest.mark.parametrize("links", [["l>d"], ["a>d", "z>d"], [f"{number}>d" for number in range(5)]])
def test_a_directory_and_links_to_it_are_both_noticed(
    watch: Callable[..., Bench], links: list[str]
) -> None:
    """A change is reported under every path, in whichever order these were read."""
    bench = watch("d/f", *links)
    (bench.root / "d/f").write_text("longer than before")
    assert bench.changes() == sorted(
        ["modified d/f", *(f"modified {link.partition('>')[0]}/f" for link in links)]
    )


def test_a_retargeted_link_affects_those_that_lead_through_it(watch: Callable[..., Bench]) -> None:
    bench = watch("1/f", "2/g", "m>1", "l>m")
    (bench.root / "new").symlink_to("2")
    (bench.root / "new").replace(bench.root / "m")
    assert bench.changes() == ["created l/g", "created m/g", "deleted l/f", "deleted m/f"]


def test_an_update_of_a_volume_is_noticed_from_the_start(watch: Callable[..., Bench]) -> None:
    """The first update of a ConfigMap after the baseline is found by its notification."""
    bench = watch("..1/a", "..1/b", "..data>..1", "a>..data/a", "b>..data/b")
    (bench.root / "..2").mkdir()
    (bench.root / "..2/a").write_text("..1/a")
    (bench.root / "..2/b").write_text("changed")
    (bench.root / "..data_tmp").symlink_to("..2")
    (bench.root / "..data_tmp").replace(bench.root / "..data")
    bench.barrier()
    assert any(isinstance(observation, LinksChanged) for observation in bench.observe(0.001))
    assert bench.new_changes() == ["modified b"]


def test_names_that_a_volume_hides(watch: Callable[..., Bench]) -> None:
    """They are ordinary until the link is there, and again when it is gone."""
    bench = watch("..own/key", "..x", "key>..data/key")
    assert bench.changes() == []
    (bench.root / "..data").symlink_to("..own")
    assert bench.changes() == ["created key", "deleted ..own/key", "deleted ..x"]
    (bench.root / "..own/more").touch()
    (bench.root / "..x").write_text("longer")
    assert bench.changes() == []
    (bench.root / "..data").unlink()
    assert bench.changes() == [
        "created ..own/key",
        "created ..own/more",
        "created ..x",
        "deleted key",
    ]


def test_an_overflow_is_a_rescan(watch: Callable[..., Bench]) -> None:
    """Waiting hints are dropped with it."""
    bench = watch("a")
    (bench.root / "b").touch()
    bench.barrier()
    reader_of(bench.source).watches.inbox.on_queue_overflow()
    assert bench.observe(0.0) == [Subtree(b"", Rescan.NOTIFICATIONS_LOST)]
    assert bench.reconciler.rescan_reason
    assert bench.observe(2 * SETTLE_S) == []


def test_a_polled_file_waits_while_it_grows(watch: Callable[..., Bench]) -> None:
    bench = watch(mode=Mode.POLL)
    (bench.root / "a").write_text("x")
    bench.reconciler.scan(is_baseline=False)
    assert bench.new_changes() == []
    with (bench.root / "a").open("a") as file:
        file.write("more")
    observed = [
        entry
        for each in bench.observe(SETTLE_S + 1)
        if isinstance(each, Inspection)
        for entry in each.entries
    ]
    assert observed == []


def test_closing_frees_the_kernel(watch: Callable[..., Bench], notifications: Inotify) -> None:
    bench = watch("d/e/f")
    assert len(notifications._watch_for_wd) == 3
    bench.source.close()
    assert notifications._watch_for_wd == {}
    bench.source.open(lambda: None)
    with closing(bench.store):
        bench.reconciler.scan(is_baseline=True)
    assert len(notifications._watch_for_wd) == 3


def test_slow_reading_makes_no_file_quiet(
    watch: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh file is incomplete however long the scan takes to yield it."""
    bench = watch(mode=Mode.POLL)
    run = Walk.run

    def slow(walk: Walk, prefix: bytes) -> Iterator[FileBatch]:
        for batch in run(walk, prefix):
            bench.clock.ahead_s += 2 * SETTLE_S
            yield batch

    monkeypatch.setattr(Walk, "run", slow)
    (bench.root / "a").touch()
    assert [bench.source.complete(batch.entries) for batch in bench.source.scan()] == [[]]
