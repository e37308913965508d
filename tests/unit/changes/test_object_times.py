"""An object whose last-modified has other digits is the same object, and keeps the most of them."""

from itertools import permutations

import pytest

from watcher.changes.detector import ChangeDetector, Difference, difference
from watcher.model import ChangeType, Entry, Row

NOON_NS = 1_795_435_200_000_000_000
OBJECT = Entry(b"f", size=1, mtime_ns=NOON_NS, etag="aa", storage_class="STANDARD")
DIGITS_NS = [0, 100_000_000, 120_000_000, 123_000_000, 123_456_000]
"""One moment without and with more and more digits of its fraction."""


def at(fraction_ns: int, entry: Entry = OBJECT) -> Entry:
    return entry._replace(mtime_ns=entry.mtime_ns + fraction_ns)


def compare(old: Entry, new: Entry) -> tuple[bool, Entry]:
    """Return whether the object is modified, and what the index has then."""
    detector = ChangeDetector(
        frozenset(ChangeType), lambda entries: [Row(1, each) for each in entries]
    )
    found = detector.compare({old.path: Row(1, old)}, [new])
    kept = found.delta.upserts[0].entry if found.delta.upserts else old
    return bool(found.changes), kept


@pytest.mark.parametrize(("old_ns", "new_ns"), list(permutations(DIGITS_NS, 2)))
@pytest.mark.parametrize(
    "entry",
    [OBJECT, OBJECT._replace(etag=""), OBJECT._replace(mtime_ns=-3_000_000_000)],
    ids=["etag", "no etag", "before 1970"],
)
def test_other_digits_are_no_change(old_ns: int, new_ns: int, entry: Entry) -> None:
    """Digits come and go without an event, and nothing is written where the index has more."""
    old, new = at(old_ns, entry), at(new_ns, entry)
    assert difference(Row(1, old), new) is Difference.SILENT
    assert compare(old, new) == (False, max(old, new))
    detector = ChangeDetector(
        frozenset(ChangeType), lambda entries: [Row(1, each) for each in entries]
    )
    assert bool(detector.compare({b"f": Row(1, old)}, [new]).delta.upserts) is (new_ns > old_ns)


def test_the_storage_class_changes_beside_the_digits() -> None:
    """The index takes the storage class and keeps the digits, without an event."""
    old, new = at(123_456_000), at(0)._replace(storage_class="GLACIER")
    assert compare(old, new) == (False, old._replace(storage_class="GLACIER"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (at(123_000_000), at(456_000_000)),
        (at(123_456_000), at(123_457_000)),
        (at(123_456_000), at(120_001_000)),
        (at(900_000_000), at(1_000_000_000)),
        (at(0), at(1_000_000_000)),
        (at(123_000_000), at(0)._replace(etag="bb")),
        (at(123_000_000), at(0)._replace(size=2)),
        (at(123_000_000), at(0)._replace(etag="", size=2)),
        (at(123_000_000, OBJECT._replace(etag="")), at(456_000_000)._replace(etag="")),
        (at(123_000_000), at(0)._replace(etag="")),
        (at(123_000_000)._replace(etag=""), at(0)),
        (at(123_000_000)._replace(inode=7, etag=""), at(0)._replace(inode=7, etag="")),
    ],
    ids=[
        *("other digits", "last digit", "in the middle", "rounded up", "a second"),
        *("etag", "size", "size without etag", "other digits without etag", "etag lost"),
        *("etag gained", "a file"),
    ],
)
def test_another_time_is_a_change(old: Entry, new: Entry) -> None:
    """Another second, other digits, another etag or size, and any other time of a file count."""
    assert compare(old, new) == (True, new)
