"""What a public observer reports becomes hints, whatever observer it is, and its end is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import FileModifiedEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyWatchGroup
from watchdog.observers.polling import PollingObserver

from support.clock import DiskClock
from support.files import exchange, fill
from support.trees import open_tree
from watcher.filters.path_filter import PathFilter
from watcher.model import Rescan
from watcher.sources.directory.hints import DuePaths, HintQueue
from watcher.sources.directory.parts import Parts
from watcher.sources.directory.portable import inbox
from watcher.sources.directory.portable.backend import PortableBackend, make_observer
from watcher.sources.directory.portable.notifications import ObserverNotifications
from watcher.sources.directory.source import DirectorySource
from watcher.sources.directory.walk import Walk
from watcher.sources.observations import Inspection, Renames, Subtree
from watcher.spec import DirectorySpec, Filter, Mode

DEADLINE_S = 60.0
LATER_S = 1000.0
"""Seconds after which every hint is due."""


def poll_often() -> BaseObserver:
    return PollingObserver(timeout=0.05)


class Hinted:
    """The notifications of a directory, and the hints that they have led to."""

    def __init__(self, root: Path, make: Callable[[], BaseObserver], **options: Any) -> None:  # noqa: ANN401 - those of a tree
        self.tree = open_tree(root, **options)
        self.hints = HintQueue(self.tree.spec)
        self.notifications = ObserverNotifications(self.tree, self.hints, make)
        self.now_s = 0.0
        # Links are met by a scan.
        for _ in Walk(self.tree, lambda _prefix, _fd: None, []).run(b""):
            pass
        self.notifications.start(Parts(self.tree.spec.mode), lambda: None)

    def seen(self) -> set[str]:
        """Return what is due by the hints so far, as paths, prefixes and renames."""
        self.notifications.read(self.now_s)
        found: set[str] = set()
        for request in self.hints.take(self.now_s + LATER_S):
            if isinstance(request, DuePaths):
                found |= {path.decode() for path in request.hints}
            elif isinstance(request, Renames):
                found |= {f"{r.old_path.decode()}>{r.path.decode()}" for r in request.renames}
            elif isinstance(request, Subtree):
                found.add(request.prefix.decode() or f"all: {request.reason}")
        return found

    def wait_for(self, *expected: str, act: Callable[[], object] = lambda: None) -> set[str]:
        """Wait until these hints have come, acting again and again; return all."""
        end_s, seen = time.monotonic() + DEADLINE_S, self.seen()
        while not seen.issuperset(expected):
            assert time.monotonic() < end_s, (expected, seen)
            time.sleep(0.01)
            act()
            seen |= self.seen()
        return seen


Start = Callable[..., Hinted]


@pytest.fixture(params=[make_observer, poll_often], ids=["inotify", "polling"])
def start(request: pytest.FixtureRequest, root: Path) -> Iterator[Start]:
    """Return a function that observes a directory."""
    started: list[Hinted] = []

    def start_it(*names: str, **options: Any) -> Hinted:  # noqa: ANN401 - those of a tree
        fill(root, *names)
        started.append(Hinted(root, request.param, **options))
        assert started[-1].notifications.is_active
        return started[-1]

    yield start_it
    for each in started:
        each.notifications.close()


def test_files(start: Start, root: Path) -> None:
    hinted = start("old", "gone")
    (root / "new").write_text("x")
    hinted.wait_for("new")
    (root / "old").write_text("xyz")
    hinted.wait_for("old")
    (root / "gone").unlink()
    hinted.wait_for("gone")


def test_renames(start: Start, root: Path) -> None:
    """Inside, in and out; whatever the observer makes of it, both names are looked at."""
    hinted = start("a", "d/b", "e/x")
    (root / "a").rename(root / "d" / "c")
    hinted.wait_for("a", "d/c")
    (root / "d").rename(root / "e" / "d")
    seen, end_s = hinted.wait_for(), time.monotonic() + DEADLINE_S
    while not ({"d/>e/d/"} <= seen or {"d/", "e/d/"} <= seen):
        assert time.monotonic() < end_s, seen
        seen |= hinted.wait_for()
        time.sleep(0.01)
    (root / "e" / "d" / "b").rename(root.parent / "elsewhere")
    hinted.wait_for("e/d/b")
    (root.parent / "elsewhere").rename(root / "back")
    hinted.wait_for("back")


def test_new_directories(start: Start, root: Path) -> None:
    """A new directory is scanned, with what was made in it before anybody could watch it."""
    hinted = start()
    fill(root, "a/b/c/d")
    hinted.wait_for("a/")
    # The observer may come to it after the first ones: until then its scan finds what is there.
    hinted.wait_for("a/b/later", act=lambda: (root / "a" / "b" / "later").write_text("x"))


def test_a_directory_that_is_met_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the walk below the new one in which it was made, and by the event of its creation."""
    is_watched, is_made = threading.Event(), threading.Event()
    add = InotifyWatchGroup._add_callback

    def add_and_wait(group: InotifyWatchGroup, path: bytes) -> None:
        add(group, path)
        if path.endswith(b"/new"):
            is_watched.set()
            is_made.wait(DEADLINE_S)

    monkeypatch.setattr(InotifyWatchGroup, "_add_callback", add_and_wait)
    hinted = Hinted(root, make_observer)
    try:
        (root / "new").mkdir()
        assert is_watched.wait(DEADLINE_S)
        (root / "new/below").mkdir()
        is_made.set()
        # Its events are read after those of the directory, and by the same watch.
        (root / "last").write_text("x")
        seen = hinted.wait_for("new/", "last")
        (root / "new/below/a").write_text("x")
        seen |= hinted.wait_for("new/below/a")
        assert f"all: {Rescan.NOTIFICATIONS_LOST}" not in seen
    finally:
        is_made.set()
        hinted.notifications.close()


def test_what_does_not_count(start: Start, root: Path) -> None:
    hinted = start("skip/x", "d/x", exclude=("skip/**", "*.tmp"))
    fill(root, "skip/a", "b.tmp", "skip/d/e")
    (root / "d" / "last").write_text("x")
    seen = hinted.wait_for("d/last")
    assert not {each for each in seen if "skip" in each or "tmp" in each}


def test_a_flat_directory(start: Start, root: Path) -> None:
    hinted = start("d/x", recursive=False)
    fill(root, "d/a", "e/f")
    (root / "last").write_text("x")
    assert hinted.wait_for("last") <= {"last"}


def test_links_to_directories(start: Start, root: Path) -> None:
    """What happens in the target is looked at through the link as well; no observer follows one."""
    hinted = start("real/a", "link>real", follow_symlinks=True)
    assert hinted.tree.links
    (root / "real" / "a").write_text("xyz")
    hinted.wait_for("real/a", "link/a")
    (root / "link").unlink()
    hinted.wait_for("link/")


def test_links_that_are_swapped(start: Start, root: Path) -> None:
    """A rename over a link gives it another target, and other links may lead through it."""
    hinted = start("v1/a", "v2/a", "now>v1", "through>now", follow_symlinks=True)
    assert len(hinted.tree.links) == 2
    (root / "new").symlink_to("v2")
    (root / "new").replace(root / "now")
    hinted.wait_for("now/", "through/")


def test_links_that_are_filtered(start: Start, root: Path) -> None:
    """The name of a link to a directory need not count as a file's, for its files to count."""
    hinted = start("v1/a.csv", include=("*/*.csv",), follow_symlinks=True)
    (root / "now").symlink_to("v1")
    hinted.wait_for("now/")


@pytest.mark.parametrize("volume", ["", "v/"])
def test_projected_volumes(start: Start, root: Path, volume: str) -> None:
    """Once ``..data`` was renamed into place, all that leads through it is looked at."""
    names = ("..v1/deep/a", "..data>..v1", "deep>..data/deep", "a>..data/deep/a")
    hinted = start(*(volume + name for name in names), follow_symlinks=True)
    assert set(hinted.tree.links) == {f"{volume}deep/".encode()}
    fill(root / volume, "..v2/deep/b")
    (root / volume / "..data_tmp").symlink_to("..v2")
    (root / volume / "..data_tmp").replace(root / volume / "..data")
    hinted.wait_for(f"{volume}deep/")


@pytest.mark.parametrize("other", ["b", "f"])
def test_directories_that_are_exchanged(start: Start, root: Path, other: str) -> None:
    """With one another or a file: a scan follows, and later hints have the present names."""
    hinted = start("a/x", "b/y", "a/d/x", "b/d/y", "f")
    threads = threading.active_count()
    for _ in range(2):
        exchange(root / "a", root / other)
        hinted.wait_for(f"all: {Rescan.NOTIFICATIONS_LOST}")
        for directory in (path for path in (root / "a", root / other) if path.is_dir()):
            for path in (directory / "z", directory / "d/z"):
                path.write_text("x")
                hinted.wait_for(str(path.relative_to(root)))
                path.unlink()
                hinted.wait_for(str(path.relative_to(root)))
    # An observer that could not be stopped as usual has left none behind.
    end_s = time.monotonic() + DEADLINE_S
    while threading.active_count() > threads:
        assert time.monotonic() < end_s, threading.enumerate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ("data", "Data"),
        ("r\u00e9sum\u00e9/in", "re\u0301sume\u0301/in"),
        ("re\u0301sume\u0301", "R\u00c9SUM\u00c9"),
    ],
)
def test_a_root_that_is_reported_in_another_spelling(root: Path, given: str, reported: str) -> None:
    """FSEvents has each name as it is listed, whatever case and form the path was given in."""
    (root / given).mkdir(parents=True)
    hinted = Hinted(root / given, poll_often)
    try:
        for path in (f"{reported}/d/a", f"{reported}x/b", given, reported):
            hinted.notifications._inbox.on_any_event(FileModifiedEvent(str(root / path)))
        assert hinted.seen() == {"d/a"}
    finally:
        hinted.notifications.close()


@pytest.mark.parametrize("ended", ["emitter", "reader"])
def test_an_observer_that_has_ended(start: Start, root: Path, ended: str) -> None:
    """Another one takes its place, and a scan finds what happened in between."""
    hinted = start()
    observer = hinted.notifications._observer
    assert observer is not None
    # Only that of inotify has one.
    reader = getattr(observer, "_inotify_fd", None)
    threads = {reader} if reader and ended == "reader" else observer.emitters
    for thread in threads:
        thread.stop()
        thread.join(DEADLINE_S)
    assert f"all: {Rescan.NOTIFICATIONS_LOST}" in hinted.seen()
    assert hinted.notifications.is_active
    assert not hinted.notifications.failure
    (root / "a").write_text("x")
    hinted.wait_for("a")


def test_a_directory_that_left_and_was_replaced(root: Path) -> None:
    """It is deleted after the other one, which watchdog cannot bear; later changes are noticed."""
    fill(root, "d/a")
    hinted = Hinted(root, make_observer)
    try:
        (root / "d").rename(root.parent / "away")
        hinted.wait_for("d/")
        (root / "d").mkdir()
        hinted.wait_for("d/")
        (root / "d").rmdir()
        hinted.wait_for("d/")
        (root.parent / "away/a").unlink()
        (root.parent / "away").rmdir()
        # Another observer may have to be started meanwhile.
        hinted.wait_for("later", act=lambda: (root / "later").write_text("x"))
    finally:
        hinted.notifications.close()


def test_too_many_events(start: Start, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_EVENTS", 3)
    hinted = start()
    end_s = time.monotonic() + DEADLINE_S
    number = 0
    # Not read meanwhile.
    while not hinted.notifications._inbox._overflowed:
        assert time.monotonic() < end_s
        (root / str(number)).write_text("x")
        number += 1
        time.sleep(0.01)
    assert f"all: {Rescan.NOTIFICATIONS_LOST}" in hinted.seen()


@pytest.mark.parametrize("is_made", [False, True], ids=["make", "start"])
def test_an_observer_that_cannot_be(root: Path, *, is_made: bool) -> None:
    """The watch is degraded and polls, and another one is tried at each poll_interval."""
    errors = [OSError(24, "Too many open files"), RuntimeError("can't start new thread")]

    class Failing(PollingObserver):
        def __init__(self) -> None:
            # As that of inotify at the limit of its instances.
            if errors and not is_made:
                raise errors.pop(0)
            super().__init__()

        def start(self) -> None:
            if errors:
                raise errors.pop(0)
            super().start()

        def stop(self) -> None:
            super().stop()
            raise KeyError  # as that of inotify does after directories were exchanged

    hinted = Hinted(root, Failing)
    try:
        failure = "no notifications, polling instead: Too many open files"
        assert hinted.notifications.failure == failure
        hinted.seen()
        hinted.now_s = hinted.tree.spec.poll_interval_s + 1
        hinted.seen()
        assert hinted.notifications.is_active
    finally:
        hinted.notifications.close()


# The whole source


@pytest.mark.parametrize(
    ("mode", "interval_s", "shown"),
    [(Mode.AUTO, 7.0, "notify"), (Mode.NOTIFY, 900.0, "notify"), (Mode.POLL, 7.0, "poll")],
)
def test_scans_go_on_beside_hints(root: Path, mode: Mode, interval_s: float, shown: str) -> None:
    spec = DirectorySpec(str(root), mode=mode, poll_interval_s=7.0, rescan_interval_s=900.0)
    source = DirectorySource(
        spec, PathFilter(Filter()), PortableBackend(), DiskClock(), within=None
    )
    source.open(lambda: None)
    try:
        assert (source.mode, source.scan_interval_s) == (shown, interval_s)
        assert not source.notifies(b"a")
        assert source.degraded == ""
    finally:
        source.close()


def test_a_file_is_reported_after_two_looks(root: Path) -> None:
    """The first look comes at once; a file that is gone by then may come back, and waits."""
    clock = DiskClock()
    spec = DirectorySpec(str(root), settle_s=60.0, poll_interval_s=3600.0)
    source = DirectorySource(spec, PathFilter(Filter()), PortableBackend(), clock, within=None)
    source.open(lambda: None)

    def inspect() -> Inspection:
        merged = Inspection()
        for observation in source.observe():
            if isinstance(observation, Inspection):
                merged.entries += observation.entries
                merged.gone += observation.gone
        return merged

    try:
        hints = source._hints
        (root / "a").write_text("x")
        hints.add_first_look(b"a", clock.monotonic())
        hints.add_first_look(b"absent", clock.monotonic())
        first = inspect()
        assert (first.entries, first.gone) == ([], [])
        (root / "a").write_text("xy")
        clock.advance(61)
        second = inspect()
        assert ([e.path for e in second.entries], second.gone) == ([], [b"absent"])
        clock.advance(61)
        assert [entry.path for entry in inspect().entries] == [b"a"]
    finally:
        source.close()
