"""Mounts below the root come and go while a tree is read: nothing is invented by that.

The mount table is written by the test, and directories are exchanged where volumes would be
mounted; ``tests/system/volumes/test_parts.py`` mounts real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from component.sources.directory.test_source import Bench
from support.files import fill
from support.staged_mounts import StagedMounts
from support.wiring import reader_of
from watcher.sources.directory.linux.inotify import Inotify
from watcher.spec import Mode

NAMES = [f"usb/{number}" for number in range(5)]


class VolumeBench(Bench):
    """A tree in which something is mounted at ``usb``, which hides a file of the same name."""

    monitor: StagedMounts

    def __init__(self, root: Path, notifications: Inotify, **options: Any) -> None:  # noqa: ANN401
        self.hidden = root.parent / "hidden"
        fill(self.hidden, "0", "below")
        fill(root, "top", "usb/sub/deep", *NAMES)
        monitor = StagedMounts(root)
        monitor.mount(root / "usb")
        super().__init__(root, notifications, monitor=monitor, **options)

    def observe(self, after_s: float) -> list[object]:
        """Accept volumes that were mounted since, as the watch does after its observations."""
        seen = super().observe(after_s)
        self.source.accept_volumes()
        return seen

    def unmount(self) -> None:
        """Show the directory beneath the mount."""
        (self.root / "usb").rename(self.root.parent / "volume")
        self.hidden.rename(self.root / "usb")
        self.monitor.unmount(self.root / "usb")

    def mount(self, type_: str = "tmpfs") -> None:
        """Mount the volume again, or one with a file system of another type."""
        (self.root / "usb").rename(self.hidden)
        (self.root.parent / "volume").rename(self.root / "usb")
        self.monitor.mount(self.root / "usb", type_)

    def settled_changes(self) -> list[str]:
        """Scan twice and read all hints; return the changes."""
        for _ in range(2):
            self.reconciler.scan(is_baseline=False)
            for _ in range(12):
                self.observe(61.0)
        return self.new_changes()


@pytest.fixture
def make(tmp_path: Path, notifications: Inotify) -> Iterator[Callable[..., VolumeBench]]:
    benches: list[VolumeBench] = []

    def start(**options: Any) -> VolumeBench:  # noqa: ANN401 - those of Bench
        benches.append(VolumeBench(tmp_path / "root", notifications, **options))
        return benches[-1]

    yield start
    for bench in benches:
        bench.source.close()
        bench.store.close()


modes = pytest.mark.parametrize("mode", [Mode.NOTIFY, Mode.POLL])


@modes
def test_a_volume_that_goes_and_comes_back(make: Callable[..., VolumeBench], mode: Mode) -> None:
    bench = make(mode=mode)
    bench.unmount()
    fill(bench.root, "new")
    fill(bench.root, "usb/more")
    assert bench.settled_changes() == ["created new"]
    assert "the mount at 'usb' is gone" in bench.source.degraded
    (bench.root.parent / "volume/0").unlink()
    fill(bench.root.parent / "volume", "added")
    bench.mount()
    assert bench.settled_changes() == ["created usb/added", "deleted usb/0"]
    assert bench.source.degraded == ""
    (bench.root / "usb/added").unlink()
    assert bench.settled_changes() == ["deleted usb/added"]


@pytest.mark.sampled
@modes
@pytest.mark.parametrize("check", range(1, 16))
def test_a_volume_that_goes_at_any_moment(
    make: Callable[..., VolumeBench], mode: Mode, check: int
) -> None:
    """Between any two looks at the mount table; what was read of it is not taken for the volume."""
    bench = make(mode=mode)
    bench.source.recheck([path.encode() for path in NAMES])
    bench.monitor.after_check = (bench.monitor.checks + check, bench.unmount)
    assert bench.settled_changes() == []
    (bench.root.parent / "volume/0").unlink()
    bench.monitor.after_check = (bench.monitor.checks + check, bench.mount)
    assert bench.settled_changes() == ["deleted usb/0"]


@pytest.mark.sampled
@modes
@pytest.mark.parametrize("check", range(1, 16))
def test_a_volume_that_is_away_for_a_moment(
    make: Callable[..., VolumeBench], mode: Mode, check: int
) -> None:
    """Between two looks at the mount table, which is afterwards as it was."""
    bench = make(mode=mode)
    usb, volume = bench.root / "usb", bench.root.parent / "volume"

    def leave() -> None:
        usb.rename(volume)
        bench.hidden.rename(usb)
        bench.monitor.before_check = come_back

    def come_back() -> None:
        usb.rename(bench.hidden)
        volume.rename(usb)
        bench.monitor.remount()

    bench.source.recheck([path.encode() for path in NAMES])
    bench.monitor.after_check = (bench.monitor.checks + check, leave)
    assert bench.settled_changes() == []
    (usb / "0").unlink()
    assert bench.settled_changes() == ["deleted usb/0"]


@modes
def test_another_volume_is_not_compared(make: Callable[..., VolumeBench], mode: Mode) -> None:
    bench = make(mode=mode)
    bench.unmount()
    (bench.root.parent / "volume/0").unlink()
    bench.mount("ramfs")
    assert bench.settled_changes() == []
    assert "another volume is mounted at 'usb'" in bench.source.degraded


@modes
def test_links_into_a_volume_go_and_come_with_it(
    make: Callable[..., VolumeBench], mode: Mode
) -> None:
    """A link is not deleted, nor another file, because its target's volume is missing."""
    bench = make(mode=mode)
    for name, target in {"a": "usb/0", "b": "usb/1", "dir": "usb/sub", "whole": "usb"}.items():
        (bench.root / name).symlink_to(target)
    created = [f"created whole/{number}" for number in range(5)]
    assert bench.settled_changes() == sorted(
        ["created a", "created b", "created dir/deep", "created whole/sub/deep", *created]
    )
    bench.unmount()
    assert bench.settled_changes() == []
    bench.mount()
    (bench.root / "usb/1").unlink()
    assert bench.settled_changes() == ["deleted b", "deleted usb/1", "deleted whole/1"]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.NOTIFY])
def test_only_notified_parts_are_watched(make: Callable[..., VolumeBench], mode: Mode) -> None:
    bench = make(mode=mode, poll_interval_s=30.0)
    bench.monitor.mount(bench.root / "usb/sub", "nfs4", "server:/export")
    bench.observe(0)
    assert bench.source.mode == "notify"
    assert bench.source.notifies(b"usb/0")
    assert not bench.source.notifies(b"usb/sub/deep")
    assert ("nfs4" in bench.source.degraded) is (mode is Mode.NOTIFY)
    bench.observe(0)
    fill(bench.root, "usb/sub/late")
    assert bench.source.due_in_s() <= 30.0
    assert bench.source.scan_interval_s == bench.source._spec.rescan_interval_s
    assert bench.changes() == ["created usb/sub/late"]


def test_a_root_that_is_polled_may_have_notified_parts(make: Callable[..., VolumeBench]) -> None:
    bench = make(mode=Mode.POLL)
    assert {part.mode.value for part in bench.source._mounts.parts} == {"polled"}
    assert bench.source.scan_interval_s == bench.source._spec.poll_interval_s


def test_a_file_that_is_mounted_is_looked_at(make: Callable[..., VolumeBench]) -> None:
    """Its writer uses another path, of which nothing is notified; replaced, it is degraded."""
    bench = make(poll_interval_s=10.0)
    point = bench.root / "top"
    bench.monitor.mount(point, "ext4", root="/srv/top")
    bench.observe(0)
    assert [part.point for part in bench.source._mounts.parts if part.is_file] == [b"top"]
    reader_of(bench.source).close()
    point.write_text("longer than it was")
    for _ in range(12):
        bench.observe(61.0)
    assert bench.new_changes() == ["modified top"]
    bench.monitor.replace_file(point)
    bench.observe(11.0)
    assert "the file mounted at 'top' was replaced outside" in bench.source.degraded
    bench.monitor.unmount(point)
    point.unlink()
    assert bench.settled_changes() == []
    assert "the mount at 'top' is gone" in bench.source.degraded


@pytest.mark.parametrize(
    ("options", "points"),
    [
        ({}, ["usb", "usb/0", "usb/sub"]),
        ({"recursive": False}, ["top"]),
    ],
)
def test_what_is_left_out_makes_no_part(
    make: Callable[..., VolumeBench], options: dict[str, bool], points: list[str]
) -> None:
    bench = make(**options)
    for name in ("usb/sub", "usb/0", "top"):
        if name != "top" or options:
            bench.monitor.mount(bench.root / name, "nfs4")
    bench.observe(0)
    assert [part.point.decode() for part in bench.source._mounts.parts if part.point] == points


def test_an_automounter_is_no_volume(make: Callable[..., VolumeBench]) -> None:
    """What it mounts is one; where it has mounted nothing yet, nothing is missing."""
    bench = make()
    bench.monitor.mount(bench.root / "usb/sub", "autofs", "systemd-1")
    bench.observe(0)
    assert [part.point for part in bench.source._mounts.parts] == [b"", b"usb"]
    assert bench.source.degraded == ""
    bench.monitor.unmount(bench.root / "usb/sub")
    bench.monitor.mount(bench.root / "usb/sub", "nfs4", "server:/export")
    bench.observe(0)
    assert [part.point for part in bench.source._mounts.parts] == [b"", b"usb", b"usb/sub"]
    assert set(bench.source.volumes) == {b"usb", b"usb/sub"}
