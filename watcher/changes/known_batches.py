"""Which rows of the index the batches of a scan stand for, so that a batch that comes again unchanged need not be read. Pure.

It is safe only while the rows are as the batches said. So a scan remembers its own batches and recalls those of the scan before it; one
that is left half-way leaves nothing behind, nor does one in which an entry came twice and was not the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RANGES_MAX = 64
"""A batch whose rows have ids in more pieces is not remembered, since there may be 10,000 batches."""


class UnchangedBatches:
    """The batches of a running scan and of the one before it, by digest, as ranges of row ids.

    Args:
        former: ``batches`` of the scan before.

    Attributes:
        batches: Those of this scan.
    """

    def __init__(self, former: Mapping[bytes, Sequence[range]]) -> None:
        self.batches: dict[bytes, Sequence[range]] = {}
        self._former = former
        self._is_given_up = False

    def find(self, digest: bytes) -> Sequence[range]:
        """Return the rows of a batch that was in the former scan as well; empty where it was not, or has none."""
        return self._former.get(digest, ())

    def size_of_kept(self, digest: bytes) -> int:
        """Return how many rows a batch has that came in this scan before; 0 for one that did not."""
        return sum(map(len, self.batches.get(digest, ())))

    def keep(self, digest: bytes, ranges: Sequence[range]) -> None:
        """Remember a batch of this scan by its rows; one with an empty digest cannot come again."""
        if digest and len(ranges) <= RANGES_MAX and not self._is_given_up:
            self.batches[digest] = ranges

    def invalidate(self) -> None:
        """Recall and remember nothing in this scan."""
        self._is_given_up = True
        self._former = {}
        self.batches.clear()


def as_ranges(ids: Iterable[int]) -> list[range]:
    """Return ids in ascending order as ranges, each as long as can be."""
    ranges: list[range] = []
    for id_ in sorted(ids):
        if ranges and ranges[-1].stop == id_:
            ranges[-1] = range(ranges[-1].start, id_ + 1)
        else:
            ranges.append(range(id_, id_ + 1))
    return ranges
