"""Durations counted by bucket, as Prometheus shows them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Histogram:
    """Durations, by bucket; not safe between threads.

    Args:
        bounds_s: Upper bounds of the buckets in seconds, in order.

    Attributes:
        bounds_s: The same.
        counts: Durations in each bucket, not cumulative; the last entry counts those above all
            bounds.
        sum_s: Seconds that all of them took.
    """

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.counts)

    def observe(self, duration_s: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds_s, duration_s)] += 1
        self.sum_s += duration_s

    def add(self, other: Histogram) -> None:
        """Add the durations of another histogram with the same bounds."""
        self.counts = [own + others for own, others in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s
