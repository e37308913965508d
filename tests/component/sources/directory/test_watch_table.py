"""Decides whether each descriptor stands for the right directory through replacements and ends; the kernel is the real one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from watcher.sources.directory.inotify import Inbox, Inotify
from watcher.sources.directory.watch_table import WatchTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Map:
    """The watches of a directory, and what they say."""

    def __init__(self, root: Path, notifications: Inotify) -> None:
        self.root = root
        self.watches = WatchTable(notifications, Inbox(lambda: None))

    def add(self, *prefixes: str) -> list[int]:
        """Make directories, watch them and return their descriptors."""
        for prefix in prefixes:
            (self.root / prefix).mkdir(exist_ok=True)
            self.watches.add(prefix.encode(), os.fsencode(self.root / prefix))
        return [
            wd
            for prefix in prefixes
            for wd in self.watches._prefixes
            if self.watches.prefix(wd) == prefix.encode()
        ]

    def state(self) -> dict[bytes, int]:
        """Return the descriptors by prefix; both directions must agree."""
        by_prefix = {prefix: wd for wd, prefix in self.watches._prefixes.items()}
        assert by_prefix == self.watches._wds
        assert len(self.watches) == len(by_prefix)
        assert all(prefix in self.watches for prefix in by_prefix)
        return by_prefix


@pytest.fixture
def notifications() -> Iterator[Inotify]:
    """Provide the kernel's notifications without the thread that reads them."""
    notifications = Inotify()
    yield notifications
    notifications._is_reading = False
    notifications.close()


@pytest.fixture
def a_map(tmp_path: Path, notifications: Inotify) -> Map:
    """Watch an empty directory."""
    a_map = Map(tmp_path, notifications)
    a_map.add("")
    return a_map


def test_a_directory_has_one_watch(a_map: Map) -> None:
    """Watching a directory again changes nothing; a descriptor that is not ours stands for nothing."""
    before = a_map.add("a/", "b/")
    assert a_map.add("a/", "b/") == before
    assert set(a_map.state()) == {b"", b"a/", b"b/"}
    assert a_map.watches.prefix(10_000) is None


def test_what_cannot_be_watched_is_an_error(a_map: Map) -> None:
    """What is absent or no directory raises and leaves the map as it is."""
    (a_map.root / "file").touch()
    before = a_map.state()
    for name, error in (("absent/", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(error):
            a_map.watches.add(name.encode(), os.fsencode(a_map.root / name))
    assert a_map.state() == before


def test_a_new_directory_at_a_prefix_takes_over(a_map: Map, notifications: Inotify) -> None:
    """When another directory stands at a prefix the former one is watched no longer."""
    (old,) = a_map.add("a/")
    (a_map.root / "a").rename(a_map.root.parent / "elsewhere")
    (new,) = a_map.add("a/")
    assert old != new
    assert a_map.state() == {b"": a_map.state()[b""], b"a/": new}
    assert old not in notifications._watch_for_wd


def test_a_directory_found_under_a_new_name_has_that_name(a_map: Map) -> None:
    """When a scan meets a renamed directory before its event was taken, the descriptor stands for the new name only."""
    (wd,) = a_map.add("a/")
    (a_map.root / "a").rename(a_map.root / "b")
    assert a_map.add("b/") == [wd]
    assert a_map.state() == {b"": a_map.state()[b""], b"b/": wd}


def test_a_directory_that_left_is_dropped(a_map: Map, notifications: Inotify) -> None:
    """Dropping a prefix ends the watches of all below it in the kernel too, and of nothing else."""
    dropped = a_map.add("a/", "a/x/")
    kept = a_map.add("ab/")
    a_map.watches.drop(b"a/")
    assert set(a_map.state()) == {b"", b"ab/"}
    assert not set(dropped) & set(notifications._watch_for_wd)
    assert set(kept) <= set(notifications._watch_for_wd)


def test_an_ended_watch_is_forgotten(a_map: Map) -> None:
    """The end of a descriptor removes it, but not the one that has since taken over its prefix; an unknown one is passed over."""
    (old,) = a_map.add("a/")
    (a_map.root / "a").rmdir()
    (new,) = a_map.add("a/")
    for wd in (old, 10_000):
        a_map.watches.forget(wd)
    assert a_map.state()[b"a/"] == new
    a_map.watches.forget(new)
    assert b"a/" not in a_map.state()


def test_closing_ends_all_but_what_others_watch(a_map: Map, notifications: Inotify) -> None:
    """Two trees may watch one directory; when one of them closes the other goes on."""
    a_map.add("a/")
    other = Map(a_map.root, notifications)
    (shared,) = other.add("a/")
    a_map.watches.close()
    a_map.watches.close()
    assert len(a_map.watches) == 0
    assert set(notifications._watch_for_wd) == {shared}
    other.watches.close()
    assert notifications._watch_for_wd == {}
