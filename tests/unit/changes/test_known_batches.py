"""The batches that a scan remembers; test_reconciler.py has what follows from them."""

from __future__ import annotations

from watcher.changes.known_batches import RANGES_MAX, UnchangedBatches, as_ranges


def test_a_batch_is_known_for_one_scan() -> None:
    """And for another one only if it is kept again."""
    first = UnchangedBatches({})
    first.keep(b"a", [range(3)])
    first.keep(b"", [range(9)])
    second = UnchangedBatches(first.batches)
    assert (second.find(b"a"), second.find(b"b"), second.find(b"")) == ([range(3)], (), ())
    assert UnchangedBatches(second.batches).find(b"a") == ()
    assert (first.kept_rows(b"a"), second.kept_rows(b"a")) == (3, 0)


def test_invalidation_forgets_both_scans() -> None:
    known = UnchangedBatches({b"a": [range(3)]})
    known.keep(b"b", [range(3)])
    known.invalidate()
    known.keep(b"c", [range(3)])
    assert (known.find(b"a"), known.batches) == ((), {})


def test_scattered_rows_are_not_remembered() -> None:
    known = UnchangedBatches({})
    known.keep(b"some", as_ranges(range(0, 2 * RANGES_MAX, 2)))
    known.keep(b"more", as_ranges(range(0, 2 * RANGES_MAX + 2, 2)))
    assert set(known.batches) == {b"some"}


def test_ids_become_ranges() -> None:
    assert as_ranges([]) == []
    assert as_ranges([5, 3, 4, 9, 0, 1]) == [range(2), range(3, 6), range(9, 10)]
