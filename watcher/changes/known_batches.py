"""Remembers the rows of a scan's batches, so that an unchanged batch need not be read again. Pure.

This is correct only while the rows are as the batches say. So a scan remembers its own batches and
finds those of the scan before it. An incomplete scan leaves nothing behind, nor does one in which
an entry occurred twice with different values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RANGES_MAX = 64
"""Maximum number of id ranges of a remembered batch; bounds the memory of 10,000 batches."""


class UnchangedBatches:
    """The batches of a running scan and of the one before it, by digest, as ranges of row ids.

    Args:
        former: ``batches`` of the scan before.

    Attributes:
        batches: The batches of this scan.
    """

    def __init__(self, former: Mapping[bytes, Sequence[range]]) -> None:
        self.batches: dict[bytes, Sequence[range]] = {}
        self._former = former
        self._is_invalid = False

    def find(self, digest: bytes) -> Sequence[range]:
        """Return the rows of a batch that the former scan had too; empty if it had not."""
        return self._former.get(digest, ())

    def kept_rows(self, digest: bytes) -> int:
        """Return the number of rows of a batch that this scan had before; 0 if it had not."""
        return sum(map(len, self.batches.get(digest, ())))

    def keep(self, digest: bytes, ranges: Sequence[range]) -> None:
        """Remember a batch of this scan by its rows, unless its digest is empty."""
        if digest and len(ranges) <= RANGES_MAX and not self._is_invalid:
            self.batches[digest] = ranges

    def invalidate(self) -> None:
        """Neither find nor remember any batch in the rest of this scan."""
        self._is_invalid = True
        self._former = {}
        self.batches.clear()


def as_ranges(ids: Iterable[int]) -> list[range]:
    """Return ids as the fewest ranges, in ascending order."""
    ranges: list[range] = []
    for id_ in sorted(ids):
        if ranges and ranges[-1].stop == id_:
            ranges[-1] = range(ranges[-1].start, id_ + 1)
        else:
            ranges.append(range(id_, id_ + 1))
    return ranges
