"""Calls, statements and bytes a file of a directory that is read, or in which files are made.

A bound is twice what was counted, or more: it shows work that grows with the number of files where
there was none, or less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from support.client import DEADLINE_S
from support.clock import DiskClock
from support.counts import Counts, counted
from support.memory_watch import Place, Scene
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.path_filter import PathFilter
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import DirectorySpec, Filter

DIRECTORIES, FILES = 3, 3_000
INTERVAL_S = 1_000.0


def make(root: Path, name: str) -> None:
    """Make the files, in all directories."""
    for directory in range(DIRECTORIES):
        (root / str(directory)).mkdir(exist_ok=True)
    for number in range(FILES):
        (root / str(number % DIRECTORIES) / f"{name}{number:05}").touch()


class Watched:
    """A watch of a directory."""

    def __init__(self, directory: Path, notifications: Inotify) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self.clock = DiskClock()
        self.source = DirectorySource(
            DirectorySpec(str(self.root), settle_s=0.0, poll_interval_s=INTERVAL_S),
            PathFilter(Filter()),
            LinuxBackend(lambda: notifications, MountMonitor()),
            self.clock,
            within=None,
        )
        self.scene = Scene(directory, cast("Place", self.source), self.clock)

    def scan(self) -> Counts:
        """Make one scan, and return what it has taken."""
        scans = self.scene.status.scans.count
        self.clock.advance(2 * INTERVAL_S)
        with counted(self.scene.store) as counts:
            while self.scene.status.scans.count == scans:
                self.scene.turn()
        return counts


@pytest.fixture
def watched(tmp_path: Path, notifications: Inotify) -> Iterator[Watched]:
    watched = Watched(tmp_path, notifications)
    make(watched.root, "a")
    watched.scene.runner.open()
    with closing(watched.scene.store), closing(watched.source):
        yield watched


def test_a_first_scan(watched: Watched) -> None:
    """12.5 calls of Python, 10 of C, a statement for 20 files, and 90 bytes of the log."""
    counts = watched.scan()
    assert watched.scene.store.index.entries == FILES
    assert counts.native_calls["DirEntry.stat"] == FILES
    assert counts.calls < 28 * FILES
    assert counts.native_calls.total() < 22 * FILES
    assert counts.statements < FILES // 8
    assert counts.written_bytes < 200 * FILES


def test_an_unchanged_scan(watched: Watched) -> None:
    """1.4 calls of Python and 5.7 of C, one of them lstat; 12 statements, nothing written."""
    watched.scan()
    counts = watched.scan()
    assert counts.native_calls["DirEntry.stat"] == FILES
    assert counts.calls < 4 * FILES
    assert counts.native_calls.total() < 12 * FILES
    assert (counts.statements < 40, counts.written_bytes) == (True, 0)


def test_files_that_are_made(watched: Watched) -> None:
    """120 calls of Python, 80 of C, a statement, and 600 bytes of the log."""
    watched.scan()
    make(watched.root, "b")
    total, deadline_s = Counts(), time.monotonic() + DEADLINE_S
    while (created := watched.scene.counts().get("created", 0)) < FILES:
        assert time.monotonic() < deadline_s
        with counted(watched.scene.store) as counts:
            watched.scene.turn(1.0)
        if watched.scene.counts().get("created", 0) > created:
            total.add(counts)
    assert total.calls < 260 * FILES
    assert total.native_calls.total() < 180 * FILES
    assert total.statements < 3 * FILES
    assert total.written_bytes < 1_500 * FILES
