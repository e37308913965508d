"""Decides which keys a simulated bucket holds and in which order they are listed.

A bucket is a table that a test changes, or keys that ``synthetic`` computes. Both are listed
through views: all keys in the order of one listing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, Protocol
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_PUT_NS: Final = 1_760_000_000_000_000_000
"""Last-modified of the first object that is put without one: October 2025."""
_CHARACTER_REFERENCES = {chr(code): f"&#x{code:x};" for code in range(32)}


class Order(StrEnum):
    """Order in which a store lists keys."""

    AWS = "aws"
    """By the bytes of UTF-8, which is the order of code points."""
    TREE = "tree"
    """By the components of the path, as SeaweedFS does: `/` sorts before everything else."""
    RANDOM = "random"
    """Shuffled anew in each listing, as S3 Express may do."""


SORT_KEYS: Final[dict[Order, Callable[[str], str]]] = {
    Order.AWS: lambda key: key,
    Order.TREE: lambda key: key.replace("/", "\0"),
}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What LIST and HEAD return for an object: the etag in quotes, the algorithm as checksum.

    Of last-modified LIST returns milliseconds, HEAD seconds.
    """

    size: int
    etag: str
    mtime_ns: int
    storage_class: str = "STANDARD"
    checksum: str = ""

    @property
    def modified(self) -> datetime:
        """Last-modified with microseconds."""
        return _EPOCH + timedelta(microseconds=self.mtime_ns // 1000)

    @property
    def row_tail(self) -> str:
        """The XML behind the key in a row of a listing."""
        checksum = (
            f"<ChecksumAlgorithm>{self.checksum}</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
            if self.checksum
            else ""
        )
        return (
            f"</Key><LastModified>{self.modified:%Y-%m-%dT%H:%M:%S}"
            f".{self.modified.microsecond // 1000:03}Z</LastModified>"
            f"<ETag>&quot;{self.etag}&quot;</ETag>{checksum}<Size>{self.size}</Size>"
            f"<StorageClass>{self.storage_class}</StorageClass></Contents>"
        )


def encode(text: str, *, is_url: bool) -> str:
    """Return a key as the XML has it, URL-encoded as AWS does or as it is."""
    if is_url:
        return quote_plus(text, safe="/*").replace("~", "%7E")
    return escape(text, _CHARACTER_REFERENCES)


class View(ABC):
    """All keys of a bucket in the order of one listing, which is that of their ranks.

    Where it is sorted, keys with a common prefix are neighbours.
    """

    def __init__(self, rank: Callable[[str], Any], *, is_sorted: bool) -> None:
        self.is_sorted = is_sorted
        self._rank = rank

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int, /) -> str: ...

    @abstractmethod
    def rows(self, low: int, high: int, *, is_url: bool) -> str:
        """Return the XML of the objects between two indexes."""

    def after(self, key: str) -> int:
        """Return the index behind a key, which need not be there any more."""
        return bisect_right(self, self._rank(key), key=self._rank)

    def span(self, prefix: str) -> tuple[int, int]:
        """Return the first index and the one behind the last that may hold keys with a prefix."""
        if not prefix or not self.is_sorted:
            return 0, len(self)
        first = self._rank(prefix)

        def cut(key: str) -> str:
            rank: str = self._rank(key)
            return rank[: len(first)]

        return bisect_left(self, first, key=cut), bisect_right(self, first, key=cut)


class Keyspace(Protocol):
    """The objects of a bucket, listed in an order of which a seed picks one of the random ones."""

    @property
    def order(self) -> Order: ...

    def view(self, seed: int) -> View: ...

    def get(self, key: str) -> StoredObject | None: ...


class ObjectTable:
    """Objects that a test puts and deletes; not safe for threads."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._objects: dict[str, StoredObject] = {}
        self._rows: dict[tuple[str, bool], str] = {}
        self._views: dict[int, _TableView] = {}
        self._puts = 0

    def put(
        self, key: str, size: int, etag: str | None, mtime_ns: int | None, storage_class: str
    ) -> None:
        """Put an object; no two puts have the same etag or time unless they are given."""
        self._puts += 1
        if key not in self._objects:
            self._views.clear()
        mtime_ns = FIRST_PUT_NS + self._puts * 1_000_000_000 if mtime_ns is None else mtime_ns
        self._objects[key] = StoredObject(
            size, f"{self._puts:032x}" if etag is None else etag, mtime_ns, storage_class
        )
        self._forget_rows(key)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        if self._objects.pop(key, None) is not None:
            self._views.clear()
            self._forget_rows(key)

    def get(self, key: str) -> StoredObject | None:
        return self._objects.get(key)

    def view(self, seed: int) -> View:
        seed = seed if self.order is Order.RANDOM else 0
        if seed not in self._views:
            self._views[seed] = _TableView(self, seed)
        return self._views[seed]

    def keys(self) -> list[str]:
        return list(self._objects)

    def row(self, key: str, *, is_url: bool) -> str:
        row = self._rows.get((key, is_url))
        if row is None:
            row = self._rows[key, is_url] = (
                f"<Contents><Key>{encode(key, is_url=is_url)}{self._objects[key].row_tail}"
            )
        return row

    def _forget_rows(self, key: str) -> None:
        self._rows.pop((key, False), None)
        self._rows.pop((key, True), None)


class _TableView(View):
    """The keys of a table."""

    def __init__(self, table: ObjectTable, seed: int) -> None:
        def shuffle(key: str) -> bytes:
            return blake2b(key.encode(), key=seed.to_bytes(8, "big"), digest_size=8).digest()

        super().__init__(
            SORT_KEYS.get(table.order, shuffle), is_sorted=table.order is not Order.RANDOM
        )
        self._table = table
        self._sorted = sorted(table.keys(), key=self._rank)

    def __len__(self) -> int:
        return len(self._sorted)

    def __getitem__(self, index: int, /) -> str:
        return self._sorted[index]

    def rows(self, low: int, high: int, *, is_url: bool) -> str:
        return "".join([self._table.row(key, is_url=is_url) for key in self._sorted[low:high]])
