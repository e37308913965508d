"""Renames that the kernel has paired, and what must fit for them to be one."""

from __future__ import annotations

import pytest

from support.reconciler_bench import Bench
from watcher.sources.observations import Rename, Renames
from watcher.spec import Compare


def test_renames_carry_digests(bench: Bench) -> None:
    """A file that was written as well is moved as it was, and read again."""
    bench.compare(Compare(is_content=True))
    for path in (b"a", b"b", b"c"):
        bench.place.put(path, etag="1")
    bench.baseline()
    for path, values in [(b"a", {"ctime_ns": 5}), (b"b", {"mtime_ns": 5}), (b"c", {"inode": 99})]:
        bench.place.rename(path, b"new " + path)
        bench.place.put(b"new " + path, etag="", **values)
    renames = [Rename(path, b"new " + path) for path in (b"a", b"b", b"c")]
    assert bench.apply(Renames(renames)) == "moved a new a, moved b new b"
    assert bench.place.rechecked == {b"new b", b"c", b"new c"}
    rows = bench.store.index.rows([b"new a", b"new b"])
    assert [(row.entry.etag, row.entry.mtime_ns) for row in rows.values()] == [("1", 1), ("1", 1)]


def test_renames_are_paired_without_inodes_where_those_are_made_up(bench: Bench) -> None:
    bench.place.is_stable = False
    bench.baseline(b"a", b"b")
    bench.place.put(b"b", mtime_ns=5)
    assert bench.scan() == "modified b"
    for path in (b"a", b"b"):
        bench.place.rename(path, b"new " + path)
    bench.place.put(b"new a", inode=77, ctime_ns=9)
    bench.place.put(b"new b", mtime_ns=6)
    renames = Renames([Rename(path, b"new " + path) for path in (b"a", b"b")])
    assert bench.apply(renames) == "moved a new a"
    assert bench.place.rechecked == {b"b", b"new b"}


@pytest.mark.parametrize(
    ("standing", "values", "expected", "rechecked"),
    [
        ([b"a"], {}, "moved a b", set()),
        ([b"a"], {"size": 9, "mtime_ns": 9}, "moved a b, modified b", set()),
        ([b"a"], {"inode": 99}, "", {b"a", b"b"}),
        ([], {}, "", {b"b"}),
    ],
)
def test_a_rename_is_accepted_if_the_inode_agrees(
    bench: Bench,
    standing: list[bytes],
    values: dict[str, int],
    expected: str,
    rechecked: set[bytes],
) -> None:
    """Otherwise the known paths are rechecked."""
    bench.baseline(*standing)
    bench.place.put(b"a", **values)
    bench.place.rename(b"a", b"b")
    assert bench.apply(Renames([Rename(b"a", b"b")])) == expected
    assert bench.place.rechecked & {b"a", b"b"} >= rechecked
    assert bench.apply(bench.place.inspect(sorted(bench.place.rechecked))) in (
        "",
        "deleted a, created b",
        "created b",
    )
    assert bench.scan() == ""
