"""Inodes that all differ at once, and those of files that were replaced."""

from __future__ import annotations

import pytest

from support.reconciler_bench import Bench, many
from watcher.changes.reconciler import Interrupted
from watcher.spec import Attribute, Compare


def renumber(bench: Bench, *paths: bytes) -> None:
    for path in paths:
        bench.place.put(path, inode=1000 + bench.place.files[path].inode)


def test_new_inodes_of_all_after_an_opening_are_no_change(bench: Bench) -> None:
    """What differs in more than its inode is modified; the scan says how many it has taken over."""
    bench.baseline(*many(9))
    bench.reconciler.is_reopened = True
    renumber(bench, *many(9))
    bench.place.put(b"0000", mtime_ns=9)
    assert bench.reconciler.scan(is_baseline=False).new_inodes == 8
    assert bench.changes() == "modified 0000"
    assert bench.reconciler.scan(is_baseline=False).new_inodes == 0
    renumber(bench, b"0001", b"0002", b"0003")
    assert bench.scan() == "modified 0001, modified 0002, modified 0003"


def test_new_inodes_of_one_mount_are_no_change(bench: Bench) -> None:
    """The other files of the batch are on another one."""
    paths = [b"a", b"b/1", b"b/2", b"c"]
    bench.place.remounted = {b"b/": False}
    bench.baseline(*paths)
    renumber(bench, b"b/1", b"b/2")
    assert bench.scan() == "modified b/1, modified b/2"
    bench.place.remounted = {b"b/": True}
    renumber(bench, b"b/1", b"b/2", b"c")
    assert bench.scan() == "modified c"
    bench.reconciler.is_reopened = True
    bench.place.remounted = {b"b/": False}
    renumber(bench, b"b/1", b"b/2")
    assert bench.scan() == ""


def test_new_inodes_are_taken_over_up_to_the_end_of_an_interrupted_scan(bench: Bench) -> None:
    """Batches may be cut otherwise when it is repeated."""
    bench.baseline(*many(9))
    bench.reconciler.is_reopened = True
    renumber(bench, *many(9))
    bench.interrupt_at = 6
    with pytest.raises(Interrupted):
        bench.scan()
    bench.interrupt_at = None
    del bench.place.files[b"0001"]
    assert bench.scan() == "deleted 0001"


@pytest.mark.parametrize(
    ("compare", "replaced", "expected"),
    [
        (Compare(), 1, "modified 0000"),
        (Compare(), 3, ""),
        (Compare(frozenset({Attribute.INODE}), is_auto=False), 1, "modified 0000"),
        (
            Compare(frozenset({Attribute.INODE}), is_auto=False),
            3,
            "modified 0000, modified 0001, modified 0002",
        ),
    ],
)
def test_a_file_that_replaced_another_is_modified_after_an_opening(
    bench: Bench, compare: Compare, replaced: int, expected: str
) -> None:
    """Files beside it have kept their inodes."""
    bench.compare(compare)
    bench.baseline(*many(9))
    bench.reconciler.is_reopened = True
    renumber(bench, *many(replaced))
    assert bench.scan() == expected
