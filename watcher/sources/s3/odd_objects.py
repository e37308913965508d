"""Keeps what a listing could not read: objects that are set aside, and the rows that they protect.

One object with an unreadable field must not hide the others. It is set aside: it has no entry, and
its row stays as it was last reported. Where not even its key can be read, its row is one of those
between its neighbours in the listing, or any row where the store has no order. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SET_ASIDE_MAX = 10_000
"""Maximum number of remembered objects of a listing, about 3 MB; above, no row is deleted."""
_TEXT_MAX_CHARS = 200
_MAX_KEY = b"\xff"


class OddObjectError(UnavailableError):
    """An object is there, and cannot be read."""


class OddObject(NamedTuple):
    """An object that cannot be read.

    Attributes:
        key: Its key; empty where that cannot be read.
        text: What identifies it: its key, or what the response has in place of it.
        problem: Why it cannot be read.
        after: Last key that could be read before it; empty for none.
        before: First key that could be read behind it; empty where that is not known.
    """

    key: bytes
    text: str
    problem: str
    after: bytes = b""
    before: bytes = b""


class SetAside:
    """The objects of one listing that are set aside. For one thread."""

    def __init__(self) -> None:
        self._objects: dict[tuple[bytes, str], OddObject] = {}
        self._ranges: set[tuple[bytes, bytes]] = set()
        self._has_more = False
        self._is_ordered = True

    def add(self, objects: Iterable[OddObject], *, is_ordered: bool) -> None:
        """Set objects aside; one that is met twice counts once.

        Args:
            objects: The objects.
            is_ordered: The keys around them ascend.
        """
        self._is_ordered = self._is_ordered and is_ordered
        for each in objects:
            name = (each.key, each.text)
            if len(self._objects) < SET_ASIDE_MAX or name in self._objects:
                self._objects[name] = each
            else:
                self._has_more = True
            if not each.key and len(self._ranges) <= SET_ASIDE_MAX:
                self._ranges.add((each.after, each.before or _MAX_KEY))

    def __len__(self) -> int:
        """Return the number of objects, at most ``SET_ASIDE_MAX``."""
        return len(self._objects)

    @property
    def texts(self) -> list[bytes]:
        """What identifies the objects: their keys where these can be read."""
        return [each.key or each.text.encode(errors="replace") for each in self._objects.values()]

    def __str__(self) -> str:
        """Return how many they are, and one with its problem; empty where there are none."""
        if not self._objects:
            return ""
        example = min(self._objects.values(), key=lambda each: each.text)
        more = "more than " if self._has_more else ""
        count = len(self._objects)
        return (
            f"{more}{count} object{'s'[: count > 1]} cannot be read and "
            f"{'are' if count > 1 else 'is'} set aside, such as "
            f"{example.text[:_TEXT_MAX_CHARS]!r} ({example.problem[:_TEXT_MAX_CHARS]})"
        )

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that cannot be read, or a prefix of one that is not even known."""
        if self._has_more:
            yield b""
        for each in self._objects.values():
            yield each.key or _prefix_between(each)

    def row_test(self, *, is_ordered: bool) -> Callable[[bytes], bool]:
        """Return a function that returns whether the row of a key may be that of such an object.

        Args:
            is_ordered: The store has shown no keys that do not ascend.
        """
        is_overfull = self._has_more or len(self._ranges) > SET_ASIDE_MAX
        if is_overfull or (self._ranges and not (is_ordered and self._is_ordered)):
            return lambda _key: True
        keys = {each.key for each in self._objects.values()}
        ranges = _joined(self._ranges)

        def may_be(key: bytes) -> bool:
            index = bisect_right(ranges, key, key=lambda each: each[1])
            return key in keys or (index < len(ranges) and ranges[index][0] < key)

        return may_be


def _prefix_between(unknown: OddObject) -> bytes:
    """Return the prefix, up to a slash, of all keys between the neighbours of an unknown one."""
    length = 0
    for one, other in zip(unknown.after, unknown.before, strict=False):
        if one != other:
            break
        length += 1
    return unknown.after[: unknown.after.rfind(b"/", 0, length) + 1]


def _joined(ranges: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return ranges, ascending, with those that overlap joined into one."""
    joined: list[tuple[bytes, bytes]] = []
    for low, high in sorted(ranges):
        if joined and low < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined
