"""The kernel's mount table is read and followed; ``tests/system/volumes`` changes it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from watcher.filesystem.linux import mount_monitor
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filesystem.linux.mount_table import read_table
from watcher.filesystem.mounts import MountTable


def test_without_a_change_the_table_is_read_once() -> None:
    monitor = MountMonitor()
    generation, table = monitor.table()
    assert table == read_table()
    assert monitor.table()[1] is table
    assert monitor.generation == generation
    monitor.read_again()
    assert monitor.table()[1] is not table
    monitor.close()


def test_closing_ends_the_thread() -> None:
    """It may be closed without a subscriber, and twice."""
    monitor = MountMonitor()
    monitor.close()
    before = set(threading.enumerate())
    monitor = MountMonitor()
    monitor.subscribe(print)
    (thread,) = set(threading.enumerate()) - before
    monitor.unsubscribe(print)
    monitor.unsubscribe(print)
    monitor.close()
    monitor.close()
    assert not thread.is_alive()


def test_without_a_table_nothing_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that hides ``/proc``."""
    monkeypatch.setattr(mount_monitor, "MOUNTINFO", Path("/absent"))
    monkeypatch.setattr("watcher.filesystem.linux.mount_table.MOUNTINFO", Path("/absent"))
    monitor = MountMonitor()
    monitor.subscribe(print)
    assert monitor.table() == (0, MountTable([]))
    assert monitor.generation == 0
    monitor.close()
