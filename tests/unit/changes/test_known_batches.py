"""Decides which batches of a scan are known from the one before; what follows from that is tested in test_reconciler.py."""

from __future__ import annotations

from watcher.changes.known_batches import RANGES_MAX, UnchangedBatches, as_ranges


def test_a_batch_is_known_for_one_scan() -> None:
    """What a scan kept is found in the next one, and in the one after only if it was kept again."""
    first = UnchangedBatches({})
    first.keep(b"a", [range(3)])
    first.keep(b"", [range(9)])
    second = UnchangedBatches(first.batches)
    assert (second.find(b"a"), second.find(b"b"), second.find(b"")) == ([range(3)], (), ())
    assert UnchangedBatches(second.batches).find(b"a") == ()
    assert (first.kept_rows(b"a"), second.kept_rows(b"a")) == (3, 0)


def test_giving_up_forgets_both_scans() -> None:
    """After giving up nothing is recalled or remembered, whatever is kept later."""
    known = UnchangedBatches({b"a": [range(3)]})
    known.keep(b"b", [range(3)])
    known.invalidate()
    known.keep(b"c", [range(3)])
    assert (known.find(b"a"), known.batches) == ((), {})


def test_scattered_rows_are_not_worth_it() -> None:
    """A batch whose rows are in too many pieces is not remembered, so that memory stays small."""
    known = UnchangedBatches({})
    known.keep(b"some", as_ranges(range(0, 2 * RANGES_MAX, 2)))
    known.keep(b"more", as_ranges(range(0, 2 * RANGES_MAX + 2, 2)))
    assert set(known.batches) == {b"some"}


def test_ids_become_ranges() -> None:
    """Ids in any order become the fewest ranges."""
    assert as_ranges([]) == []
    assert as_ranges([5, 3, 4, 9, 0, 1]) == [range(2), range(3, 6), range(9, 10)]
