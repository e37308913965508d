"""Reads one listing of a bucket to its end, in one chain of pages or in several parts side by side, by the plan that the source keeps."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import structlog

from watcher.errors import WatcherError
from watcher.sources.s3.key_ranges import (
    MIN_PAGES_TO_SPLIT,
    PageRequest,
    RangeListing,
    UnorderedListingError,
)
from watcher.sources.s3.strategy import Mode
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.sources.protocol import Batch
    from watcher.sources.s3.key_ranges import KeyRange
    from watcher.sources.s3.objects import ObjectBatch
    from watcher.sources.s3.pages import Page
    from watcher.sources.s3.strategy import ListingStrategy
    from watcher.sources.s3.throttle import ConcurrencyLimit
    from watcher.spec import BucketSpec

CONFIRMED_KEYS = 100
"""So many keys that a listing lacks are asked for, one by one: they cost less than the pages of a second listing."""
LEVELS_MAX = 8
"""So deep common prefixes are looked for."""
PREFIXES_MAX = 200
"""More common prefixes than these are too small, one by one, to be worth a request."""


class Lister(NamedTuple):
    """What reads a bucket.

    Attributes:
        spec: The bucket.
        path_filter: Which keys count.
        fetch: Returns the page for a question, from any thread; with a delimiter, what lies below it is told by common prefixes.
        should_stop: Asked while a page is waited for.
        plan: What is known of the bucket; learns from each listing.
        throttle: How many pages may be asked for at once.
    """

    spec: BucketSpec
    path_filter: PathFilter
    fetch: Callable[[PageRequest, str], Page]
    should_stop: Callable[[], bool]
    plan: ListingStrategy
    throttle: ConcurrencyLimit


class BucketScan:
    """One full listing; iterate it once, to the end. See ``Scan`` for the protocol.

    Args:
        lister: Reads the bucket.
        completed: Called after the last page with the number of keys.
        former: The listing that this one is to confirm, which is then read in one chain.

    Attributes:
        prefix: Empty: the whole place is read.
        unread: Empty: a listing that is not complete raises.
        keys: How many were met, once the listing is complete.
    """

    def __init__(
        self, lister: Lister, completed: Callable[[int], None], *, former: BucketScan | None = None
    ) -> None:
        self.prefix = b""
        self.unread: list[bytes] = []
        self.keys = 0
        self._lister = lister
        self._completed = completed
        self._former = former
        self._way = Mode.SEQUENTIAL

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of objects that follow each other; an object that changes meanwhile may come twice.

        So may all that was met, where a listing in parts turns out to be none and is read again in a chain.

        Raises:
            NotFoundError: The bucket is gone.
            DeniedError: The store refuses.
            UnavailableError: A page could not be read or believed, or the watch is to stop.
        """
        self._way = self._lister.plan.choose_way() if self._former is None else Mode.SEQUENTIAL
        if self._way is Mode.BY_PREFIX:
            yield from self._read_prefixes()
        elif self._way is Mode.PARALLEL:
            yield from self._read_parts()
        else:
            yield from self._read_chain()
        if self._former is not None and self.keys > self._former.keys:
            self._lister.plan.note_failed()
        self._completed(self.keys)

    def verification_scan(self, missing: int) -> BucketScan | None:
        """Return a listing in one chain, where this one was read otherwise and lacks more keys than are asked for one by one."""
        is_few = missing <= CONFIRMED_KEYS
        self._lister.plan.note_missing(is_few=is_few)
        if self._way is Mode.SEQUENTIAL or is_few:
            return None
        return BucketScan(self._lister, self._completed, former=self)

    def _read_chain(self, pages: Sequence[Page] = ()) -> Iterator[Batch]:
        """Read page by page, from the first pages on where they are there already."""
        self._way = Mode.SEQUENTIAL
        yield from self._read(self._make_listing([self._lister.spec.prefix]), pages)

    def _read_parts(self) -> Iterator[Batch]:
        """Read in parts, and if that cannot be done all over again in a chain."""
        plan, spec = self._lister.plan, self._lister.spec
        try:
            yield from self._read(self._make_listing([spec.prefix], split_keys=plan.split_keys))
        except UnorderedListingError as error:
            structlog.get_logger("watcher").warning(
                "scan.in_one_chain", place=spec.place, reason=f"{error!s:.500}"
            )
            plan.note_failed()
            yield from self._read_chain()

    def _read_prefixes(self) -> Iterator[Batch]:
        """Read each common prefix by itself where they are large; else read on in a chain."""
        pages = self._read_ahead()
        if pages[-1].next_token is None:
            yield from self._read_chain(pages)
            return
        keys = [
            page.reader.key(found)
            for page in pages
            for found in (*page.objects[:1], *page.objects[-1:])
        ]
        beside, prefixes = self._find_prefixes(keys)
        if prefixes:
            yield from self._read(self._make_listing(prefixes), beside)
        else:
            self._lister.plan.note_no_prefixes()
            yield from self._read_chain(pages)

    def _read_ahead(self) -> list[Page]:
        """Return so many first pages of the chain as a large prefix has."""
        prefix = self._lister.spec.prefix
        pages = [self._lister.fetch(PageRequest(prefix, "", None), "")]
        while len(pages) < MIN_PAGES_TO_SPLIT and (token := pages[-1].next_token) is not None:
            pages.append(self._lister.fetch(PageRequest(prefix, "", token), ""))
        return pages

    def _find_prefixes(self, keys: Sequence[bytes]) -> tuple[list[Page], list[str]]:
        """Look for common prefixes, the first one below the other until there are several beside each other.

        Args:
            keys: The first and the last ones of some pages. Where they lie in more than two prefixes, these are too small.

        Returns:
            The prefixes, with those before them that hold all the others; and for each of these a page of what is not below another.
            Empty when there are none.
        """
        pages, passed = [], []
        prefix = self._lister.spec.prefix
        for _ in range(LEVELS_MAX):
            page = self._lister.fetch(PageRequest(prefix, "", None), "/")
            large = {
                found
                for found in page.prefixes
                if any(key.startswith(found.encode()) for key in keys)
            }
            if (
                page.next_token is not None
                or len(page.prefixes) > PREFIXES_MAX
                or len(large) not in {1, 2}
            ):
                break
            pages.append(page)
            passed.append(prefix)
            if len(page.prefixes) > 1:
                return pages, [*passed, *page.prefixes]
            prefix = page.prefixes[0]
        return [], []

    def _make_listing(
        self, prefixes: Sequence[str], *, split_keys: Sequence[bytes] = ()
    ) -> RangeListing:
        return RangeListing(
            self._lister.spec.place, prefixes, self._lister.path_filter, split_keys=split_keys
        )

    def _read(self, listing: RangeListing, pages: Sequence[Page] = ()) -> Iterator[Batch]:
        """Read a listing to its end.

        Args:
            listing: Which.
            pages: Its first pages, where they are there already.

        Raises:
            UnorderedListingError: It cannot be read in parts.
        """
        batches = listing.start(pages)
        throttle = self._lister.throttle
        with closing(Workers(self._fetch, self._lister.should_stop)) as workers:
            while True:
                while workers.busy < throttle.limit and (part := listing.next_part()) is not None:
                    workers.put(part)
                for batch in batches:
                    yield batch
                    if not batch.is_sorted:
                        listing.note_disorder(f"keys before {batch.last_key!r} do not ascend")
                if listing.is_complete:
                    break
                throttle.on_response(was_waiting=not workers.has_answer)
                batches = self._take(workers, listing)
        self.keys = listing.keys
        self._lister.plan.note_completed(self._way, listing)

    def _fetch(self, part: KeyRange) -> Page:
        return self._lister.fetch(part.question, "")

    def _take(self, workers: Workers[KeyRange, Page], listing: RangeListing) -> list[ObjectBatch]:
        """Wait for the next page, of whatever part, and return the batches that are complete with it."""
        part, answer = workers.take()
        try:
            page = answer.result()
        except WatcherError as error:
            if part.is_dropped:
                return []
            if part.question.start_after and part.question.token is None:
                raise UnorderedListingError(f"StartAfter is not answered: {error}") from error
            raise
        return listing.take(part, page)
