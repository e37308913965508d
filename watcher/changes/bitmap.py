"""A set of small integers at one bit each: 10 million rows of a scan take 1.25 MB. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPARE_BYTES = 1024
"""Bytes added beyond the number that makes the bitmap grow, so that it grows rarely."""


class Bitmap:
    """A set of integers from 0 on.

    Args:
        size: Numbers below this have room from the start.
    """

    def __init__(self, size: int) -> None:
        self._bytes = bytearray((size >> 3) + 1)

    def __contains__(self, number: int) -> bool:
        """Return whether a number is in the set."""
        index = number >> 3
        return index < len(self._bytes) and bool(self._bytes[index] >> (number & 7) & 1)

    def __len__(self) -> int:
        """Return how many numbers are in the set; reads all of it."""
        return int.from_bytes(self._bytes, "little").bit_count()

    def add(self, numbers: Iterable[int]) -> None:
        """Add numbers."""
        numbers = list(numbers)
        if (consecutive := as_range(numbers)) is not None:
            self.add_range(consecutive)
            return
        for number in numbers:
            self._add(number)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove numbers; those that are not in the set are ignored."""
        for number in numbers:
            if number >> 3 < len(self._bytes):
                self._bytes[number >> 3] &= ~(1 << (number & 7))

    def add_range(self, numbers: range) -> None:
        """Add consecutive numbers, whole bytes at once."""
        first, end, others = _whole_bytes(numbers)
        if end > len(self._bytes):
            self._grow(end)
        self._bytes[first:end] = b"\xff" * (end - first)
        for number in others:
            self._add(number)

    def overlaps(self, numbers: range) -> bool:
        """Return whether any of consecutive numbers is in the set."""
        first, end, others = _whole_bytes(numbers)
        return any(self._bytes[first:end]) or any(number in self for number in others)

    def _add(self, number: int) -> None:
        index = number >> 3
        if index >= len(self._bytes):
            self._grow(index)
        self._bytes[index] |= 1 << (number & 7)

    def _grow(self, index: int) -> None:
        self._bytes.extend(bytes(index - len(self._bytes) + SPARE_BYTES))


def as_range(numbers: Sequence[int]) -> range | None:
    """Return numbers as a range if each is the one before it plus one; else None.

    The ids of a batch nearly always are: rows get them in the order in which a scan meets them.
    """
    if not numbers:
        return None
    found = range(numbers[0], numbers[0] + len(numbers))
    return found if numbers[-1] == found[-1] and [*numbers] == [*found] else None


def _whole_bytes(numbers: range) -> tuple[int, int, Iterable[int]]:
    """Return the bytes that a range fills, as the first and the end, and its other numbers."""
    first, end = (numbers.start + 7) >> 3, numbers.stop >> 3
    if first >= end:
        return 0, 0, numbers
    return first, end, (*range(numbers.start, first << 3), *range(end << 3, numbers.stop))
