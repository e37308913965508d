"""Exchanges of directories are told from other renames, whenever their halves arrive."""

from __future__ import annotations

import pytest

from watcher.sources.directory.portable.exchanges import APART_S, Exchanges
from watcher.sources.directory.portable.inbox import CREATED, MOVED, Event


def moved(path: bytes, new_path: bytes, *, is_directory: bool = True) -> Event:
    return Event(MOVED, path, new_path, is_directory)


THERE, BACK = moved(b"/a", b"/b"), moved(b"/b", b"/a")
BACK_AS_FILE = moved(b"/b", b"/a", is_directory=False)
FILES = [moved(b"/a", b"/b", is_directory=False), BACK_AS_FILE]


@pytest.mark.parametrize(
    ("events", "is_found"),
    [
        ([THERE, BACK], True),
        ([THERE, BACK_AS_FILE], True),
        ([BACK_AS_FILE, THERE], True),
        (FILES, False),
        ([THERE], False),
        ([THERE, moved(b"/c", b"/a")], False),
        ([Event(CREATED, b"/a", b"", is_directory=True)], False),
        ([], False),
    ],
)
def test_events_that_come_together(events: list[Event], is_found: bool) -> None:  # noqa: FBT001 - what is expected
    assert Exchanges().found_in(events, 0.0) is is_found


def test_halves_that_come_apart() -> None:
    exchanges = Exchanges()
    assert not exchanges.found_in([THERE], 0.0)
    assert not exchanges.found_in([], APART_S / 2)
    assert exchanges.found_in([BACK], APART_S - 1)


def test_a_directory_that_is_renamed_back_later() -> None:
    exchanges = Exchanges()
    assert not exchanges.found_in([THERE], 0.0)
    assert not exchanges.found_in([BACK], APART_S)


def test_an_exchange_is_found_once() -> None:
    exchanges = Exchanges()
    assert exchanges.found_in([THERE, BACK], 0.0)
    assert not exchanges.found_in([THERE], 0.0)
    assert exchanges.found_in([BACK], 0.0)
