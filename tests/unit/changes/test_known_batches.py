"""The batches that a scan remembers; test_reconciler.py has what follows from them."""

from __future__ import annotations

import pytest

from watcher.changes.known_batches import RANGES_MAX, KnownParts, UnchangedBatches, as_ranges


def test_a_batch_is_known_for_one_scan() -> None:
    """And for another one only if it is kept again."""
    first = UnchangedBatches()
    first.keep(b"a", [range(3)])
    first.keep(b"", [range(9)])
    second = UnchangedBatches(first)
    assert (second.find(b"a"), second.find(b"b"), second.find(b"")) == ([range(3)], (), ())
    assert UnchangedBatches(second).find(b"a") == ()
    assert (first.kept_rows(b"a"), second.kept_rows(b"a")) == (3, 0)


def test_invalidation_forgets_both_scans() -> None:
    former = UnchangedBatches()
    former.keep(b"a", [range(3)])
    known = UnchangedBatches(former)
    known.keep(b"b", [range(3)])
    known.invalidate()
    known.keep(b"c", [range(3)])
    assert not any((known.find(b"a"), known.kept(b"b"), known.kept(b"c")))


def test_a_touched_row_makes_its_batches_unknown_and_no_others() -> None:
    former = UnchangedBatches()
    former.keep(b"a", [range(10), range(20, 40)])
    former.keep(b"b", [range(10, 20)])
    known = UnchangedBatches(former)
    known.keep(b"c", [range(10, 30)])
    known.keep(b"d", [range(30, 40)])
    known.touch([25])
    found = known.find(b"a"), known.find(b"b"), known.kept(b"c"), known.kept(b"d")
    assert found == ((), [range(10, 20)], (), [range(30, 40)])
    assert UnchangedBatches(known).find(b"c") == ()


def test_scattered_rows_are_not_remembered() -> None:
    known = UnchangedBatches()
    known.keep(b"some", as_ranges(range(0, 2 * RANGES_MAX, 2)))
    known.keep(b"more", as_ranges(range(0, 2 * RANGES_MAX + 2, 2)))
    assert known.kept(b"some")
    assert not known.kept(b"more")
    known.keep_parts(b"some", {b"a": as_ranges(range(0, 2 * RANGES_MAX, 2))})
    known.keep_parts(b"more", {b"a": as_ranges(range(0, 2 * RANGES_MAX + 2, 2))})
    following = UnchangedBatches(known)
    assert following.find_parts(b"some")
    assert not following.find_parts(b"more")


@pytest.mark.parametrize(
    "parts",
    [
        {b"aa": [range(7, 9), range(3)], b"bb": [], b"cc": [range(3, 5)], b"dd": [range(9, 12)]},
        {b"aa": [range(7, 9)], b"bb": [], b"cc": [range(9, 12)]},
        {b"aa": []},
    ],
)
def test_parts_keep_their_rows_in_their_order(parts: dict[bytes, list[range]]) -> None:
    assert KnownParts.of(parts).by_digest() == parts


def test_ids_become_ranges() -> None:
    assert as_ranges([]) == []
    assert as_ranges([5, 3, 4, 9, 0, 1]) == [range(2), range(3, 6), range(9, 10)]
