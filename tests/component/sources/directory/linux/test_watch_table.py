"""Each watch descriptor of the real kernel stands for the right directory of a tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.sources.directory.linux.inotify import Inbox, Inotify
from watcher.sources.directory.linux.watch_table import WatchTable


class WatchedDirectory:
    """A directory and the watches below it."""

    def __init__(self, root: Path, notifications: Inotify) -> None:
        self.root = root
        self.watches = WatchTable(notifications, Inbox(lambda: None))

    def add(self, *prefixes: str) -> list[int]:
        """Make directories, watch them, and return their descriptors."""
        for prefix in prefixes:
            (self.root / prefix).mkdir(exist_ok=True)
            self.watches.add(prefix.encode(), os.fsencode(self.root / prefix))
        return [
            wd
            for prefix in prefixes
            for wd in self.watches._prefixes
            if prefix.encode() in self.watches.prefixes(wd)
        ]

    def state(self) -> dict[bytes, int]:
        """Return the descriptors by prefix; both directions must agree."""
        by_prefix = {
            prefix: wd for wd in self.watches._prefixes for prefix in self.watches.prefixes(wd)
        }
        assert by_prefix == self.watches._wds
        assert len(self.watches) == len(set(by_prefix.values()))
        assert all(prefix in self.watches for prefix in by_prefix)
        return by_prefix


@pytest.fixture
def notifications() -> Iterator[Inotify]:
    """Provide an inotify descriptor that nobody reads."""
    notifications = Inotify()
    yield notifications
    notifications._is_reading = False
    notifications.close()


@pytest.fixture
def table(tmp_path: Path, notifications: Inotify) -> WatchedDirectory:
    table = WatchedDirectory(tmp_path, notifications)
    table.add("")
    return table


def test_a_directory_has_one_watch(table: WatchedDirectory) -> None:
    before = table.add("a/", "b/")
    assert table.add("a/", "b/") == before
    assert set(table.state()) == {b"", b"a/", b"b/"}
    assert table.watches.prefixes(10_000) == ()


def test_what_cannot_be_watched_is_an_error(table: WatchedDirectory) -> None:
    """The table stays as it is."""
    (table.root / "file").touch()
    before = table.state()
    for name, error in (("absent/", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(error):
            table.watches.add(name.encode(), os.fsencode(table.root / name))
    assert table.state() == before


def test_a_new_directory_at_a_prefix_takes_over(
    table: WatchedDirectory, notifications: Inotify
) -> None:
    (old,) = table.add("a/")
    (table.root / "a").rename(table.root.parent / "elsewhere")
    (new,) = table.add("a/")
    assert old != new
    assert table.state() == {b"": table.state()[b""], b"a/": new}
    assert old not in notifications._watch_for_wd


def test_a_directory_found_under_a_new_name_has_that_name(table: WatchedDirectory) -> None:
    """A scan may meet a renamed directory before its event was read."""
    (wd,) = table.add("a/")
    (table.root / "a").rename(table.root / "b")
    assert table.add("b/") == [wd]
    assert table.state() == {b"": table.state()[b""], b"b/": wd}


def test_a_directory_that_left_is_dropped(table: WatchedDirectory, notifications: Inotify) -> None:
    """With all directories below it, and nothing else."""
    dropped = table.add("a/", "a/x/")
    kept = table.add("ab/")
    table.watches.drop(b"a/")
    assert set(table.state()) == {b"", b"ab/"}
    assert not set(dropped) & set(notifications._watch_for_wd)
    assert set(kept) <= set(notifications._watch_for_wd)


def test_an_ended_watch_is_forgotten(table: WatchedDirectory) -> None:
    """But not the watch that has taken over its prefix since."""
    (old,) = table.add("a/")
    (table.root / "a").rmdir()
    (new,) = table.add("a/")
    for wd in (old, 10_000):
        table.watches.forget(wd)
    assert table.state()[b"a/"] == new
    table.watches.forget(new)
    assert b"a/" not in table.state()


def test_closing_ends_all_but_what_others_watch(
    table: WatchedDirectory, notifications: Inotify
) -> None:
    table.add("a/")
    other = WatchedDirectory(table.root, notifications)
    (shared,) = other.add("a/")
    table.watches.close()
    table.watches.close()
    assert len(table.watches) == 0
    assert set(notifications._watch_for_wd) == {shared}
    other.watches.close()
    assert notifications._watch_for_wd == {}


def test_a_directory_in_two_parts_has_both_prefixes(
    table: WatchedDirectory, notifications: Inotify
) -> None:
    """Until one is dropped; renamed, it has its new name in each part by itself."""
    (wd,) = table.add("a/")
    path = os.fsencode(table.root / "a")
    table.watches.add(b"usb/a/", path, b"usb")
    assert set(table.watches.prefixes(wd)) == {b"a/", b"usb/a/"}
    table.watches.add(b"usb/b/", path, b"usb")
    assert set(table.watches.prefixes(wd)) == {b"a/", b"usb/b/"}
    assert set(table.state()) == {b"", b"a/", b"usb/b/"}
    table.watches.drop(b"usb/")
    assert set(table.state()) == {b"", b"a/"}
    assert wd in notifications._watch_for_wd
    table.watches.drop(b"a/")
    assert wd not in notifications._watch_for_wd
