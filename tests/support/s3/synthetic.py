"""Computes keys from their numbers: ten million of them take no memory, a page hardly any time."""

from __future__ import annotations

import math
import random
from functools import cached_property
from typing import TYPE_CHECKING

from support.s3.keys import FIRST_PUT_NS, SORT_KEYS, Order, Ranked, StoredObject

if TYPE_CHECKING:
    from support.s3.keys import View


class SyntheticKeys:
    """Keys in directories of a thousand: `landing/2026/00012-old/part-00345.csv`.

    Keys that arrive later come ahead of all others, so that each page of a sorted listing begins
    elsewhere than before. Every second directory's name continues the name of the one before it, so
    that the orders of ``Order`` differ.

    Args:
        count: Number of keys.
        order: Order of the listing.
    """

    PER_DIRECTORY = 1000

    def __init__(self, count: int, order: Order = Order.AWS) -> None:
        self.order = order
        self._count = count
        self._arrived = 0

    def arrive(self) -> None:
        """Add one key: `arrived/00000000.csv`, and so on."""
        self._arrived += 1

    def __len__(self) -> int:
        return self._arrived + self._count

    def __getitem__(self, index: int, /) -> str:
        """Return a key by its number in the sorted order."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < self._arrived:
            return f"arrived/{index:08}.csv"
        directory, number = divmod(index - self._arrived, self.PER_DIRECTORY)
        return f"{self._directory(directory)}part-{number:05}.csv"

    def get(self, key: str) -> StoredObject | None:
        """Return an object."""
        index = self._sorted.after(key) - 1
        if index < 0 or self[index] != key:
            return None
        return self._object(max(0, index - self._arrived) % self.PER_DIRECTORY)

    def view(self, seed: int) -> View:
        """Return all keys in order."""
        return _Shuffled(self._sorted, seed) if self.order is Order.RANDOM else self._sorted

    @cached_property
    def _sorted(self) -> _SyntheticView:
        return _SyntheticView(self)

    def _directory(self, directory: int) -> str:
        # `-` sorts before `/` by bytes, and behind it in a tree.
        is_longer = (directory % 2 == 0) is (self.order is not Order.TREE)
        return f"landing/2026/{directory // 2:05}{'-old' if is_longer else ''}/"

    def _object(self, number: int) -> StoredObject:
        return StoredObject(
            1000 + number,
            f"{number:032x}",
            FIRST_PUT_NS + number * 1_001_000_000,
            checksum="CRC64NVME",
        )

    @cached_property
    def _tails(self) -> list[str]:
        return [
            f"part-{number:05}.csv{self._object(number).row_tail}"
            for number in range(self.PER_DIRECTORY)
        ]

    def rows(self, low: int, high: int) -> str:
        """Return the XML of objects by their numbers in the sorted order; no key needs encoding."""
        parts = [
            f"<Contents><Key>{self[index]}{self._object(0).row_tail}"
            for index in range(low, min(high, self._arrived))
        ]
        low, high = max(low - self._arrived, 0), high - self._arrived
        while low < high:
            directory, first = divmod(low, self.PER_DIRECTORY)
            behind = min(self.PER_DIRECTORY, first + high - low)
            # One join of cached rows: benchmarks must not wait for the store.
            parts.append(
                f"<Contents><Key>{self._directory(directory)}".join(
                    ["", *self._tails[first:behind]]
                )
            )
            low += behind - first
        return "".join(parts)


class _SyntheticView(Ranked):
    """Synthetic keys in their sorted order."""

    def __init__(self, keys: SyntheticKeys) -> None:
        super().__init__(keys, SORT_KEYS.get(keys.order, SORT_KEYS[Order.AWS]), is_sorted=True)
        self._rows = keys.rows

    def rows(self, low: int, high: int, *, is_url: bool) -> str:  # noqa: ARG002 - both are the same
        return self._rows(low, high)


class _Shuffled:
    """Shuffled keys without a table: place `i` has number `i * step + offset` modulo the count."""

    is_sorted = False

    def __init__(self, view: _SyntheticView, seed: int) -> None:
        chance = random.Random(seed)
        self._view = view
        self._step = chance.randrange(1, len(view) + 1)
        while math.gcd(self._step, len(view)) != 1:
            self._step += 1
        self._offset = chance.randrange(len(view) + 1)

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: int, /) -> str:
        return self._view[self._number(index)]

    def after(self, key: str) -> int:
        return (self._view.after(key) - 1 - self._offset) * pow(self._step, -1, len(self)) % len(
            self
        ) + 1

    def span(self, prefix: str) -> tuple[int, int]:  # noqa: ARG002 - they are everywhere
        return 0, len(self)

    def rows(self, low: int, high: int, *, is_url: bool) -> str:
        numbers = map(self._number, range(low, high))
        return "".join([self._view.rows(number, number + 1, is_url=is_url) for number in numbers])

    def _number(self, index: int) -> int:
        return (index * self._step + self._offset) % len(self)
