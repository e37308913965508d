"""Computes keys from their numbers: ten million of them take no memory, a page hardly any time."""

from functools import cached_property
from random import Random

from support.s3.keys import FIRST_PUT_NS, SORT_KEYS, Order, StoredObject, View


class SyntheticKeys(View):
    """Keys in directories of a thousand: `landing/2026/00012-old/part-00345.csv`.

    Keys that arrive later come ahead of all others, so that each page of a listing begins elsewhere
    than before. Every second directory's name continues the name of the one before it.
    """

    PER_DIRECTORY = 1000
    TOUCHED = 10
    """Keys in each directory that ``touch`` changes."""
    order = Order.AWS

    def __init__(self, count: int) -> None:
        super().__init__(SORT_KEYS[self.order], is_sorted=True)
        self._count = count
        self._arrived = 0
        self._touches = 0

    def arrive(self) -> None:
        """Add one key: `arrived/00000000.csv`, and so on."""
        self._arrived += 1

    def touch(self) -> None:
        """Put 1 % of the keys anew, the same ones each time, which lie anywhere."""
        self._touches += 1

    def __len__(self) -> int:
        return self._arrived + self._count

    def __getitem__(self, index: int, /) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < self._arrived:
            return f"arrived/{index:08}.csv"
        directory, number = divmod(index - self._arrived, self.PER_DIRECTORY)
        return f"{self._directory(directory)}part-{number:05}.csv"

    def get(self, key: str) -> StoredObject | None:
        index = self.after(key) - 1
        if index < 0 or self[index] != key:
            return None
        return self._object(max(0, index - self._arrived) % self.PER_DIRECTORY)

    def view(self, seed: int) -> View:
        del seed
        return self

    def rows(self, low: int, high: int, *, is_url: bool) -> str:
        del is_url  # no key needs encoding
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
                    ["", *self._tails_in(directory)[first:behind]]
                )
            )
            low += behind - first
        return "".join(parts)

    def _directory(self, directory: int) -> str:
        # `-` sorts before `/`.
        return f"landing/2026/{directory // 2:05}{'' if directory % 2 else '-old'}/"

    def _object(self, number: int, touches: int = 0) -> StoredObject:
        mtime_ns = FIRST_PUT_NS + (number + touches) * 1_001_000_000
        etag = f"{touches:08x}{number:024x}"
        return StoredObject(1000 + number, etag, mtime_ns, checksum="CRC64NVME")

    def _tails_in(self, directory: int) -> list[str]:
        """Return how the rows of a directory end, behind its name."""
        if not self._touches:
            return self._tails
        tails = list(self._tails)
        for number in Random(directory).sample(range(self.PER_DIRECTORY), self.TOUCHED):
            tails[number] = self._tail(number, self._touches)
        return tails

    def _tail(self, number: int, touches: int = 0) -> str:
        return f"part-{number:05}.csv{self._object(number, touches).row_tail}"

    @cached_property
    def _tails(self) -> list[str]:
        return [self._tail(number) for number in range(self.PER_DIRECTORY)]
