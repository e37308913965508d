"""The detector reports the changes that happened, all of them and in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from watcher.changes.detector import Appearance, ChangeDetector, Difference, Rule, difference
from watcher.model import ChangeSet, ChangeType, Entry, Row
from watcher.spec import Attribute, Compare

CREATED, MODIFIED, DELETED, MOVED, _ = ChangeType
FILE = Entry(b"f", size=1, mtime_ns=10, ctime_ns=10, inode=7)
LINK = FILE._replace(is_link=True)
OBJECT = Entry(b"f", size=1, mtime_ns=10, etag="aa", storage_class="STANDARD")
KEY = Entry(b"f", size=1, mtime_ns=10, etag="aa", is_link=True)
"""The key of a ConfigMap, whose etag is a digest."""


def new_detector(
    events: Iterable[ChangeType] = ChangeType, rule: Rule | None = None
) -> ChangeDetector:
    """Return a detector that numbers new rows from 100 on."""
    ids = iter(range(100, 1000))
    return ChangeDetector(
        frozenset(events), lambda entries: [Row(next(ids), each) for each in entries], rule
    )


def reported(found: ChangeSet) -> list[tuple[ChangeType, bytes, bytes | None]]:
    return [(change.type, change.entry.path, change.old_path) for change in found.changes]


def file(path: bytes, inode: int) -> Entry:
    """Return an entry that differs from others in its inode."""
    return Entry(path, size=1, mtime_ns=10, ctime_ns=10, inode=inode)


def varied(entry: Entry, differing: dict[str, int]) -> Entry:
    """Return an entry with other values of some attributes."""
    return Entry(**(entry._asdict() | differing))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (FILE, FILE, Difference.NONE),
        (FILE, FILE._replace(size=2), Difference.CONTENT),
        (FILE, FILE._replace(mtime_ns=9), Difference.CONTENT),
        (FILE, FILE._replace(inode=8), Difference.INODE),
        (FILE, FILE._replace(inode=8, ctime_ns=9), Difference.CONTENT),
        (FILE, FILE._replace(ctime_ns=9), Difference.CTIME),
        (FILE, FILE._replace(ctime_ns=9, size=0), Difference.CONTENT),
        (FILE, LINK, Difference.SILENT),
        (LINK, LINK._replace(inode=8), Difference.INODE),
        (OBJECT, OBJECT._replace(etag="bb"), Difference.CONTENT),
        (OBJECT, OBJECT._replace(mtime_ns=10**9), Difference.CONTENT),
        (OBJECT, OBJECT._replace(storage_class="GLACIER"), Difference.SILENT),
        (KEY, KEY._replace(mtime_ns=99), Difference.SILENT),
        (KEY, KEY._replace(etag="bb"), Difference.CONTENT),
        (KEY, KEY._replace(size=2), Difference.CONTENT),
        (KEY, LINK, Difference.CONTENT),
        (LINK, KEY, Difference.CONTENT),
    ],
)
def test_what_counts(old: Entry, new: Entry, expected: Difference) -> None:
    assert difference(Row(1, old), new) is expected


@pytest.mark.parametrize(
    ("compare", "is_stable", "differing", "expected"),
    [
        ("size mtime", True, {"ctime_ns": 9, "inode": 8}, Difference.SILENT),
        ("size mtime", True, {"mtime_ns": 9}, Difference.CONTENT),
        ("size mtime", True, {"size": 9}, Difference.CONTENT),
        ("size", True, {"mtime_ns": 9, "ctime_ns": 9, "inode": 8}, Difference.SILENT),
        ("inode", True, {"size": 9, "mtime_ns": 9, "ctime_ns": 9}, Difference.SILENT),
        ("inode", False, {"inode": 8}, Difference.INODE),
        ("size ctime", True, {"mtime_ns": 9, "ctime_ns": 9}, Difference.CTIME),
        ("auto", True, {"inode": 8}, Difference.INODE),
        ("auto", False, {"inode": 8}, Difference.SILENT),
        ("auto", False, {"inode": 8, "ctime_ns": 9}, Difference.CTIME),
        ("auto", False, {"inode": 8, "mtime_ns": 9}, Difference.CONTENT),
    ],
)
def test_what_counts_is_configured(
    compare: str, differing: dict[str, int], expected: Difference, *, is_stable: bool
) -> None:
    """A list is taken literally; ``auto`` leaves out inodes that a file system makes up."""
    chosen = (
        Compare()
        if compare == "auto"
        else Compare(frozenset(map(Attribute, compare.split())), is_auto=False)
    )
    detector = new_detector(rule=Rule(chosen, lambda _path: is_stable))
    entry = varied(FILE, differing)
    assert detector.difference(Row(1, FILE), entry) is expected
    found = detector.compare({b"f": Row(1, FILE)}, [entry])
    assert found.delta.upserts == [Row(1, entry)]
    assert bool(found.changes) is (expected is not Difference.SILENT)


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (Compare(), Difference.SILENT),
        (Compare(is_content=True), Difference.SILENT),
        (Compare(frozenset({Attribute.CTIME}), is_auto=False), Difference.CTIME),
    ],
    ids=["auto", "content", "list"],
)
def test_a_change_time_that_is_not_kept_is_not_compared(
    compare: Compare, expected: Difference
) -> None:
    """On exFAT it is another one when the kernel has read the file again; a list is literal."""
    rule = Rule(compare, has_stable_ctimes=lambda _path: False)
    assert (
        new_detector(rule=rule).difference(Row(1, FILE), varied(FILE, {"ctime_ns": 9})) is expected
    )


READ = FILE._replace(etag="aa")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (READ, READ._replace(mtime_ns=9, ctime_ns=9, inode=8), Difference.SILENT),
        (READ, READ._replace(etag="bb"), Difference.CONTENT),
        (READ, READ._replace(etag="bb", ctime_ns=9), Difference.CONTENT),
        (READ, READ._replace(etag="bb", size=9, mtime_ns=9), Difference.CONTENT),
        (FILE, READ, Difference.SILENT),
        (FILE, READ._replace(mtime_ns=9), Difference.CONTENT),
        (FILE, READ._replace(ctime_ns=9), Difference.CTIME),
        (READ, FILE, Difference.SILENT),
        (READ, FILE._replace(mtime_ns=9), Difference.CONTENT),
        (READ, READ._replace(is_link=True, inode=8), Difference.SILENT),
        (KEY, READ._replace(is_link=True), Difference.SILENT),
        (KEY, READ._replace(is_link=True, etag="bb"), Difference.CONTENT),
    ],
)
def test_digests_decide_where_both_are_known(old: Entry, new: Entry, expected: Difference) -> None:
    """Until then, attributes do."""
    detector = new_detector(rule=Rule(Compare(is_content=True)))
    assert detector.difference(Row(1, old), new) is expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (FILE, Difference.SILENT),
        (FILE._replace(mtime_ns=9), Difference.CONTENT),
        (FILE._replace(ctime_ns=9), Difference.CTIME),
        (FILE._replace(is_link=True), Difference.SILENT),
    ],
)
def test_digests_that_are_no_longer_read_are_dropped(new: Entry, expected: Difference) -> None:
    detector = new_detector()
    assert detector.difference(Row(1, READ), new) is expected
    assert detector.compare({b"f": Row(1, READ)}, [new]).delta.upserts == [Row(1, new)]


@pytest.mark.parametrize(
    ("entry", "attributes_only", "expected"),
    [
        (FILE, False, []),
        (FILE._replace(size=2), True, [(MODIFIED, b"f", None)]),
        (FILE._replace(ctime_ns=11), False, [(MODIFIED, b"f", None)]),
        (FILE._replace(ctime_ns=11), True, []),
    ],
)
def test_a_hint_of_attributes_silences_only_those(
    entry: Entry, expected: list[object], *, attributes_only: bool
) -> None:
    row = Row(1, FILE)
    found = new_detector().compare(
        {b"f": row}, [entry], attributes_only={b"f"} if attributes_only else set()
    )
    assert reported(found) == expected
    assert found.delta.upserts == ([] if entry == FILE else [Row(1, entry)])


@pytest.mark.parametrize(
    ("appearance", "expected"),
    [(Appearance.NEW, [False]), (Appearance.EXISTING, [True]), (Appearance.IGNORED_EXISTING, [])],
)
def test_what_has_no_row_appears(appearance: Appearance, expected: list[bool]) -> None:
    detector = new_detector()
    detector.appearance = lambda _path: appearance
    found = detector.compare({}, [FILE])
    assert (found.delta.upserts, found.delta.created) == ([Row(100, FILE)], 1)
    assert [change.existing for change in found.changes] == expected


def test_of_two_observations_the_last_counts() -> None:
    found = new_detector().compare({}, [FILE, FILE._replace(size=2)])
    assert (found.delta.upserts, found.delta.created) == ([Row(100, FILE._replace(size=2))], 1)
    assert [change.entry.size for change in found.changes] == [2]


def test_only_the_configured_events_are_reported() -> None:
    """The other changes still reach the index."""
    detector = new_detector([DELETED])
    found = detector.compare({b"g": Row(2, file(b"g", 1))}, [FILE, file(b"g", 2)])
    found.add(detector.delete([Row(3, file(b"h", 3))]))
    assert reported(found) == [(DELETED, b"h", None)]
    assert (len(found.delta.upserts), found.delta.created, len(found.delta.deletes)) == (2, 1, 1)


@pytest.mark.parametrize(
    ("moves", "standing", "expected"),
    [
        ("a>b", "", "moved a b"),
        ("a>b", "b", "moved a b"),
        ("a>b b>c", "", "moved b c, moved a b"),
        ("b>c a>b", "", "moved b c, moved a b"),
        ("c>d a>b b>c", "", "moved c d, moved b c, moved a b"),
        ("a>b c>d", "", "moved a b, moved c d"),
        ("a>b b>a", "", "modified b, modified a"),
        ("a>b b>c c>a", "", "modified b, modified c, modified a"),
        ("a>b b>a x>y y>z", "z", "modified b, modified a, moved y z, moved x y"),
    ],
)
def test_moves_are_ordered(moves: str, standing: str, expected: str) -> None:
    """A path is left before it is taken; paths that were exchanged are modified."""
    pairs = [move.encode().split(b">") for move in moves.split()]
    rows = {old: Row(number, file(old, number)) for number, (old, _) in enumerate(pairs)}
    rows |= {path.encode(): Row(50, file(path.encode(), 50)) for path in standing}
    found = new_detector().move(
        [(rows[old], file(new, rows[old].entry.inode)) for old, new in pairs], rows
    )
    said = sorted(expected.split(", ")) if "modified" in expected else expected.split(", ")
    texts = [
        " ".join([type_, *[p.decode() for p in (old, path) if p]])
        for type_, path, old in reported(found)
    ]
    assert (sorted(texts) if "modified" in expected else texts) == said
    assert_index(found, rows.values(), {new: rows[old].entry.inode for old, new in pairs})


def assert_index(found: ChangeSet, rows: Iterable[Row], moved: dict[bytes, int]) -> None:
    """Check that a delta leaves one row for each path that was moved to, with an id of its own."""
    by_path = {row.entry.path: row for row in rows}
    assert found.delta.created == len(
        [row for row in found.delta.upserts if row.entry.path not in by_path]
    )
    assert {row.entry.path for row in found.delta.deletes}.isdisjoint(
        row.entry.path for row in found.delta.upserts
    )
    for row in found.delta.deletes:
        del by_path[row.entry.path]
    by_path |= {row.entry.path: row for row in found.delta.upserts}
    assert {path: row.entry.inode for path, row in by_path.items()} == moved
    assert len({row.id for row in by_path.values()}) == len(by_path)


@pytest.mark.parametrize(
    ("events", "standing", "expected"),
    [
        ([MOVED], False, [(MOVED, b"b", b"a")]),
        ([CREATED, DELETED, MODIFIED], False, [(DELETED, b"a", None), (CREATED, b"b", None)]),
        ([CREATED, DELETED, MODIFIED], True, [(DELETED, b"a", None), (MODIFIED, b"b", None)]),
        ([CREATED], True, []),
    ],
)
def test_a_rename_without_moved_events_is_a_deletion_and_an_appearance(
    events: Sequence[ChangeType], expected: list[object], *, standing: bool
) -> None:
    rows = {b"a": Row(1, file(b"a", 1))} | ({b"b": Row(2, file(b"b", 2))} if standing else {})
    assert reported(new_detector(events).move([(rows[b"a"], file(b"b", 1))], rows)) == expected


def test_a_move_with_new_content_is_both() -> None:
    row, entry = Row(1, file(b"a", 1)), file(b"b", 1)._replace(size=5)
    assert reported(new_detector().move([(row, entry)], {b"a": row})) == [
        (MOVED, b"b", b"a"),
        (MODIFIED, b"b", None),
    ]


@pytest.mark.parametrize(
    ("compare", "differing", "expected"),
    [
        ("size", {"mtime_ns": 11}, [(MOVED, b"b", b"a")]),
        ("mtime", {"mtime_ns": 11}, [(MOVED, b"b", b"a"), (MODIFIED, b"b", None)]),
        ("ctime", {"ctime_ns": 11}, [(MOVED, b"b", b"a")]),
    ],
)
def test_a_move_is_a_modification_by_what_is_compared(
    compare: str, differing: dict[str, int], expected: list[object]
) -> None:
    """The rename itself changes the ctime."""
    row, entry = Row(1, file(b"a", 1)), varied(file(b"b", 1), differing)
    rule = Rule(Compare(frozenset({Attribute(compare)}), is_auto=False))
    assert reported(new_detector(rule=rule).move([(row, entry)], {b"a": row})) == expected


@pytest.mark.parametrize(
    ("events", "expected"), [(ChangeType, []), ([DELETED, MODIFIED], [(DELETED, b"b", None)])]
)
def test_files_that_look_the_same_may_be_exchanged_or_replaced(
    events: Iterable[ChangeType], expected: list[object]
) -> None:
    """Neither is a modification where their inodes are not compared."""
    rows = {path: Row(number, file(path, number)) for number, path in enumerate([b"a", b"b"])}
    detector = new_detector(events, Rule(Compare(frozenset({Attribute.SIZE}), is_auto=False)))
    pairs = [(rows[b"b"], file(b"a", 1))]
    if events is ChangeType:
        pairs.append((rows[b"a"], file(b"b", 0)))
    found = detector.move(pairs, rows)
    assert reported(found) == expected
    assert_index(found, rows.values(), {entry.path: entry.inode for _, entry in pairs})


def test_a_file_replaced_by_one_with_the_same_content_is_not_modified() -> None:
    """Without ``moved``, a rename over it deletes the other path alone."""
    rows = {
        path: Row(number, file(path, number)._replace(etag="aa"))
        for number, path in enumerate([b"a", b"b"])
    }
    detector = new_detector([DELETED, MODIFIED], Rule(Compare(is_content=True)))
    found = detector.move([(rows[b"b"], file(b"a", 1)._replace(etag="aa"))], rows)
    assert reported(found) == [(DELETED, b"b", None)]


def test_what_is_only_recorded_is_recorded_as_by_a_comparison() -> None:
    """A first scan that reports nothing is recorded in one go; of two with one path the last."""
    detector = new_detector()
    entries = [file(b"a", 1), file(b"b", 2), file(b"a", 3)]
    assert not detector.only_records(entries, {})
    detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
    assert detector.only_records(entries, {})
    assert not detector.only_records(entries, {b"a": Row(1, entries[0])})
    found, compared = detector.record(entries), new_detector()
    compared.appearance = detector.appearance
    assert found == compared.compare({}, entries)


def test_what_was_there_and_waits_is_reported_when_it_is_met_again() -> None:
    detector = new_detector()
    detector.appearance = lambda _path: Appearance.EXISTING
    detector.keep_existing([b"a"])
    detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
    assert not detector.only_records([file(b"a", 1)], {})
