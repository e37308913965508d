"""A watch remembers the volumes below its place, so that none is mistaken for its mount point.

The mount table is written by the test; directories are exchanged where volumes would be mounted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from support.clock import FakeClock
from support.files import fill
from support.memory_watch import Place, Scene
from support.staged_mounts import StagedMounts
from watcher.errors import NotFoundError
from watcher.filters.path_filter import PathFilter
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import DirectorySpec, Filter, Mode
from watcher.telemetry.status import State

INTERVAL_S = 10.0
VOLUME = ["same", "0", "1", "in/2"]
BENEATH = ["same", "beneath", "deep/beneath"]


class Run:
    """One run of a server with one watch, and the volume that can be mounted at ``usb``."""

    def __init__(self, directory: Path, notifications: Inotify) -> None:
        self.root = directory / "root"
        self.aside = directory / "aside"
        self.monitor = StagedMounts(self.root)
        spec = DirectorySpec(
            str(self.root), mode=Mode.POLL, settle_s=0.0, poll_interval_s=INTERVAL_S
        )
        clock = FakeClock()
        self.source = DirectorySource(
            spec,
            PathFilter(Filter()),
            LinuxBackend(lambda: notifications, self.monitor),
            clock,
            within=None,
        )
        self.scene = Scene(directory, cast("Place", self.source), clock)
        self.read_seq = self.scene.store.journal.next_seq - 1

    def start(self) -> None:
        self.scene.runner.open()
        self.turns()

    def turns(self) -> None:
        """Take turns until two scans have been made."""
        for _ in range(6):
            self.scene.turn(INTERVAL_S / 2)

    def exchange(self) -> None:
        """Exchange the volume and the directory beneath it."""
        usb, third = self.root / "usb", self.root.parent / "third"
        usb.rename(third)
        self.aside.rename(usb)
        third.rename(self.aside)

    def mount(self, *, is_exchanged: bool = True) -> None:
        if is_exchanged:
            self.exchange()
        self.monitor.mount(self.root / "usb")
        self.turns()

    def unmount(self) -> None:
        self.exchange()
        self.monitor.unmount(self.root / "usb")
        self.turns()

    def changes(self) -> list[str]:
        """Return the changes since the last call, sorted, with paths below the mount point."""
        payloads = self.scene.store.journal.read(self.read_seq, limit=1000, max_bytes=1 << 30)
        self.read_seq = self.scene.store.journal.next_seq - 1
        events = [json.loads(payload.data) for payload in payloads]
        return sorted(f"{event['type']} {event['path']}" for event in events)

    def stop(self) -> None:
        """End the run; it may have ended before."""
        if self.scene.status.state is not State.STOPPED:
            self.scene.runner.close()


@pytest.fixture
def begin(tmp_path: Path, notifications: Inotify) -> Iterator[Callable[[], Run]]:
    """Return a function that begins a run; before the first one nothing is mounted."""
    fill(tmp_path / "root", "top", *(f"usb/{name}" for name in BENEATH))
    fill(tmp_path / "aside", *VOLUME)
    (tmp_path / "aside/same").write_text("longer than the one beneath")
    with ExitStack() as stack:

        def start(*, is_mounted: bool = False) -> Run:
            run = Run(tmp_path, notifications)
            stack.callback(run.stop)
            if is_mounted:
                run.monitor.mount(run.root / "usb")
            run.start()
            return run

        yield start


CREATED = ["created usb/0", "created usb/1", "created usb/in/2", "modified usb/same"]


def test_a_volume_that_comes_later_hides_what_is_known(begin: Callable[..., Run]) -> None:
    run = begin()
    run.mount()
    assert run.changes() == CREATED
    assert run.scene.store.index.entries == len({*VOLUME, *BENEATH}) + 1
    (run.root / "usb/0").unlink()
    (run.root / "usb/same").unlink()
    run.turns()
    assert run.changes() == ["deleted usb/0", "deleted usb/same"]
    run.unmount()
    assert run.changes() == []


def test_a_volume_is_known_over_a_restart(begin: Callable[..., Run]) -> None:
    run = begin()
    run.mount()
    assert run.changes() == CREATED
    run.stop()
    run.exchange()

    run = begin()
    assert run.changes() == []
    assert "the mount at 'usb' is gone" in run.source.degraded
    (run.aside / "1").unlink()
    run.mount()
    assert run.changes() == ["deleted usb/1"]


def test_a_volume_that_came_while_nobody_watched(begin: Callable[..., Run]) -> None:
    run = begin()
    run.stop()
    run.exchange()
    run = begin(is_mounted=True)
    run.turns()
    assert run.changes() == CREATED
    run.unmount()
    assert run.changes() == []


def test_volumes_of_a_state_without_a_record_are_known(begin: Callable[..., Run]) -> None:
    """As one of 0.1, whose index has read through all mounts."""
    run = begin()
    run.scene.store.set_meta(volumes=None)
    run.stop()
    run = begin(is_mounted=True)
    assert (run.changes(), run.source.degraded) == ([], "")
    run.unmount()
    assert run.changes() == []
    assert run.source._mounts.parts.missing == [b"usb"]


def test_a_released_volume_leaves_an_ordinary_directory(begin: Callable[..., Run]) -> None:
    """Its files are gone, and those that it hid are as they were."""
    run = begin()
    run.mount()
    run.changes()
    refused = run.scene.watch.release_mount(b"usb")
    run.turns()
    run.unmount()
    released = run.scene.watch.release_mount(b"usb")
    run.turns()
    assert (type(refused.exception(0)), released.result(0)) == (NotFoundError, None)
    assert run.changes() == [
        "deleted usb/0",
        "deleted usb/1",
        "deleted usb/in/2",
        "modified usb/same",
    ]
    assert (run.source.degraded, run.scene.store.meta("volumes")) == ("", "{}")
    (run.root / "usb/beneath").unlink()
    run.turns()
    assert run.changes() == ["deleted usb/beneath"]


def test_hidden_files_are_not_held(begin: Callable[..., Run], tmp_path: Path) -> None:
    """However many they are, the scans that do not meet them are no mass deletion."""
    fill(tmp_path / "root", *(f"usb/many/{number}" for number in range(300)))
    run = begin()
    run.mount()
    assert run.changes() == CREATED
    assert run.scene.status.holds == 0


def test_a_volume_below_a_linked_directory_hides_what_the_link_leads_to(
    begin: Callable[..., Run], tmp_path: Path
) -> None:
    fill(tmp_path / "root", "link>usb", "in>usb/deep")
    run = begin()
    run.mount()
    assert [change for change in run.changes() if change.startswith("deleted")] == []


def test_marks_without_a_volume_hide_nothing(begin: Callable[..., Run]) -> None:
    """As after a crash between marking and the record of the volume, which then went away."""
    run = begin()
    run.scene.runner._reconciler.hide(b"usb/")
    (run.root / "usb/beneath").unlink()
    run.turns()
    assert run.changes() == ["deleted usb/beneath"]


def test_paths_need_not_be_text(begin: Callable[..., Any]) -> None:
    run = begin()
    known = {b"a\xff/b": "ext4 at /x", "ö".encode(): ""}
    baseline = run.scene.runner._baseline
    baseline.record_volumes(known)
    assert baseline.volumes() == known
