"""Remembers the rows of a scan's batches, so that an unchanged batch need not be read again. Pure.

This is correct only while the rows are as the batches say. So a scan remembers its own batches and
finds those of the scan before it, but those with a row that was touched since. An incomplete scan
leaves nothing behind, nor does one in which an entry occurred twice with different values.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

from watcher.changes.bitmap import Bitmap, as_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RANGES_MAX = 64
"""Maximum number of id ranges of a remembered batch; bounds the memory of 10,000 batches."""


class KnownParts(NamedTuple):
    """The parts of one batch and their rows: about 900 bytes for a thousand consecutive ids.

    Attributes:
        digests: Those of all parts, one behind the other.
        sizes: Number of rows of each part.
        ranges: Ids of the rows of all parts, in their order.
    """

    digests: bytes
    sizes: array[int]
    ranges: Sequence[range]

    @classmethod
    def of(cls, parts: Mapping[bytes, Sequence[range]]) -> Self:
        """Return parts with digests of one length, in their order."""
        ids = [*chain.from_iterable(chain.from_iterable(parts.values()))]
        sizes = array("H", [sum(map(len, ranges)) for ranges in parts.values()])
        return cls(b"".join(parts), sizes, as_runs(ids))

    def by_digest(self) -> dict[bytes, Sequence[range]]:
        """Return the ids of the rows of each part."""
        length = len(self.digests) // len(self.sizes)
        digests = [
            self.digests[start : start + length] for start in range(0, len(self.digests), length)
        ]
        bounds = pairwise(accumulate(self.sizes, initial=0))
        if len(self.ranges) == 1:
            # That of most batches, whose rows a first scan has numbered.
            (whole,) = self.ranges
            runs = [[whole[start:end]] if start < end else [] for start, end in bounds]
        else:
            ids = [*chain.from_iterable(self.ranges)]
            runs = [as_runs(ids[start:end]) for start, end in bounds]
        return dict(zip(digests, runs, strict=True))


class UnchangedBatches:
    """The batches of one scan and of the one before it, by digest, as ranges of row ids.

    Args:
        former: Those of the scan before; None if there was none.
    """

    def __init__(self, former: UnchangedBatches | None = None) -> None:
        self._batches: dict[bytes, Sequence[range]] = {}
        self._parts: dict[bytes, KnownParts] = {}
        self._touched = Bitmap(0)
        self._former = former
        self._is_invalid = False
        if former is not None:
            former._former = None  # noqa: SLF001 - same class; that scan is over

    @property
    def has_former(self) -> bool:
        """Whether there was a scan before whose batches may be found."""
        return self._former is not None and bool(self._former._batches)  # noqa: SLF001 - same class

    def find(self, digest: bytes) -> Sequence[range]:
        """Return the rows of a batch that the former scan had too; empty if it had not."""
        return () if self._former is None else self._former.kept(digest)

    def kept_rows(self, digest: bytes) -> int:
        """Return the number of rows of a batch that this scan had before; 0 if it had not."""
        return sum(map(len, self.kept(digest)))

    def kept(self, digest: bytes) -> Sequence[range]:
        """Return the rows of a batch of this scan, if none of them was touched since."""
        ranges = self._batches.get(digest, ())
        return () if any(map(self._touched.overlaps, ranges)) else ranges

    def keep(self, digest: bytes, ranges: Sequence[range]) -> None:
        """Remember a batch of this scan by its rows, unless its digest is empty."""
        if digest and len(ranges) <= RANGES_MAX and not self._is_invalid:
            self._batches[digest] = ranges

    def find_parts(self, name: bytes) -> dict[bytes, Sequence[range]]:
        """Return the rows of the parts of a batch that the former scan had, by their digests.

        Args:
            name: Name of the batch, which may have changed; see ``scans.DividedBatch``.
        """
        return {} if self._former is None else self._former.kept_parts(name)

    def kept_parts(self, name: bytes) -> dict[bytes, Sequence[range]]:
        """Return the rows of the parts of a batch of this scan, but for those touched since."""
        if (parts := self._parts.get(name)) is None:
            return {}
        return {
            digest: ranges
            for digest, ranges in parts.by_digest().items()
            if not any(map(self._touched.overlaps, ranges))
        }

    def keep_parts(self, name: bytes, parts: Mapping[bytes, Sequence[range]]) -> None:
        """Remember the parts of a batch of this scan by their rows."""
        known = KnownParts.of(parts)
        if known.digests and len(known.ranges) <= RANGES_MAX and not self._is_invalid:
            self._parts[name] = known

    def keep_former_parts(self, name: bytes) -> None:
        """Remember the parts of a batch of this scan that the former scan had as it is."""
        if self._former is not None and (parts := self._former._parts.get(name)) is not None:  # noqa: SLF001 - same class
            self._parts[name] = parts

    def touch(self, ids: Iterable[int]) -> None:
        """Forget the batches with rows that have changed."""
        self._touched.add(ids)
        if self._former is not None:
            self._former.touch(ids)

    def invalidate(self) -> None:
        """Neither find nor remember any batch in the rest of this scan."""
        self._is_invalid = True
        self._former = None
        self._batches.clear()
        self._parts.clear()


def as_ranges(ids: Iterable[int]) -> list[range]:
    """Return ids as the fewest ranges, in ascending order."""
    return as_runs(sorted(ids))


def as_runs(ids: Sequence[int]) -> list[range]:
    """Return ids as the fewest ascending ranges that have them in their order."""
    if (whole := as_range(ids)) is not None:
        return [whole]
    ranges: list[range] = []
    for id_ in ids:
        if ranges and ranges[-1].stop == id_:
            ranges[-1] = range(ranges[-1].start, id_ + 1)
        else:
            ranges.append(range(id_, id_ + 1))
    return ranges
