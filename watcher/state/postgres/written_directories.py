"""The directories in which an index has rows, roughly: a bitmap of their hashes. Pure.

The first scan of a tree finds each directory without rows. So it looks none of them up, though they
come in no order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = 1 << 20
"""Number of bits, 128 KiB: of a hundred thousand directories, a tenth is looked up in vain."""


class WrittenDirectories:
    """The directories of all keys that were added, and of some others. For one thread."""

    def __init__(self) -> None:
        # Most watches have few rows, and there may be thousands of watches.
        self._bits = bytearray()

    def add(self, keys: Iterable[bytes]) -> None:
        """Note that there are rows with these keys."""
        for directory in _directories(keys):
            self._bits = self._bits or bytearray(BITS // 8)
            bit = hash(directory) % BITS
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def among(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return those of some keys in whose directories there may be rows."""
        if not self._bits:
            return []
        written = {each for each in _directories(keys) if self._has(each)}
        return [key for key in keys if _directory(key) in written] if written else []

    def _has(self, directory: bytes) -> bool:
        bit = hash(directory) % BITS
        return bool(self._bits[bit >> 3] & 1 << (bit & 7))


def _directories(keys: Iterable[bytes]) -> set[bytes]:
    return {key[: key.rfind(b"/") + 1] for key in keys}


def _directory(key: bytes) -> bytes:
    return key[: key.rfind(b"/") + 1]
