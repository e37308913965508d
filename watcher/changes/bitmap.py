"""A set of small integers at one bit each: the rows that a scan has met, 10 million in 1.25 MB. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SPARE_BYTES = 1024


class Bitmap:
    """A set of integers from 0 on.

    Args:
        size: What is below this has room; the rest makes itself some.
    """

    def __init__(self, size: int) -> None:
        self._bytes = bytearray((size >> 3) + 1)

    def __contains__(self, number: int) -> bool:
        """Tell whether a number is in the set."""
        index = number >> 3
        return index < len(self._bytes) and bool(self._bytes[index] >> (number & 7) & 1)

    def __len__(self) -> int:
        """Count the numbers in the set."""
        return int.from_bytes(self._bytes, "little").bit_count()

    def add(self, numbers: Iterable[int]) -> None:
        """Put numbers into the set."""
        for number in numbers:
            index = number >> 3
            if index >= len(self._bytes):
                self._grow(index)
            self._bytes[index] |= 1 << (number & 7)

    def remove(self, numbers: Iterable[int]) -> None:
        """Take numbers out of the set; those that are not in it are passed over."""
        for number in numbers:
            if number >> 3 < len(self._bytes):
                self._bytes[number >> 3] &= ~(1 << (number & 7))

    def add_range(self, numbers: range) -> None:
        """Put neighbouring numbers into the set, whole bytes at once."""
        first, end, others = _whole_bytes(numbers)
        if end > len(self._bytes):
            self._grow(end)
        self._bytes[first:end] = b"\xff" * (end - first)
        self.add(others)

    def overlaps(self, numbers: range) -> bool:
        """Tell whether any of neighbouring numbers is in the set."""
        first, end, others = _whole_bytes(numbers)
        return any(self._bytes[first:end]) or any(number in self for number in others)

    def _grow(self, index: int) -> None:
        self._bytes.extend(bytes(index - len(self._bytes) + SPARE_BYTES))


def _whole_bytes(numbers: range) -> tuple[int, int, Iterable[int]]:
    """Return the first of the bytes that neighbouring numbers fill, the one after the last, and the numbers that fill none."""
    first, end = (numbers.start + 7) >> 3, numbers.stop >> 3
    if first >= end:
        return 0, 0, numbers
    return first, end, (*range(numbers.start, first << 3), *range(end << 3, numbers.stop))
