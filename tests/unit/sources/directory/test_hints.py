"""The queue of hints: what it yields, in which order, and how it is bounded."""

from __future__ import annotations

import pytest

from watcher.limits.fair_share import FairShare
from watcher.model import Entry, Rescan
from watcher.sources.directory.hints import HINTS_MAX, DuePaths, HintQueue, Request
from watcher.sources.observations import LinksChanged, Rename, Renames, Subtree
from watcher.spec import DirectorySpec

SETTLE_S = 60.0
MAX = 1000
RESCAN = [Subtree(b"", Rescan.MANY_HINTS)]


def new_queue(all_trees: FairShare | None = None) -> HintQueue:
    spec = DirectorySpec("/data", settle_s=SETTLE_S, poll_interval_s=10.0)
    return HintQueue(spec, all_trees or FairShare(10 * HINTS_MAX))


def grow(queue: HintQueue, count: int, now_s: float = 0.0) -> bool:
    """Add paths, and return whether all paths still wait, not a scan of the tree instead."""
    start = len(queue._paths)
    for number in range(start, start + count):
        queue.add_written(b"%d" % number, now_s)
    queue.enforce_limits(now_s)
    return len(queue._paths) == start + count


def taken(queue: HintQueue, now_s: float) -> list[Request | list[bytes]]:
    return [list(each.hints) if isinstance(each, DuePaths) else each for each in queue.take(now_s)]


def test_requests_come_in_order() -> None:
    """Renames first, since paths below are named anew; then subtrees, links and single paths."""
    queue = new_queue()
    assert (queue.due_s(), taken(queue, 0.0)) == (float("inf"), [])
    queue.note_links([Entry(b"l", 1, 1, is_link=True)])
    queue.add_closed(b"a", 1.0)
    queue.add_written(b"b", 1.0)
    queue.add_subtree(b"d/", 1.0)
    queue.add_subtree(b"d/e/", 1.0)
    queue.add_vanished(b"f/", 1.0)
    queue.add_rename(b"x/", b"y/", 1.0)
    assert taken(queue, 1.0) == [
        Renames([Rename(b"x/", b"y/")]),
        Subtree(b"d/"),  # which includes d/e/
        LinksChanged(),
        [b"a"],
    ]
    assert queue.due_s() == 11.0
    assert taken(queue, 11.0) == [LinksChanged()]
    queue.check_links(12.0)
    assert queue.due_s() == 12.0
    assert taken(queue, 61.0) == [Subtree(b"f/"), LinksChanged(), [b"b"]]


def test_an_overflow_during_a_scan_drops_the_subtrees_that_wait() -> None:
    """Events are read between the batches of a scan; those of an overflow end all hints at once."""
    queue = new_queue()
    for prefix in (b"d/", b"e/", b"f/"):
        queue.add_subtree(prefix, 0.0)
    requests = queue.take(0.0)
    assert next(requests) == Subtree(b"d/")
    queue.rescan(Rescan.NOTIFICATIONS_LOST)
    assert list(requests) == []
    assert taken(queue, 0.0) == [Subtree(b"", Rescan.NOTIFICATIONS_LOST)]


def test_renames_after_an_overflow_come_before_the_scan() -> None:
    """The scan alone would report them as deleted and created; those before it may be outdated."""
    queue = new_queue()
    queue.add_rename(b"a", b"b", 0.0)
    queue.rescan(Rescan.NOTIFICATIONS_LOST)
    queue.add_rename(b"x/", b"y/", 0.0)
    assert taken(queue, 0.0) == [
        Renames([Rename(b"x/", b"y/")]),
        Subtree(b"", Rescan.NOTIFICATIONS_LOST),
    ]
    assert taken(queue, 0.0) == []


def test_a_scan_replaces_what_was_unread_below_it() -> None:
    queue = new_queue()
    queue.set_unread(b"", [b"d/", b"e/"], 0.0)
    queue.set_unread(b"d/", [b"d/f/"], 0.0)
    assert set(queue.unread.paths) == {b"d/f/", b"e/"}
    queue.clear()
    assert not queue.unread.paths


def test_what_is_unread_is_read_again_at_intervals() -> None:
    """Directories are scanned, single paths inspected once they rest; the tree is not scanned."""
    queue = new_queue()
    queue.set_unread(b"", [b"d/", b"a"], 0.0)
    queue.add_unread(b"d/below", 5.0)
    assert queue.due_s() == 10.0
    assert taken(queue, 10.0) == [Subtree(b"d/")]
    assert taken(queue, 10.0 + SETTLE_S) == [Subtree(b"d/"), [b"a"]]
    assert queue.unread.discard(b"a")
    queue.set_unread(b"d/", [], 71.0)
    assert (taken(queue, 200.0), queue.due_s()) == ([], float("inf"))


def test_too_many_paths_become_a_scan() -> None:
    """The scan is due when the first paths would have been, however many follow."""
    queue = new_queue()
    assert grow(queue, HINTS_MAX)
    assert not grow(queue, 1)
    assert queue.due_s() == SETTLE_S
    assert not grow(queue, HINTS_MAX + 1, SETTLE_S / 2)
    assert queue.due_s() == SETTLE_S
    assert taken(queue, SETTLE_S) == RESCAN
    assert (queue.due_s(), taken(queue, SETTLE_S)) == (float("inf"), [])


def test_entries_that_find_no_room_are_left_to_a_further_scan() -> None:
    """It is asked for once half of the room is free, and only then."""
    queue = new_queue()
    entries = [(Entry(b"%d" % number, 1, 1), 10.0) for number in range(HINTS_MAX)]
    queue.look_again(entries, 0.0)
    assert (len(queue._paths), queue.due_s()) == (HINTS_MAX, 10.0)
    assert taken(queue, 9.0) == []
    queue.look_again([(Entry(b"more", 1, 1), 10.0)], 9.0)
    assert len(queue._paths) == HINTS_MAX
    *paths, scan = taken(queue, 10.0)
    assert sum(len(each) for each in paths if isinstance(each, list)) == HINTS_MAX
    assert [scan] == RESCAN
    assert taken(queue, 20.0) == []


def test_trees_that_wait_share_the_room() -> None:
    """Entries of a further tree are left out while the others keep what all may keep."""
    all_trees = FairShare(MAX)
    one, other = new_queue(all_trees), new_queue(all_trees)
    one.look_again([(Entry(b"%d" % number, 1, 1), 10.0) for number in range(MAX)], 0.0)
    other.look_again([(Entry(b"%d" % number, 1, 1), 10.0) for number in range(MAX)], 0.0)
    assert (len(one._paths), len(other._paths)) == (MAX, 0)
    assert taken(other, 0.0) == RESCAN


def test_too_many_subtrees_become_a_scan() -> None:
    queue = new_queue(FairShare(MAX))
    for number in range(MAX + 1):
        queue.add_subtree(b"%d/" % number, 0.0)
    assert (taken(queue, 0.0), queue.due_s()) == ([], SETTLE_S)
    assert taken(queue, SETTLE_S) == RESCAN


@pytest.mark.parametrize("is_closed", [True, False])
def test_the_largest_tree_makes_room(*, is_closed: bool) -> None:
    """Above the common limit a tree with more than its share is scanned, and leaves its room."""
    all_trees = FairShare(MAX)
    large, small, other = (new_queue(all_trees) for _ in range(3))
    assert grow(large, MAX - 100)
    assert grow(small, 200)
    assert not grow(large, 0)
    assert grow(other, MAX - 200)
    assert not grow(other, 1)
    if is_closed:
        small.clear()
    assert grow(large, MAX) == is_closed
