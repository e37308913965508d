"""Halves of renames are paired, and consecutive renames are merged."""

from __future__ import annotations

import pytest

from watcher.sources.directory.renames import PendingRenames
from watcher.sources.observations import Rename


@pytest.fixture
def pending() -> PendingRenames:
    """Return renames whose first halves wait for one second."""
    return PendingRenames(1.0)


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        ("", []),
        ("a>b", ["a>b"]),
        ("a>b c>d", ["a>b c>d"]),
        ("a>b b>c", ["a>c"]),
        ("a>b b>c c>d", ["a>d"]),
        ("a>b b>a", []),
        ("a>t b>a t>b", ["b>a a>b"]),
        ("a>b x>a b>c", ["x>a a>c"]),
        ("d/>e/", ["d/>e/"]),
        ("d/>e/ e/>f/", ["d/>e/", "e/>f/"]),
        ("a>b d/>e/ b>c", ["a>b", "d/>e/", "b>c"]),
        ("a>d/a d/>e/ e/a>b", ["a>d/a", "d/>e/", "e/a>b"]),
    ],
)
def test_renames_in_a_row(pending: PendingRenames, renames: str, expected: list[str]) -> None:
    """Renames of a file are merged, but not across the rename of a directory."""
    for rename in renames.encode().split():
        pending.add(Rename(*rename.split(b">")))
    taken = [
        b" ".join(each.old_path + b">" + each.path for each in run.renames).decode()
        for run in pending.take()
    ]
    assert taken == expected
    assert list(pending.take()) == []


def test_halves_find_each_other_by_cookie(pending: PendingRenames) -> None:
    pending.leave((1, b""), b"a", 0.0)
    pending.leave((2, b""), b"b/", 0.0)
    pending.leave((2, b"usb"), b"usb/b/", 0.0)
    keys = [(2, b""), (3, b""), (1, b""), (1, b""), (2, b"usb")]
    assert [pending.arrive(key) for key in keys] == [b"b/", None, b"a", None, b"usb/b/"]
    assert (pending.due_s(), pending.expire(9.0)) == (None, [])


def test_a_half_alone_has_left(pending: PendingRenames) -> None:
    pending.leave((1, b""), b"a", 0.0)
    pending.leave((2, b""), b"b", 0.5)
    assert pending.due_s() == 1.0
    assert pending.expire(0.9) == []
    assert pending.expire(1.0) == [b"a"]
    assert (pending.arrive((1, b"")), pending.due_s()) == (None, 1.5)
    pending.add(Rename(b"x", b"y"))
    pending.clear()
    assert (pending.due_s(), list(pending.take())) == (None, [])


class CountedPath(bytes):
    """A path that counts its comparisons."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedPath.comparisons += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


def test_many_renames_cost_no_more_each(pending: PendingRenames) -> None:
    for number in range(2000):
        pending.add(Rename(CountedPath(b"%d.tmp" % number), CountedPath(b"%d" % number)))
    assert CountedPath.comparisons < 20 * 2000
