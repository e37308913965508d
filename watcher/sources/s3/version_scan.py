"""Reads one listing of all versions of a bucket to its end, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.s3.objects import distrust
from watcher.sources.s3.odd_objects import SetAside
from watcher.sources.s3.strategy import CompletedListing
from watcher.sources.s3.version_batches import VersionBatchBuilder
from watcher.sources.s3.version_pages import VersionRequest
from watcher.sources.s3.version_reader import is_null
from watcher.versioned import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from watcher.filters.path_filter import PathFilter
    from watcher.sources.s3.strategy import ListingStrategy
    from watcher.sources.s3.version_absence import VersionAbsence
    from watcher.sources.s3.version_api import VersionApi
    from watcher.sources.s3.version_batches import VersionBatch
    from watcher.sources.s3.version_pages import VersionPage
    from watcher.sources.scans import Batch

REMEMBERED_PAGES_MAX = 100_000
"""Maximum number of pages of a listing: a hundred million versions."""


class VersionScan:
    """One full listing of versions, as a ``Scan``: iterate it once, to the end.

    Args:
        api: Sends the requests.
        path_filter: Which keys count.
        strategy: Notes what the listing took.
        absence: Notified when the listing is complete.
        note_ids: Called once it is, with whether a version has another id than ``null``; not after
            a listing of nothing.

    Attributes:
        window: The keys that are read, where the prefix has dates; None where it has none.
        prefix: Empty: the whole place is read.
        is_complete: The listing was read to its end.
        is_running: It is being read.
    """

    def __init__(
        self,
        api: VersionApi,
        path_filter: PathFilter,
        strategy: ListingStrategy,
        absence: VersionAbsence,
        note_ids: Callable[[bool], None],
    ) -> None:
        self.prefix = b""
        self._window = api.keys.now()
        self.window = self._window if api.keys.is_moving else None
        self.is_complete = self.is_running = False
        self._api = api
        self._filter = path_filter
        self._strategy = strategy
        self._absence = absence
        self._note_ids = note_ids
        self._has_ids = False
        self._versions = 0
        self._set_aside = SetAside()
        self._requests_before = api.requests

    @property
    def unread(self) -> list[bytes]:
        """Versions that are set aside: their keys, or what the listing has in place of them."""
        return self._set_aside.texts

    def unread_test(self) -> Callable[[bytes], bool]:
        """Return a function that returns whether a row may be that of a version set aside.

        Where not even its key can be read, it may be any: rows that leave the index can wait. Or
        its prefix has become part of the place meanwhile.
        """
        may_be, window = self._set_aside.row_test(is_ordered=False), self._window
        return lambda path: may_be(key_of(path)) or not window.admits(key_of(path))

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that are set aside, or prefixes of those that are not even known."""
        return self._set_aside.unsettled()

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of whole keys, each key's versions from the oldest to the newest.

        Raises:
            NotFoundError: The bucket is gone.
            DeniedError: The store refuses, or does not list versions.
            UnavailableError: A page could not be read or believed, or the watch is to stop.
        """
        self.is_running = True
        try:
            yield from self._batches()
        finally:
            self.is_running = False
        self.is_complete = True
        requests = self._api.requests - self._requests_before
        self._strategy.last = CompletedListing(self._versions, requests)
        self._strategy.set_aside = str(self._set_aside)
        if self._versions:
            self._note_ids(self._has_ids)

    def verification_scan(self, missing: int) -> None:
        """Note that the listing is complete; the next one is what confirms missing versions.

        Args:
            missing: Number of versions of the index that this listing lacks.
        """
        self._absence.begin(missing)

    def _batches(self) -> Iterator[Batch]:
        builder = VersionBatchBuilder(self._filter)
        for prefix in self._window.prefixes:
            for page in self._pages(prefix.decode()):
                self._versions += len(page.elements)
                self._has_ids = self._has_ids or not all(map(is_null, page.elements))
                yield from self._yield(builder.add(page))
        yield from self._yield(builder.flush())

    def _pages(self, prefix: str) -> Iterator[VersionPage]:
        place, limit = self._api.spec.place, self._api.limit
        request = VersionRequest(prefix)
        seen: set[int] = set()
        while True:
            page = self._api.list_versions(request)
            limit.on_response(was_waiting=True)
            yield page
            if page.next is None:
                return
            if hash(page.next) in seen or len(seen) == REMEMBERED_PAGES_MAX:
                raise distrust("it runs in a circle, or without end", place)
            seen.add(hash(page.next))
            request = VersionRequest(prefix, page.next)

    def _yield(self, batches: Iterable[VersionBatch]) -> Iterator[Batch]:
        for batch in batches:
            yield batch
            self._set_aside.add(batch.set_aside, is_ordered=False)
