"""Decides how a bucket is listed next, by what earlier listings have shown. Pure.

Only a sequential listing shows that a store returns keys in order: S3 promises it, its relatives do
not always. After that, and for a day, listings are split at the split keys of the last one and read
in parallel. A store with another order, or one that has not shown its order yet, can still be
listed by its common prefixes, which needs no order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from watcher.sources.s3.key_ranges import MIN_PAGES_TO_SPLIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.clock import Clock
    from watcher.sources.s3.key_ranges import RangeListing

AUTO_WORKERS = 16
"""Pages that take 50 ms each then arrive as fast as one core can compare them."""
ORDER_TRUSTED_S = 86_400.0
"""Seconds for which the order of a store is trusted, which bounds how long a key can be missed."""
MAX_FAILURES = 3
"""Failed parallel listings after which none is tried before the order has been shown again."""


class Mode(StrEnum):
    """How a listing is read."""

    SEQUENTIAL = "sequential"
    """Page by page."""
    BY_PREFIX = "by-prefix"
    """Common prefixes in parallel."""
    PARALLEL = "parallel"
    """Key ranges between split keys in parallel."""


class CompletedListing(NamedTuple):
    """The last listing that was read to its end.

    Attributes:
        keys: Number of keys in it.
        requests: LIST requests that it took.
    """

    keys: int
    requests: int


class ListingStrategy:
    """What is known of a bucket and its store. Used by one thread.

    Args:
        workers: Maximum number of requests at once; None for ``AUTO_WORKERS``.
        clock: The clock of the server.

    Attributes:
        workers: Maximum number of requests at once.
        split_keys: Those of the last listing, ascending.
        disorder: First proof that the store does not return keys in order; empty while there is
            none. Once there is one, no listing is read in parallel again.
        last: The last listing that was completed; None before the first.
    """

    def __init__(self, workers: int | None, clock: Clock) -> None:
        self.workers = workers or AUTO_WORKERS
        self.split_keys: Sequence[bytes] = ()
        self.disorder = ""
        self.last: CompletedListing | None = None
        self._clock = clock
        self._proven_s: float | None = None
        self._has_prefixes = True
        self._failures = 0
        self._is_shrinking = False

    def choose_mode(self) -> Mode:
        """Return how to read the next listing; when the order expires, failures are forgotten."""
        if self.workers == 1:
            return Mode.SEQUENTIAL
        if self.last is None or self.disorder:
            return Mode.BY_PREFIX if self._has_prefixes else Mode.SEQUENTIAL
        if self._proven_s is None or self._clock.monotonic() - self._proven_s > ORDER_TRUSTED_S:
            self._failures = 0
            return Mode.SEQUENTIAL
        is_useful = len(self.split_keys) > MIN_PAGES_TO_SPLIT and not self._is_shrinking
        return Mode.PARALLEL if is_useful and self._failures < MAX_FAILURES else Mode.SEQUENTIAL

    def note_no_prefixes(self) -> None:
        """Note that no common prefix is large enough to be listed by itself."""
        self._has_prefixes = False

    def note_completed(self, mode: Mode, listing: RangeListing, requests: int) -> None:
        """Learn from a listing that was read to its end.

        Args:
            mode: How it was read.
            listing: The listing.
            requests: LIST requests that it took, failed attempts included.
        """
        self.last = CompletedListing(listing.keys, requests)
        self.split_keys = sorted(listing.split_keys)
        self.disorder = self.disorder or listing.disorder
        if mode is Mode.SEQUENTIAL and self._failures < MAX_FAILURES:
            self._proven_s = self._clock.monotonic()

    def note_missing(self, *, is_few: bool) -> None:
        """Note whether a listing lacked few keys of the index; many need a sequential one."""
        self._is_shrinking = not is_few

    def note_failed(self) -> None:
        """Note that a listing could not be read in parallel, or lacked keys when it was."""
        self._failures += 1
