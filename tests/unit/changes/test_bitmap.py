"""The bitmap is a set of integers, compared with Python's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.changes.bitmap import Bitmap

numbers = st.integers(0, 20_000)
ranges = st.builds(lambda start, length: range(start, start + length), numbers, st.integers(0, 40))


@given(
    size=st.integers(0, 100),
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "add_others", "remove", "add_range"]), ranges)
    ),
)
def test_it_holds_what_a_set_holds(size: int, steps: list[tuple[str, range]]) -> None:
    bitmap, expected = Bitmap(size), set[int]()
    for step, part in steps:
        if step == "add_others":
            bitmap.add(reversed(part))
        else:
            getattr(bitmap, step)(part)
        expected = expected - set(part) if step == "remove" else expected | set(part)
    near = {
        number + distance
        for _, part in steps
        for number in (part.start, part.stop)
        for distance in range(-9, 10)
    }
    assert {number for number in near if number >= 0 and number in bitmap} == expected & near
    assert len(bitmap) == len(expected)


@given(present=st.integers(0, 100), asked=ranges)
def test_overlaps(present: int, asked: range) -> None:
    bitmap = Bitmap(0)
    bitmap.add([present])
    assert bitmap.overlaps(asked) is (present in asked)


@pytest.mark.parametrize("ids", [range(3, 5), range(8), range(7, 9), range(5, 29), range(8, 16)])
def test_edges_of_a_range(ids: range) -> None:
    """The neighbours in the same byte are not marked."""
    bitmap = Bitmap(64)
    bitmap.add_range(ids)
    assert [number for number in range(64) if number in bitmap] == list(ids)
