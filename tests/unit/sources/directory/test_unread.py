"""What could not be read: how it is kept, bounded, and when it is read again."""

from __future__ import annotations

from watcher.sources.directory.unread import UNREAD_MAX, Unread

INTERVAL_S = 10.0


def unread_of(*paths: bytes) -> Unread:
    unread = Unread(INTERVAL_S)
    unread.replace(b"", paths, 0.0)
    return unread


def test_a_scan_replaces_its_part() -> None:
    """A path that could not be inspected was read when the directory there was."""
    unread = unread_of(b"a", b"ab", b"a/x", b"d/")
    unread.replace(b"a/", [b"a/y"], 1.0)
    assert set(unread.paths) == {b"ab", b"a/y", b"d/"}


def test_a_path_below_what_is_unread_is_not_counted_twice() -> None:
    unread = unread_of(b"d/")
    unread.add(b"d/a", 1.0)
    unread.add(b"da", 1.0)
    assert set(unread.paths) == {b"d/", b"da"}
    assert unread.is_near(b"d/")
    assert not unread.is_near(b"e/")


def test_it_is_read_again_until_it_was_read() -> None:
    unread = Unread(INTERVAL_S)
    assert unread.due_s() is None
    unread.add(b"a", 5.0)
    unread.add(b"b", 6.0)
    assert unread.take(14.0) == []
    assert unread.take(15.0) == [b"a", b"b"]
    assert unread.due_s() == 25.0
    assert unread.discard(b"a")
    assert not unread.discard(b"a")
    assert unread.take(25.0) == [b"b"]
    unread.clear()
    assert unread.due_s() is None


def test_a_scan_of_the_tree_puts_off_the_next_look() -> None:
    unread = unread_of(b"a")
    unread.replace(b"", [b"a"], 9.0)
    assert unread.due_s() == 19.0


def test_too_much_is_left_to_scans_of_the_tree() -> None:
    unread = unread_of(*(b"%d" % number for number in range(UNREAD_MAX + 1)))
    assert unread.is_overfull
    assert len(unread.paths) == UNREAD_MAX
    assert unread.take(INTERVAL_S) == []
    unread.replace(b"0/", [], 1.0)
    assert unread.is_overfull
    unread.replace(b"", [b"0"], 2.0)
    assert (unread.is_overfull, unread.due_s()) == (False, 12.0)
