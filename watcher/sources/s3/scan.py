"""Reads one listing of a bucket to its end: sequentially, in key ranges or by common prefixes.

A sequential listing needs LIST with the configured prefix and nothing else. Key ranges
(``StartAfter``) and common prefixes (``Delimiter``, longer prefixes) only make it faster: where the
store or a policy refuses them, or answers them wrongly, the listing is read sequentially, which is
logged once.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import structlog

from watcher.errors import WatcherError
from watcher.sources.s3.deletions import are_few
from watcher.sources.s3.errors import is_refusal
from watcher.sources.s3.key_ranges import MIN_PAGES_TO_SPLIT, RangeListing, UnorderedListingError
from watcher.sources.s3.odd_objects import SetAside
from watcher.sources.s3.pages import PageRequest
from watcher.sources.s3.strategy import Mode
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.filters.key_window import Window
    from watcher.filters.path_filter import PathFilter
    from watcher.sources.s3.api import BucketApi
    from watcher.sources.s3.batches import ObjectBatch
    from watcher.sources.s3.deletions import DeletionCheck
    from watcher.sources.s3.key_ranges import KeyRange
    from watcher.sources.s3.pages import Page
    from watcher.sources.s3.strategy import ListingStrategy
    from watcher.sources.scans import Batch

PREFIX_LEVELS_MAX = 8
"""Maximum depth at which common prefixes are looked for."""
PREFIXES_MAX = 200
"""Maximum number of common prefixes that are listed one by one; more of them are too small."""
_IS_LEVEL = re.compile("[^/]*/")


class BucketScan:
    """One full listing, as a ``Scan``: iterate it once, to the end.

    Args:
        api: Sends the requests.
        path_filter: Which keys count.
        strategy: Chooses how to read the listing, and learns from it.
        deletions: Notified when the listing is complete.
        former: The listing that this one is to confirm, which is then read sequentially.

    Attributes:
        window: The keys that are read, where the prefix has dates; None where it has none.
        prefix: Empty: the whole place is read.
        keys: Number of keys that were met, once the listing is complete.
        is_complete: The listing was read to its end.
    """

    def __init__(
        self,
        api: BucketApi,
        path_filter: PathFilter,
        strategy: ListingStrategy,
        deletions: DeletionCheck,
        *,
        former: BucketScan | None = None,
    ) -> None:
        self.prefix = b""
        self._window: Window = former._window if former else api.keys.now()  # noqa: SLF001 - same class
        self.window = self._window if api.keys.is_moving else None
        self.keys = 0
        self.is_complete = False
        self._is_being_read = False
        self._verification: BucketScan | None = None
        self._set_aside: SetAside = former._set_aside if former else SetAside()  # noqa: SLF001 - same class
        self._api = api
        self._filter = path_filter
        self._strategy = strategy
        self._deletions = deletions
        self._former = former
        self._mode = Mode.SEQUENTIAL
        # A listing that confirms another one is part of its cost.
        self._requests_before: int = former._requests_before if former else api.requests  # noqa: SLF001 - same class

    @property
    def is_running(self) -> bool:
        """Whether it is being read, or the listing that confirms it is."""
        is_verified = self._verification is not None and self._verification.is_running
        return self._is_being_read or is_verified

    @property
    def unread(self) -> list[bytes]:
        """Objects that are set aside: their keys, or what the listing has in place of them."""
        return self._set_aside.texts

    def unread_test(self) -> Callable[[bytes], bool]:
        """Return a function that returns whether a row may be that of an object set aside.

        Or of one that is not read now, since its prefix has become part of the place meanwhile.
        """
        may_be_odd = self._set_aside.row_test(is_ordered=not self._strategy.disorder)
        if (window := self.window) is None:
            return may_be_odd
        return lambda key: may_be_odd(key) or not window.admits(key)

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that are set aside, or prefixes of those that are not even known."""
        return self._set_aside.unsettled()

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of consecutive objects; one that changes meanwhile may come twice.

        All objects may come twice where a parallel listing fails and is read again sequentially.

        Raises:
            NotFoundError: The bucket is gone.
            DeniedError: The store refuses.
            UnavailableError: A page could not be read or believed, or the watch is to stop.
        """
        if self._former is None:
            self._mode = self._strategy.choose_mode()
        self._is_being_read = True
        try:
            yield from self._read_all()
        finally:
            self._is_being_read = False
        self.is_complete = True
        if self._former is not None and self.keys > self._former.keys:
            self._strategy.note_failed()

    def verification_scan(self, missing: int) -> BucketScan | None:
        """Return a sequential listing where many keys are missing from one that was not; else None.

        Args:
            missing: Number of keys of the index that this listing, which is complete, lacks.
        """
        is_few = are_few(missing - len(self._set_aside))
        self._strategy.note_missing(is_few=is_few)
        self._deletions.begin()
        if self._mode is Mode.SEQUENTIAL or is_few:
            return None
        self._verification = BucketScan(
            self._api, self._filter, self._strategy, self._deletions, former=self
        )
        return self._verification

    def _read_all(self) -> Iterator[Batch]:
        if self._mode is Mode.BY_PREFIX:
            yield from self._read_by_prefix()
        elif self._mode is Mode.PARALLEL:
            yield from self._read_parallel()
        else:
            yield from self._read_sequential()

    @property
    def _prefixes(self) -> list[str]:
        """The prefixes that are listed."""
        return [prefix.decode() for prefix in self._window.prefixes]

    def _read_sequential(self, pages: Sequence[Page] = ()) -> Iterator[Batch]:
        """Read each prefix page by page, beginning with pages that were fetched before."""
        self._mode = Mode.SEQUENTIAL
        yield from self._read(self._make_listing(self._prefixes), pages)

    def _read_parallel(self) -> Iterator[Batch]:
        """Read in key ranges; where that cannot be done, read all of it again sequentially."""
        split_keys = self._strategy.split_keys
        try:
            yield from self._read(self._make_listing(self._prefixes, split_keys=split_keys))
        except UnorderedListingError as error:
            failure = error
        else:
            return
        yield from self._read_sequential()
        self._note_failed(Mode.PARALLEL, failure)

    def _read_by_prefix(self) -> Iterator[Batch]:
        """Read each common prefix by itself where they are large; else go on sequentially.

        Several prefixes with dates are read side by side already.
        """
        if len(self._prefixes) > 1:
            yield from self._read_sequential()
            return
        pages = self._read_ahead()
        if pages[-1].next_token is None:
            yield from self._read_sequential(pages)
            return
        try:
            found = self._find_prefixes(pages)
        except UnorderedListingError as error:
            yield from self._read_sequential(pages)
            self._note_failed(Mode.BY_PREFIX, error)
            return
        if found is None:
            self._strategy.note_no_prefixes()
            yield from self._read_sequential(pages)
            return
        try:
            yield from self._read(
                self._make_listing(found.passed, announced=found.announced), found.pages
            )
        except UnorderedListingError as error:
            failure = error
        else:
            return
        # The pages that were read ahead are older than what has been yielded.
        yield from self._read_sequential()
        self._note_failed(Mode.BY_PREFIX, failure)

    def _note_failed(self, mode: Mode, failure: UnorderedListingError) -> None:
        """Note that a mode has failed where a sequential listing has not."""
        if self._strategy.note_failed(mode, is_refused=failure.is_refused):
            structlog.get_logger("watcher").warning(
                "scan.in_one_chain", place=self._api.spec.place, reason=f"{failure!s:.500}"
            )

    def _read_ahead(self) -> list[Page]:
        """Return the first pages of the listing, as many as a large prefix has."""
        (prefix,) = self._prefixes
        pages = [self._api.list_page(PageRequest(prefix))]
        while len(pages) < MIN_PAGES_TO_SPLIT and (token := pages[-1].next_token) is not None:
            pages.append(self._api.list_page(PageRequest(prefix, token=token)))
        return pages

    def _find_prefixes(self, ahead: Sequence[Page]) -> _CommonPrefixes | None:
        """Look for common prefixes, level by level until there are several beside each other.

        Args:
            ahead: The first pages of the listing. Where their first and last keys lie in more than
                two prefixes, these are too small.

        Returns:
            The prefixes; None when there are no large ones.

        Raises:
            UnorderedListingError: The store refuses to list common prefixes, or lists wrong ones.
        """
        keys = [
            key
            for page in ahead
            for key in (page.reader.first_key(page.objects), page.reader.last_key(page.objects))
            if key
        ]
        pages, passed = [], []
        (prefix,) = self._prefixes
        for _ in range(PREFIX_LEVELS_MAX):
            page = self._list_level(prefix)
            large = {
                each for each in page.prefixes if any(key.startswith(each.encode()) for key in keys)
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
                found = _CommonPrefixes(pages, passed, page.prefixes)
                _check_coverage(found, ahead)
                return found
            prefix = page.prefixes[0]
        return None

    def _list_level(self, prefix: str) -> Page:
        """Return the objects and the common prefixes of one level.

        Raises:
            UnorderedListingError: They are refused, or are not those of the level.
        """
        try:
            page = self._api.list_page(PageRequest(prefix, delimiter="/"))
        except WatcherError as error:
            raise _unanswered("the delimiter", error) from error
        below = [each[len(prefix) :] for each in page.prefixes]
        if len(set(below)) < len(below) or not all(map(_IS_LEVEL.fullmatch, below)):
            # Such as a store lists that does not encode them as it says.
            raise UnorderedListingError(f"wrong common prefixes under {prefix!r}", is_refused=True)
        return page

    def _make_listing(
        self,
        prefixes: Sequence[str],
        *,
        announced: Sequence[str] = (),
        split_keys: Sequence[bytes] = (),
    ) -> RangeListing:
        return RangeListing(
            self._api.spec.place,
            prefixes,
            self._filter,
            announced=announced,
            split_keys=split_keys,
            disorder=self._strategy.disorder,
        )

    def _read(self, listing: RangeListing, pages: Sequence[Page] = ()) -> Iterator[Batch]:
        """Read a listing to its end, with as many requests at once as the limit allows.

        Args:
            listing: The listing.
            pages: Its first pages, where they were fetched before.

        Raises:
            UnorderedListingError: It cannot be read in parallel.
        """
        batches = listing.start(pages)
        limit = self._api.limit
        with closing(Workers(self._fetch, self._api.should_stop)) as workers:
            while True:
                while workers.busy < limit.limit and (found := listing.next_range()) is not None:
                    workers.put(found)
                for batch in batches:
                    yield batch
                    self._set_aside.add(batch.set_aside, is_ordered=batch.is_sorted)
                    if not batch.is_sorted:
                        listing.note_disorder(f"keys before {batch.last_key!r} do not ascend")
                if listing.is_complete:
                    break
                limit.on_response(was_waiting=not workers.has_result)
                batches = self._take(workers, listing)
        self.keys = listing.keys
        requests = self._api.requests - self._requests_before
        self._strategy.note_completed(self._mode, listing, requests)
        self._strategy.set_aside = str(self._set_aside)

    def _fetch(self, key_range: KeyRange) -> Page:
        return self._api.list_page(key_range.request)

    def _take(self, workers: Workers[KeyRange, Page], listing: RangeListing) -> list[ObjectBatch]:
        """Wait for the next page of any range and return the batches that are complete with it."""
        key_range, response = workers.take()
        try:
            page = response.result()
        except WatcherError as error:
            if key_range.is_dropped:
                return []
            is_first = key_range.token is None
            if key_range.request.start_after and is_first:
                raise _unanswered("StartAfter", error) from error
            if key_range.is_announced and (is_first or is_refusal(error)):
                raise _unanswered(f"the prefix {key_range.prefix!r}", error) from error
            raise
        return listing.take(key_range, page)


class _CommonPrefixes(NamedTuple):
    """Common prefixes of a listing.

    Attributes:
        pages: The objects of each level that lie in no prefix below it.
        passed: Prefixes of these levels.
        announced: Common prefixes of the last level, which hold all other keys.
    """

    pages: Sequence[Page]
    passed: Sequence[str]
    announced: Sequence[str]


def _check_coverage(found: _CommonPrefixes, ahead: Sequence[Page]) -> None:
    """Check that common prefixes cover the keys of the first pages of a listing.

    Raises:
        UnorderedListingError: One is neither in a prefix nor beside them.
    """
    beside = {
        entry.path for page in found.pages for entry in page.reader.read(page.objects).entries
    }
    prefixes = tuple(prefix.encode() for prefix in found.announced)
    for page in ahead:
        for entry in page.reader.read(page.objects).entries:
            if not entry.path.startswith(prefixes) and entry.path not in beside:
                raise UnorderedListingError(f"no common prefix covers {entry.path!r}")


def _unanswered(what: str, error: WatcherError) -> UnorderedListingError:
    return UnorderedListingError(f"{what} is not answered: {error}", is_refused=is_refusal(error))
