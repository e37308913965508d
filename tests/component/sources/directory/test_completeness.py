"""A file is reported once it is complete, by real writers on a clock that skips waits.

Whether it is notified or polled: a step reads the kernel's events, or scans, then lets time pass.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from component.sources.directory.test_source import SETTLE_S, Bench
from support.files import fill
from watcher.changes.detector import Appearance
from watcher.filesystem import statx
from watcher.filesystem.linux.files import LinuxFiles
from watcher.filesystem.mounts import Mount
from watcher.model import Entry
from watcher.sources.directory import hints
from watcher.sources.directory.attribute_cache import CACHE_S
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.part_finder import PartFinder
from watcher.spec import Mode

REST_S = SETTLE_S + 1
TICK_S = 20.0
"""Shorter than a file has to rest."""
QUIET_S = 300.0


class CompletenessBench(Bench):
    """A watched directory, notified or polled."""

    def step(self, after_s: float = 0.0) -> list[str]:
        """Read what happened, let time pass, and return the changes."""
        if not self.source._notifications.is_active:
            self.reconciler.scan(is_baseline=False)
        else:
            self.barrier()
            self.observe(0.0)
        self.observe(after_s)
        return self.new_changes()

    def rest(self) -> list[str]:
        """Let everything rest, and return the changes."""
        return [change for _ in range(4) for change in self.step(REST_S)]

    def open_again(self) -> None:
        """End and start as a server does that is restarted."""
        self.source.close()
        self.source.open(self.woken.set)


@pytest.fixture
def make(tmp_path: Path, notifications: Inotify) -> Iterator[Callable[..., CompletenessBench]]:
    """Return a function that fills a directory and watches it."""
    benches: list[CompletenessBench] = []

    def start(mode: Mode, *names: str, **options: Any) -> CompletenessBench:  # noqa: ANN401 - of Bench
        root = tmp_path / "root"
        root.mkdir()
        fill(root, *names)
        benches.append(CompletenessBench(root, notifications, mode=mode, **options))
        return benches[-1]

    yield start
    for bench in benches:
        bench.source.close()
        bench.store.close()


Make = Callable[..., CompletenessBench]
modes = pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])


def write_slowly(bench: CompletenessBench, path: Path, flags: int = 0) -> Iterator[list[str]]:
    """Write a file bit by bit for ten minutes and close it; yield the changes of each step."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    for _ in range(30):
        os.write(fd, b"more")
        yield bench.step(TICK_S)
    os.close(fd)


# Writers without a pause


@pytest.mark.sampled
@modes
@pytest.mark.parametrize("flags", [0, os.O_TRUNC, os.O_APPEND])
@pytest.mark.parametrize("names", [[], ["a"]])
def test_a_file_is_reported_when_its_writer_is_done(
    make: Make, mode: Mode, names: list[str], flags: int
) -> None:
    """New, or an upload over an old name, which is not complete at its third either."""
    bench = make(mode, *names)
    assert [*write_slowly(bench, bench.root / "a", flags)] == [[]] * 30
    assert bench.rest() == [f"{'modified' if names else 'created'} a"]
    assert bench.rest() == []


@modes
def test_a_file_that_is_written_at_random_places(make: Make, mode: Mode) -> None:
    """Its size is the final one from the start."""
    bench = make(mode)
    fd = os.open(bench.root / "a", os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, 1 << 20)
    for number in range(10):
        os.pwrite(fd, b"part", (7 * number % 10) << 16)
        assert bench.step(TICK_S) == []
    os.close(fd)
    assert bench.rest() == ["created a"]


@modes
def test_many_files_at_once(make: Make, mode: Mode) -> None:
    """Those that are complete are reported, whatever the others do."""
    bench = make(mode)
    fds = [os.open(bench.root / f"open{one}", os.O_WRONLY | os.O_CREAT) for one in range(20)]
    fill(bench.root, *(f"closed{one}" for one in range(20)))
    found = []
    for _ in range(10):
        for fd in fds:
            os.write(fd, b"more")
        found += bench.step(TICK_S)
    assert sorted(found) == sorted(f"created closed{one}" for one in range(20))
    for fd in fds:
        os.close(fd)
    assert sorted(bench.rest()) == sorted(f"created open{one}" for one in range(20))


@modes
def test_a_file_that_is_always_written_to_is_reported_at_intervals(make: Make, mode: Mode) -> None:
    bench = make(mode, max_wait_s=200.0)
    found = [change for changes in write_slowly(bench, bench.root / "log") for change in changes]
    assert found[0] == "created log"
    assert set(found[1:]) == {"modified log"}
    assert len(found) == 3 if mode is Mode.NOTIFY else len(found) in {2, 3}


# Files that are opened and closed many times


@modes
@pytest.mark.parametrize("names", [[], ["scan"]])
def test_pages_that_are_appended_one_by_one(make: Make, mode: Mode, names: list[str]) -> None:
    bench = make(mode, *names, quiet_s=QUIET_S)
    for _ in range(10):
        with (bench.root / "scan").open("a") as file:
            file.write("page")
        assert bench.step(QUIET_S - TICK_S) == []
    expected = ["modified scan" if names else "created scan"]
    assert [*bench.step(QUIET_S), *bench.step(QUIET_S), *bench.step(QUIET_S)] == expected


@modes
def test_attributes_that_are_set_after_the_close(make: Make, mode: Mode) -> None:
    """As ``cp -p``, ``rsync -t`` and ``unzip`` do it."""
    bench = make(mode, quiet_s=QUIET_S)
    (bench.root / "a").write_text("content")
    assert bench.step(TICK_S) == []
    os.utime(bench.root / "a", (1, 1))
    assert bench.step(TICK_S) == []
    (bench.root / "a").chmod(0o600)
    assert bench.step(QUIET_S - TICK_S) == []
    assert [*bench.step(QUIET_S), *bench.step(QUIET_S)] == ["created a"]


def test_quiet_delays_no_other_path(make: Make) -> None:
    """Renames are reported at once, and a deletion when its own path had the time to come back."""
    bench = make(Mode.NOTIFY, "a", "b", "c", "busy", quiet_s=QUIET_S)
    (bench.root / "a").unlink()
    (bench.root / "b").rename(bench.root / "d")
    assert bench.step() == ["moved b d"]
    fd = os.open(bench.root / "busy", os.O_WRONLY)
    found = []
    for _ in range(20):
        os.write(fd, b"more")
        found += bench.step(TICK_S)
    assert found == ["deleted a"]
    os.close(fd)
    assert bench.step(QUIET_S + 1) == ["modified busy"]


def test_what_happens_within_quiet_is_one_change(make: Make) -> None:
    bench = make(Mode.NOTIFY, "a", "b", quiet_s=QUIET_S)
    for _ in range(5):
        (bench.root / "a").unlink()
        assert bench.step(TICK_S) == []
        (bench.root / "a").write_text("again")
        assert bench.step(TICK_S) == []
    (bench.root / "new").write_text("x")
    (bench.root / "new").unlink()
    assert bench.step(QUIET_S + 1) == ["modified a"]


# Empty files


@modes
@pytest.mark.parametrize("names", [[], ["f"]])
def test_the_output_of_a_slow_command(make: Make, mode: Mode, names: list[str]) -> None:
    bench = make(mode, *names, poll_interval_s=TICK_S)
    fd = os.open(bench.root / "f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    silent = [bench.step(2 * SETTLE_S) for _ in range(5)] if mode is Mode.NOTIFY else [bench.step()]
    os.write(fd, b"content")
    silent += [bench.step(TICK_S)]
    os.close(fd)
    assert silent == [[]] * len(silent)
    assert bench.rest() == ["modified f" if names else "created f"]


@modes
def test_an_empty_file_that_is_closed_is_complete(make: Make, mode: Mode) -> None:
    bench = make(mode)
    (bench.root / "a").touch()
    assert bench.rest() == ["created a"]


def test_an_empty_file_that_stays_open_is_reported_in_the_end(make: Make) -> None:
    bench = make(Mode.NOTIFY, max_wait_s=1000.0)
    fd = os.open(bench.root / "a", os.O_WRONLY | os.O_CREAT)
    assert bench.step(990.0) == []
    assert bench.step(11.0) == ["created a"]
    os.close(fd)
    assert bench.rest() == []


@pytest.mark.parametrize("is_known", [True, False])
def test_an_empty_file_that_nobody_has_open(
    make: Make, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    """It was made by mknod(2) or open(2) for reading: its end is not notified.

    Where the kernel does not reveal that nobody has it open, its content may still come.
    """
    if not is_known:
        monkeypatch.setattr(LinuxFiles, "has_writer", staticmethod(lambda *_: None))
    bench = make(Mode.NOTIFY, max_wait_s=1000.0)
    os.mknod(bench.root / "a")
    os.close(os.open(bench.root / "b", os.O_RDONLY | os.O_CREAT))
    made = ["created a", "created b"]
    assert bench.rest() == (made if is_known else [])
    assert bench.step(1000.0) == ([] if is_known else made)


def test_a_slow_command_outlasts_a_restart(make: Make) -> None:
    bench = make(Mode.NOTIFY, "f")
    fd = os.open(bench.root / "f", os.O_WRONLY | os.O_TRUNC)
    os.utime(bench.root / "f", (1, 1))
    assert bench.rest() == []
    bench.open_again()
    bench.clock.ahead_s = 3600.0
    bench.reconciler.scan(is_baseline=False)
    assert bench.rest() == []
    os.write(fd, b"content")
    os.close(fd)
    assert bench.rest() == ["modified f"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_an_empty_file_is_complete(
    make: Make, link: Callable[[Path, Path], None]
) -> None:
    bench = make(Mode.NOTIFY)
    outside = bench.root.parent / "outside"
    outside.touch()
    link(outside, bench.root / "a")
    assert bench.rest() == ["created a"]


@pytest.mark.parametrize("content", ["", "first"])
def test_a_writer_that_ends_while_it_is_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """What a scan has seen before the last write is not the file, though nobody has it open."""
    bench = make(Mode.NOTIFY)
    file, tree = bench.root / "d" / "a", bench.source._tree
    file.parent.mkdir()
    file.write_text(content)
    is_being_written = tree.is_being_written

    def write_and_ask(entry: Entry) -> bool | None:
        monkeypatch.undo()
        with file.open("a") as writer:
            writer.write("more")
        return is_being_written(entry)

    monkeypatch.setattr(tree, "is_being_written", write_and_ask)
    bench.reconciler.scan(is_baseline=False)
    assert tree.is_being_written == is_being_written
    assert [*bench.new_changes(), *bench.rest(), *bench.rest()] == ["created d/a"]


# Writes that notify nobody


def test_a_file_without_a_name_is_linked_and_written_on(make: Make) -> None:
    """O_TMPFILE: what its descriptor writes later is reported soon, once it rests."""
    bench = make(Mode.NOTIFY, poll_interval_s=600.0)
    fd = os.open(bench.root, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, b"first")
    # With a descriptor, even an unused one, Python calls linkat(2), which follows the link.
    os.link(f"/proc/self/fd/{fd}", bench.root / "a", src_dir_fd=fd, follow_symlinks=True)
    for _ in range(5):
        os.write(fd, b"more")
        assert bench.step(REST_S) == []
    assert bench.step(REST_S) == ["created a"]
    assert bench.step(REST_S) == []
    os.write(fd, b"and more")
    assert [*bench.rest(), *bench.rest()] == ["modified a"]
    os.close(fd)
    # It is followed until it has rested for the poll interval, at looks that get rarer.
    assert [change for _ in range(4) for change in bench.step(600.0)] == []
    assert not bench.source._hints.waiting_among([b"a"])


def test_the_target_of_a_link_is_written_elsewhere(make: Make) -> None:
    """It lies outside of what is watched, and its writes notify nobody."""
    bench = make(Mode.NOTIFY, poll_interval_s=TICK_S)
    outside = bench.root.parent / "outside"
    outside.write_text("x")
    (bench.root / "a").symlink_to(outside)
    assert bench.rest() == ["created a"]
    for _ in range(20):
        with outside.open("a") as file:
            file.write("more")
        assert bench.step(TICK_S) == []
    assert bench.rest() == ["modified a"]


# Renames of what is not complete


@pytest.mark.parametrize("names", [[], ["a"]])
def test_a_file_is_renamed_while_it_is_written(make: Make, names: list[str]) -> None:
    """It is ``moved`` as it was reported, and reported anew when it is complete."""
    bench = make(Mode.NOTIFY, *names)
    fd = os.open(bench.root / "a", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"more")
    assert bench.step(TICK_S) == []
    (bench.root / "a").rename(bench.root / "b")
    assert bench.step() == (["moved a b"] if names else [])
    for _ in range(10):
        os.write(fd, b"more")
        assert bench.step(TICK_S) == []
    os.close(fd)
    assert bench.step() == ["modified b" if names else "created b"]
    assert bench.rest() == []


# The start


@modes
@pytest.mark.parametrize("appearance", [Appearance.EXISTING, Appearance.IGNORED_EXISTING])
def test_what_is_being_written_at_the_start(make: Make, mode: Mode, appearance: Appearance) -> None:
    """With ``existing: report`` it is reported when complete, else recorded as it is."""
    bench = make(mode)
    with bench.store._db.transaction():
        bench.store._db.execute("DELETE FROM entry")
    fd = os.open(bench.root / "a", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"begun")
    bench.open_again()
    bench.detector.appearance = lambda _path: appearance
    bench.reconciler.scan(is_baseline=True)
    bench.detector.appearance = lambda _path: Appearance.NEW
    assert bench.new_changes() == []
    os.write(fd, b"more")
    assert bench.step(TICK_S) == []
    os.close(fd)
    is_reported = appearance is Appearance.EXISTING
    assert bench.rest() == ["created a" if is_reported else "modified a"]
    last = bench.store.journal.read(0, limit=100, max_bytes=1 << 20)[-1]
    assert json.loads(last.data)["existing"] == is_reported


@modes
def test_a_restart_while_files_wait(make: Make, mode: Mode) -> None:
    """Nothing is lost, and nothing is reported twice."""
    bench = make(mode, "a", quiet_s=QUIET_S)
    (bench.root / "a").write_text("longer than before")
    (bench.root / "b").write_text("new")
    assert bench.step(TICK_S) == []
    bench.open_again()
    bench.reconciler.scan(is_baseline=False)
    found = [change for _ in range(4) for change in bench.step(QUIET_S + 1)]
    assert sorted(found) == ["created b", "modified a"]
    bench.open_again()
    bench.reconciler.scan(is_baseline=False)
    assert bench.step(QUIET_S + 1) == []


# Polling: clocks, caches and bounds


@pytest.mark.parametrize("ahead_s", [-86_400.0, -60.0, 60.0, 86_400.0])
def test_clocks_of_file_servers_are_not_compared(make: Make, ahead_s: float) -> None:
    bench = make(Mode.POLL, "a")
    bench.clock.ahead_s = ahead_s
    assert [*write_slowly(bench, bench.root / "a")] == [[]] * 30
    assert bench.rest() == ["modified a"]
    assert bench.rest() == []


@pytest.mark.parametrize("time_s", [0, 1_000_000_000, 4_000_000_000])
def test_times_that_a_writer_sets_prove_nothing(make: Make, time_s: int) -> None:
    """Each write is followed by the same old or future modification time."""
    bench = make(Mode.POLL)
    for size in range(1, 20):
        (bench.root / "a").write_text("x" * size)
        os.utime(bench.root / "a", (time_s, time_s))
        assert bench.step(TICK_S) == []
    assert bench.rest() == ["created a"]


@pytest.mark.parametrize("type_", ["cifs", "9p", "fuse.sshfs", "unknown"])
def test_looks_are_further_apart_than_attributes_are_cached(
    make: Make, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    """The second look comes after anything cached at the first one has expired."""
    mount = Mount("/", type_, "/", "rw", super_options="rw,actimeo=500")
    bench = make(Mode.POLL)
    monkeypatch.setattr(PartFinder, "mount_at", lambda *_: mount)
    (bench.root / "a").write_text("x")
    assert bench.step(SETTLE_S + 499.0) == []
    assert bench.step(1.0) == ["created a"]


@pytest.mark.parametrize("type_", ["nfs", "nfs4", "ceph", "fuse", "fuse.bindfs"])
def test_a_file_server_is_asked(make: Make, monkeypatch: pytest.MonkeyPatch, type_: str) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(statx, "refresh", lambda _fd, name=b"": asked.append(name))
    monkeypatch.setattr(
        PartFinder, "mount_at", lambda *_: Mount("/", type_, "/", "rw", super_options="")
    )
    bench = make(Mode.POLL)
    (bench.root / "a").write_text("x")
    assert bench.step(SETTLE_S - 1) == []
    assert asked == []
    assert bench.step(CACHE_S) == ["created a"]
    assert asked == [b"a"]


@pytest.mark.parametrize("is_baseline", [True, False])
def test_more_files_than_may_wait(
    make: Make, monkeypatch: pytest.MonkeyPatch, *, is_baseline: bool
) -> None:
    """Each is reported once, in a bounded number of scans that ask for one another."""
    monkeypatch.setattr(hints, "HINTS_MAX", 10)
    bench = make(Mode.POLL)
    names = [f"f{number:02}" for number in range(95)]
    fill(bench.root, *names)
    bench.detector.appearance = lambda _path: Appearance.EXISTING
    bench.reconciler.scan(is_baseline=is_baseline)
    bench.detector.appearance = lambda _path: Appearance.NEW
    found: list[str] = []
    for _ in range(12):
        assert len(bench.source._hints._paths) <= 10
        bench.observe(REST_S)
        found += bench.new_changes()
        if bench.reconciler.rescan_reason is None:
            break
        bench.reconciler.rescan_reason = None
        bench.reconciler.scan(is_baseline=False)
    assert sorted(found) == [f"created {name}" for name in names]
    assert bench.reconciler.rescan_reason is None
