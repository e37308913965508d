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
"""Failed listings of one mode after which it is not tried for a day. One refusal is as many."""


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
        set_aside: What that listing could not read, as one line; empty for nothing.
    """

    def __init__(self, workers: int | None, clock: Clock) -> None:
        self.workers = workers or AUTO_WORKERS
        self.split_keys: Sequence[bytes] = ()
        self.disorder = ""
        self.last: CompletedListing | None = None
        self.set_aside = ""
        self._clock = clock
        self._proven_s: float | None = None
        self._has_prefixes = True
        self._failures = dict.fromkeys(Mode, 0)
        self._prefixes_failed_s = 0.0
        self._reported: set[Mode] = set()
        self._is_shrinking = False

    @property
    def is_ordered(self) -> bool:
        """Whether the store has shown that it returns keys in order."""
        return self._proven_s is not None and not self.disorder

    def choose_mode(self) -> Mode:
        """Return how to read the next listing; when the order expires, failures are forgotten."""
        if self.workers == 1:
            return Mode.SEQUENTIAL
        if self.last is None or self.disorder:
            if self._clock.monotonic() - self._prefixes_failed_s > ORDER_TRUSTED_S:
                self._failures[Mode.BY_PREFIX] = 0
            return self._unless_failed(Mode.BY_PREFIX, is_useful=self._has_prefixes)
        if self._proven_s is None or self._clock.monotonic() - self._proven_s > ORDER_TRUSTED_S:
            self._failures[Mode.PARALLEL] = 0
            return Mode.SEQUENTIAL
        is_useful = len(self.split_keys) > MIN_PAGES_TO_SPLIT and not self._is_shrinking
        return self._unless_failed(Mode.PARALLEL, is_useful=is_useful)

    def _unless_failed(self, mode: Mode, *, is_useful: bool) -> Mode:
        has_failed = self._failures[mode] >= MAX_FAILURES
        return mode if is_useful and not has_failed else Mode.SEQUENTIAL

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
        self._reported.discard(mode)
        if mode is Mode.SEQUENTIAL and self._failures[Mode.PARALLEL] < MAX_FAILURES:
            self._proven_s = self._clock.monotonic()

    def note_missing(self, *, is_few: bool) -> None:
        """Note whether a listing lacked few keys of the index; many need a sequential one."""
        self._is_shrinking = not is_few

    def note_failed(self, mode: Mode = Mode.PARALLEL, *, is_refused: bool = False) -> bool:
        """Note that a listing could not be read in a mode, or lacked keys when it was.

        Args:
            mode: The mode, which is not the sequential one.
            is_refused: The store refuses what the mode needs and a sequential listing does not.

        Returns:
            Whether this is the first failure since the mode has worked.
        """
        self._failures[mode] = MAX_FAILURES if is_refused else self._failures[mode] + 1
        if mode is Mode.BY_PREFIX:
            self._prefixes_failed_s = self._clock.monotonic()
        is_first = mode not in self._reported
        self._reported.add(mode)
        return is_first
