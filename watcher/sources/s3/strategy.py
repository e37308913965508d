"""Decides how a bucket is listed the next time, by what the listings before it have shown. Pure.

Only a listing that was read in one chain shows that a store keeps its keys in order; S3 says that it does, its relatives do not always.
After that, and for a day, listings are split at their own split_keys. A store of another order, or one that has not shown its order yet,
can still be listed by its common prefixes, for which no order is needed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.sources.s3.key_ranges import MIN_PAGES_TO_SPLIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.sources.s3.key_ranges import RangeListing

AUTO_WORKERS = 16
"""Pages of 50 ms each then arrive as fast as one core can compare them."""
ORDER_TRUSTED_S = 86_400.0
"""How long it is believed that a store keeps its keys in order. What is listed in parts and missed for whatever reason is found then."""
MAX_FAILURES = 3
"""After so many listings that could not be read in parts none is tried before the order is shown again."""


class Mode(StrEnum):
    """How to read a listing."""

    SEQUENTIAL = "chain"
    """Page by page."""
    BY_PREFIX = "prefixes"
    """Each common prefix by itself."""
    PARALLEL = "parts"
    """Split at split_keys."""


class ListingStrategy:
    """What is known of a bucket and its store.

    Args:
        workers: How many pages may be fetched at once; None for as many as are of use.
        clock: Monotonic seconds.

    Attributes:
        workers: How many pages may be fetched at once.
        split_keys: Of the last listing, ascending.
        disorder: Why the keys are not in ascending order; empty as long as they were. Once it is not, no listing is read in parts again.
    """

    def __init__(self, workers: int | None, clock: Callable[[], float]) -> None:
        self.workers = workers or AUTO_WORKERS
        self.split_keys: Sequence[bytes] = ()
        self.disorder = ""
        self._clock = clock
        self._proven_s: float | None = None
        self._is_first = True
        self._has_prefixes = True
        self._strikes = 0
        self._is_shrinking = False

    def choose_way(self) -> Mode:
        """Return how to read the next listing; where the order is to be shown anew, what failed before is forgotten."""
        if self.workers == 1:
            return Mode.SEQUENTIAL
        if self._is_first or self.disorder:
            return Mode.BY_PREFIX if self._has_prefixes else Mode.SEQUENTIAL
        if self._proven_s is None or self._clock() - self._proven_s > ORDER_TRUSTED_S:
            self._strikes = 0
            return Mode.SEQUENTIAL
        is_useful = len(self.split_keys) > MIN_PAGES_TO_SPLIT and not self._is_shrinking
        return Mode.PARALLEL if is_useful and self._strikes < MAX_FAILURES else Mode.SEQUENTIAL

    def note_no_prefixes(self) -> None:
        """Note that there are no common prefixes which are worth to be listed by themselves."""
        self._has_prefixes = False

    def note_completed(self, way: Mode, listing: RangeListing) -> None:
        """Learn from a listing that was read to its end."""
        self._is_first = False
        self.split_keys = sorted(listing.split_keys)
        self.disorder = self.disorder or listing.disorder
        if way is Mode.SEQUENTIAL and self._strikes < MAX_FAILURES:
            self._proven_s = self._clock()

    def note_missing(self, *, is_few: bool) -> None:
        """Learn how many keys of the index a listing lacked; where they are many, it takes a listing in one chain anyway."""
        self._is_shrinking = not is_few

    def note_failed(self) -> None:
        """Learn that a listing could not be read in parts, or not rightly."""
        self._strikes += 1
