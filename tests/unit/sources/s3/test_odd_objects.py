"""Objects that are set aside are counted once, and protect the rows that may be theirs."""

import pytest

from watcher.sources.s3 import odd_objects
from watcher.sources.s3.odd_objects import OddObject, SetAside


def named(key: str) -> OddObject:
    return OddObject(key.encode(), key, "a size of 'x'", b"a", b"z")


def unnamed(text: str, after: str, before: str) -> OddObject:
    return OddObject(b"", text, "no key", after.encode(), before.encode())


def set_aside(*objects: OddObject, is_ordered: bool = True) -> SetAside:
    found = SetAside()
    found.add(objects, is_ordered=is_ordered)
    return found


def test_message() -> None:
    """It gives the number and the first of them with its problem."""
    assert str(set_aside()) == ""
    one = "1 object cannot be read and is set aside, such as 'b' (a size of 'x')"
    assert str(set_aside(named("b"), named("b"))) == one
    both = set_aside(named("c"), named("b"))
    assert str(both) == "2 objects cannot be read and are set aside, such as 'b' (a size of 'x')"
    assert (len(both), both.texts) == (2, [b"c", b"b"])
    assert len(str(set_aside(unnamed("x" * 8000, "", "")))) < 300


@pytest.mark.parametrize(
    ("objects", "protected"),
    [
        ([], ""),
        ([named("c")], "c"),
        ([named("c"), named("f")], "cf"),
        ([unnamed("1", "c", "f")], "de"),
        ([unnamed("1", "", "c")], "ab"),
        ([unnamed("1", "f", "")], "gh"),
        ([unnamed("1", "a", "d"), unnamed("2", "c", "f")], "bcde"),
        ([unnamed("1", "a", "c"), unnamed("2", "c", "e"), named("h")], "bdh"),
        ([unnamed("1", "a", "c"), unnamed("2", "a", "c")], "b"),
    ],
)
def test_rows_that_may_be_theirs(objects: list[OddObject], protected: str) -> None:
    """A key protects its row; an object without one those between its neighbours."""
    test = set_aside(*objects).row_test(is_ordered=True)
    assert "".join(key for key in "abcdefgh" if test(key.encode())) == protected


def test_without_order_any_row_may_be_theirs() -> None:
    """Neighbours show nothing where keys do not ascend; a key that was read still does."""
    for objects, is_ordered, is_store_ordered in (
        (set_aside(unnamed("1", "a", "c"), is_ordered=False), True, True),
        (set_aside(unnamed("1", "a", "c")), True, False),
    ):
        del is_ordered
        assert objects.row_test(is_ordered=is_store_ordered)(b"z")
    assert not set_aside(named("c"), is_ordered=False).row_test(is_ordered=False)(b"z")


def test_more_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit no row is given up, and memory does not grow."""
    monkeypatch.setattr(odd_objects, "SET_ASIDE_MAX", 2)
    full = set_aside(named("b"), named("c"), named("b"))
    assert not full.row_test(is_ordered=True)(b"z")
    full.add([named("d")], is_ordered=True)
    assert full.row_test(is_ordered=True)(b"z")
    assert (len(full), str(full)[:19]) == (2, "more than 2 objects")
