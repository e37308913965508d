"""The index: rows found by path, range and batch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from support.state import add, indexed
from watcher.model import (
    GATE_REPORTED,
    ChangeType,
    Delta,
    Entry,
    Gate,
    GroupCounts,
    GroupDelta,
    Row,
)
from watcher.state.group_port import ChangedGroup
from watcher.state.port import Comparison, WatchStore
from watcher.status_values import HeldBack

PATHS = sorted(
    b"\x00|a|a\xff|a\xff\xff|a/|a/x|a/\xff|a0|b|\xff|\xff\x00|\xff\xff|\xff\xffz".split(b"|")
)


def test_a_row_may_be_written_twice_in_one_step(store: WatchStore) -> None:
    """As by a store that lists a key twice: the last entry counts, with the id of the first."""
    for size, is_there in ((1, False), (3, True)):
        first = store.index.new_row(Entry(b"a", size, 1))
        second = store.index.new_row(Entry(b"a", size + 1, 1))
        store.commit(Delta([first, second], created=0 if is_there else 1))
        (row,) = store.index.rows([b"a"]).values()
        assert (row.entry, store.index.entries) == (second.entry, 1)
        assert row.id == first.id or is_there


def test_an_upsert_keeps_its_row(store: WatchStore) -> None:
    """A path keeps its id when its entry changes and loses it with its row."""
    first, second = add(store, b"a", b"b")
    newer = Entry(b"a", size=9, mtime_ns=9, is_link=True)
    store.commit(Delta(upserts=[Row(first.id, newer)], deletes=[second]))
    assert store.index.rows([b"a", b"b"]) == {b"a": Row(first.id, newer)}
    assert (store.index.entries, store.index.links()) == (1, [b"a"])
    assert add(store, b"b")[0].id not in (first.id, second.id)


def test_ids_are_below_their_limit(store: WatchStore) -> None:
    rows = add(store, b"a", b"b", b"c")
    assert len({row.id for row in rows}) == 3
    assert all(row.id < store.index.id_limit for row in rows)


@pytest.mark.sampled
@pytest.mark.parametrize("prefix", [b"", *PATHS, b"c", b"a/\xff\xff"])
def test_a_prefix_is_a_range(store: WatchStore, prefix: bytes) -> None:
    """The rows under a prefix are exactly those whose path begins with these bytes, in order."""
    add(store, *reversed(PATHS))
    expected = [path for path in PATHS if path.startswith(prefix)]
    assert [row.entry.path for page in store.index.rows_under(prefix) for row in page] == expected
    assert indexed(store, prefix) == expected


def test_rows_may_change_between_pages(store: WatchStore) -> None:
    """A paged reading misses and repeats nothing when its pages are deleted and others come."""
    paths = [b"p/%06d" % number for number in range(5000)]
    add(store, *paths)
    read, pages = [], 0
    for page in store.index.rows_under(b"p/"):
        read += [row.entry.path for row in page]
        pages += 1
        store.commit(Delta(deletes=page))
        add(store, page[0].entry.path + b"-behind")
    assert read == paths
    assert store.index.entries == pages > 1


def test_thousands_of_rows_are_found_at_once(store: WatchStore) -> None:
    """A burst of renames looks up two paths each."""
    paths = [b"%d" % number for number in range(100_000)]
    add(store, *paths[:2])
    assert set(store.index.rows(paths)) == set(paths[:2])


def test_a_batch_is_compared(store: WatchStore) -> None:
    """All rows of a batch are named; entries that differ or have no row come with what is known."""
    same, other, _ = add(store, b"same", b"other", b"other than met")
    changed, new = other.entry._replace(is_link=True), Entry(b"new", 1, 1)
    assert store.index.compare([same.entry, changed, new]) == Comparison(
        [same.id, other.id], {b"other": other}, [changed, new]
    )
    assert store.index.compare([]) == Comparison([], {}, [])


def test_what_was_learnt_about_an_unchanged_entry_is_no_difference(store: WatchStore) -> None:
    """A scan does not read contents, so its entries have no digests."""
    row = add(store, b"a")[0]
    known = row.entry._replace(etag="aa", ctime_ns=3, inode=4)
    store.commit(Delta(upserts=[Row(row.id, known)]))
    unread = known._replace(etag="")
    assert store.index.compare([unread]) == Comparison([row.id], {}, [])
    for changed in (
        known._replace(etag="bb"),
        unread._replace(size=9),
        unread._replace(mtime_ns=9),
        unread._replace(ctime_ns=9),
        unread._replace(inode=9),
        unread._replace(is_link=True),
    ):
        assert store.index.compare([changed]).differing == [changed]


@pytest.mark.sampled
@pytest.mark.parametrize("order", ["ascending", "rotated"])
@pytest.mark.parametrize(
    "batch",
    [
        range(400, 500),
        range(0, 1000, 2),
        range(0, 1000, 100),
        range(950, 1050),
        range(2000, 2050),
        range(-50, 1),
        [-1, 999],
        [-1, 10_000],
    ],
    ids=[
        "dense",
        "every second",
        "sparse",
        "beyond the end",
        "none of them",
        "up to the first",
        "from before the first to the last",
        "around all of them",
    ],
)
def test_a_batch_is_compared_however_it_lies(
    store: WatchStore, batch: Sequence[int], order: str
) -> None:
    """Rows between those of a batch count for nothing, in whatever order and density it comes."""
    rows = {row.entry.path: row for row in add(store, *(b"%04d" % n for n in range(1000)))}
    entries = [Entry(b"%04d" % n, size=n % 3, mtime_ns=2) for n in batch]
    if order == "rotated":
        entries = entries[7:] + entries[:7]
    known = [rows[entry.path] for entry in entries if entry.path in rows]
    ids, differing_rows, differing = store.index.compare(entries)
    assert sorted(ids) == sorted(row.id for row in known)
    assert differing == [e for e in entries if e.path not in rows or e.size != 1]
    assert differing_rows == {e.path: rows[e.path] for e in differing if e.path in rows}


def test_batches_of_a_tree_are_compared(store: WatchStore) -> None:
    """Whole directories, parts of them and single files, in any order, are what their rows say."""
    tree = [[b"d%02d/f%03d" % (d, f) for f in range(d * 3)] for d in range(1, 30)]
    rows = {row.entry.path: row for row in add(store, *(path for files in tree for path in files))}
    chance = random.Random(1)  # noqa: S311 - repeatable
    for _ in range(200):
        files = [
            path
            for directory in chance.sample(tree, chance.randint(1, 12))
            for path in chance.sample(
                directory, chance.choice([1, len(directory) // 2, len(directory)])
            )
        ]
        files.append(b"d%02d/new" % chance.randint(0, 40))
        if chance.random() < 0.7:
            chance.shuffle(files)
        entries = [Entry(path, size=chance.choice([1, 1, 1, 2]), mtime_ns=2) for path in files]
        ids, differing_rows, differing = store.index.compare(entries)
        assert sorted(ids) == sorted(rows[path].id for path in files if path in rows)
        assert differing == [e for e in entries if e.path not in rows or e.size == 2]
        assert differing_rows == {e.path: rows[e.path] for e in differing if e.path in rows}


def put(store: WatchStore, gate: int, *paths: bytes) -> None:
    """Write rows of entries with a gate."""
    delta, rows = Delta(), store.index.rows(paths)
    for path in paths:
        row = rows.get(path) or store.index.new_row(Entry(path, size=1, mtime_ns=2))
        delta.put(rows.get(path), row._replace(gate=gate))
    store.commit(delta)


def test_gates_are_counted_and_read_alone(
    store: WatchStore, openings: Iterator[WatchStore]
) -> None:
    """The numbers follow each commit and are the same after another opening."""
    add(store, b"a", b"b/0", b"b/1")
    put(store, Gate.NO_MARKER, b"a", b"b/2", b"b/3", b"c")
    put(store, Gate.TOO_SMALL | GATE_REPORTED, b"b/0", b"b/2")
    put(store, Gate.MARKER, b"b/4")
    put(store, 0, b"a")
    store.commit(Delta(deletes=list(store.index.rows([b"b/3", b"b/1"]).values())))
    for opened in openings:
        assert opened.index.gates == {
            Gate.NO_MARKER: 1,
            Gate.TOO_SMALL | GATE_REPORTED: 2,
            Gate.MARKER: 1,
        }
        assert HeldBack.of(opened.index.gates) == HeldBack(marker=1, min_size=2)
        pages = list(opened.index.gated_under(b"b/"))
        found = [(row.entry.path, row.gate) for page in pages for row in page]
        small = Gate.TOO_SMALL | GATE_REPORTED
        assert found == [(b"b/0", small), (b"b/2", small), (b"b/4", Gate.MARKER)]
        assert opened.index.rows([b"c"])[b"c"].gate == Gate.NO_MARKER
        held_back = [row.entry.path for row in opened.index.held_back(3)]
        assert held_back == [b"b/0", b"b/2", b"c"]
        assert [row.entry.path for row in opened.index.held_back(1)] == [b"b/0"]
        rows = opened.index.rows([b"a", b"b/0", b"c"])
        comparison = opened.index.compare([row.entry for row in rows.values()])
        assert [entry.path for entry in comparison.differing] == [b"b/0"]
        assert opened.index.entries == 5


def test_paths_may_be_longer_than_any_key(
    store: WatchStore, openings: Iterator[WatchStore]
) -> None:
    """Also those that differ at their ends only, and no compression makes short."""
    seeded = random.Random(1)  # noqa: S311 - only so that it is the same each time
    long = b"d/" + seeded.randbytes(3000).replace(b"/", b".")
    paths = [b"d/0", long, long + b"/a", long + b"/b", long + seeded.randbytes(1000), b"e"]
    add(store, *paths)
    put(store, Gate.MARKER, long + b"/b")
    store.commit(
        Delta(
            groups=GroupDelta(
                changes=dict.fromkeys(paths[1:5], ChangeType.CREATED),
                due={long: 1.0, b"d": 2.0},
            )
        )
    )
    for opened in openings:
        assert {*opened.index.rows(paths)} == {*paths}
        entries = [row.entry for row in opened.index.rows(paths).values()]
        assert opened.index.compare(entries).differing == []
        assert {*indexed(opened)} == {*paths}
        assert {*indexed(opened, b"d/")} == {*paths[:5]}
        assert {*indexed(opened, long + b"/")} == {*paths[2:4]}
        assert [[row.entry.path for row in page] for page in opened.index.gated_under(long)] == [
            [long + b"/b"]
        ]
        assert {path for page in opened.groups.changed_paths() for path in page} == {*paths[1:5]}
        assert opened.groups.due(2.0, None, limit=9) == [
            ChangedGroup(long, 1.0),
            ChangedGroup(b"d", 2.0),
        ]
        assert opened.groups.known([long, b"e"]) == {long}
        # The marker counts for no group.
        assert opened.groups.totals(long).counts == GroupCounts(1, 2, 0, 0)
    rows = opened.index.rows(paths)
    opened.commit(
        Delta(
            deletes=[*rows.values()],
            groups=GroupDelta(completed=[long], forgotten=[paths[4]]),
        )
    )
    assert indexed(opened) == []
    assert [path for page in opened.groups.changed_paths() for path in page] == [long]
