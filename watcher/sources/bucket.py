"""Reads a bucket: full listings, and looks at single keys. Imports no watchdog and no sqlite3; botocore only here and in ``s3_*.py``.

What an answer says and whether to believe it is decided in ``s3_listing.py``, what a failure means in ``s3_errors.py``.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from watcher.cost import cost_of, is_within_budget, poll_interval_s
from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.sources.base import BATCH_ENTRIES, Looks
from watcher.sources.s3_client import make_client
from watcher.sources.s3_errors import translated
from watcher.sources.s3_listing import read_head, read_page
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectRequestTypeDef, ListObjectsV2RequestTypeDef

    from watcher.cost import Cost
    from watcher.model import Entry
    from watcher.patterns import PathFilter
    from watcher.sources.base import Batch, Observation
    from watcher.sources.s3_listing import Page
    from watcher.spec import BucketSpec


CONFIRMED_KEYS = 10
"""So many keys that a listing lacks are asked for, one by one."""


class BucketSource:
    """A bucket, or the keys in it that begin with a prefix; see ``Source`` for the protocol.

    A bucket gives no hints: everything is found by scans. The order of a listing, StartAfter and last-modified are not relied on.

    Attributes:
        mode: Always ``poll``.
        identity: Always empty: a bucket's name is its identity.
        requests: LIST requests sent since ``open``, repeated ones too: what the store bills.
        cost: What the scans cost, by the last one.
    """

    identity = ""

    def __init__(self, spec: BucketSpec, path_filter: PathFilter, *, should_stop: Callable[[], bool]) -> None:
        """Prepare to read; nothing is connected before ``open``.

        Args:
            spec: What to read.
            path_filter: Which keys count.
            should_stop: Asked before each request; once it says yes, reading ends with ``UnavailableError``.
        """
        self.mode = Mode.POLL.value
        self.requests = 0
        self.cost: Cost | None = None
        self._is_empty = False
        self._spec = spec
        self._filter = path_filter
        self._should_stop = should_stop
        self._client: S3Client | None = None

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans, without jitter."""
        return poll_interval_s(self._spec, 0) if self.cost is None else self.cost.poll_interval_s

    @property
    def degraded(self) -> str:
        """That the bucket cannot be polled for the requests which the spec allows; else empty."""
        budget = self._spec.request_budget
        if self.cost is None or is_within_budget(self._spec, self.cost.requests_per_poll):
            return ""
        asked = f"{self.cost.requests_per_month:,} LIST requests in 30 days, above the request_budget of {budget:,}"
        return f"listing the bucket every {self.cost.poll_interval_s:g} s takes {asked}: raise it, or watch a narrower prefix"

    def open(self, wake: Callable[[], None]) -> None:  # noqa: ARG002 - there are no hints to wake anyone for
        """Make a client and ask for one key.

        Raises:
            NotFoundError: There is no such bucket.
            DeniedError: There are no credentials, or they are wrong, or they do not suffice.
            UnavailableError: The store cannot be reached now, or the bucket is in another region.
        """
        self.close()
        self.requests = 0
        with translated(self._spec.place):
            self._client = make_client(self._spec)
        self._client.meta.events.register("before-send.s3.ListObjectsV2", self._count_request)
        self._list_page(None, max_keys=1)

    def close(self) -> None:
        """Close the connections; may be called twice and without ``open``."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def scan(self, prefix: bytes = b"", *, settled_only: bool = True) -> BucketScan:  # noqa: ARG002 - objects appear complete
        """Return one full listing, to be iterated.

        Args:
            prefix: Empty: a bucket is read as a whole.
            settled_only: Of no effect.

        Raises:
            ValueError: ``prefix`` is not empty.
        """
        if prefix:
            raise ValueError(f"a bucket is scanned as a whole, not under {prefix!r}")
        return BucketScan(self._list_page, self._filter, self._spec.place, partial(self._completed, self.requests))

    def hint(self, doubts: Mapping[bytes, int | None]) -> None:
        """Do nothing: the next scan looks at everything."""

    def observe(self) -> Sequence[Observation]:
        """Return nothing: there are no hints."""
        return ()

    def due_in_s(self) -> float | None:
        """Return None: there will be no hints."""
        return None

    def look(self, paths: Sequence[bytes]) -> Looks:
        """Look at single keys by HEAD, to confirm that they are gone.

        What is there comes with the last-modified of HEAD: whole seconds, where the listing of some stores has fractions.

        Raises:
            UnavailableError: A key cannot be looked at now, for whatever reason.
        """
        looks = Looks()
        try:
            for path in paths:
                entry = self._look_at(path)
                if entry is None:
                    looks.gone.append(path)
                else:
                    looks.entries.append(entry)
            if looks.gone:
                # HEAD has the same answer, 404 without a body, for a key and for a bucket that is missing.
                self._list_page(None, max_keys=1)
        except WatcherError as error:
            raise UnavailableError(error.message, place=error.place, hint=error.hint) from error
        return looks

    def confirm_gone(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """Ask for keys that a complete listing did not have: for each of a few, for some of many.

        Stores and proxies are known that answer a listing with less than there is, and say that it is all.

        Raises:
            UnavailableError: The listing had less than there is, or had nothing and the store does not let us ask.
        """
        is_few = len(paths) <= CONFIRMED_KEYS
        try:
            present = {path for path in (paths if is_few else paths[:CONFIRMED_KEYS]) if self._look_at(path) is not None}
        except DeniedError as error:
            # Who may list may not always read. Then a listing is believed, unless it is that of a policy which hides everything.
            if not self._is_empty:
                return paths
            raise UnavailableError(
                f"the listing is empty, and the keys that are missing may not be asked for: {error.message}",
                place=self._spec.place,
                hint="allow s3:GetObject",
            ) from error
        if present and (not is_few or self._is_empty):
            raise UnavailableError(
                f"the listing cannot be trusted: it lacks keys that are there, such as {min(present)!r}",
                place=self._spec.place,
                hint="check the store and the proxies on the way to it",
            )
        return [path for path in paths if path not in present]

    def _list_page(self, token: str | None, *, max_keys: int = BATCH_ENTRIES) -> Page:
        """Return the first page of the listing, or the one that ``token`` stands for."""
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": self._spec.bucket,
            "Prefix": self._spec.prefix,
            "MaxKeys": max_keys,
            "EncodingType": "url",
        }
        if self._spec.request_payer:
            request["RequestPayer"] = "requester"
        if token is not None:
            request["ContinuationToken"] = token
        client = self._ready_client()
        with translated(self._spec.place):
            answer = client.list_objects_v2(**request)
        return read_page(answer["Body"], self._spec)  # type: ignore[typeddict-item]  # put there by s3_client

    def _completed(self, requests_before: int, *, is_empty: bool) -> None:
        self.cost = cost_of(self._spec, self.requests - requests_before)
        self._is_empty = is_empty

    def _look_at(self, path: bytes) -> Entry | None:
        """Return what is at a key, None for nothing or a delete marker."""
        client = self._ready_client()
        with translated(self._spec.place):
            request: HeadObjectRequestTypeDef = {"Bucket": self._spec.bucket, "Key": path.decode()}
            if self._spec.request_payer:
                request["RequestPayer"] = "requester"
            try:
                answer = client.head_object(**request)
            except ClientError as error:
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return read_head(path, answer, self._spec)

    def _ready_client(self) -> S3Client:
        """Return the client for one more request, unless the watch is to stop."""
        if self._should_stop():
            raise UnavailableError("stopping", place=self._spec.place)
        if self._client is None:
            raise RuntimeError("the source is not open")
        return self._client

    def _count_request(self, **_: object) -> None:
        self.requests += 1


class BucketScan:
    """One full listing; iterate it once, to the end. See ``Scan`` for the protocol.

    Attributes:
        prefix: Empty: the whole place is read.
        unread: Empty: a listing that is not complete raises.
    """

    def __init__(
        self, list_page: Callable[[str | None], Page], path_filter: PathFilter, place: str, completed: Callable[..., None]
    ) -> None:
        """Prepare to list.

        Args:
            list_page: Returns the first page for None, else the page of a token.
            path_filter: Which keys count.
            place: For messages.
            completed: Called after the last page, with ``is_empty``.
        """
        self.prefix = b""
        self.unread: list[bytes] = []
        self._list_page = list_page
        self._filter = path_filter
        self._place = place
        self._completed = completed

    def __iter__(self) -> Iterator[Batch]:
        """Yield a batch for each page; an object that changes meanwhile may come twice.

        Raises:
            NotFoundError: The bucket is gone.
            DeniedError: The store refuses.
            UnavailableError: A page could not be read or believed, or the watch is to stop.
        """
        tokens: set[str] = set()
        page = self._list_page(None)
        while page.next_token is not None:
            if page.next_token in tokens:
                raise UnavailableError("the listing cannot be trusted: it runs in a circle", place=self._place)
            tokens.add(page.next_token)
            yield PageBatch(page, self._filter)
            page = self._list_page(page.next_token)
        yield PageBatch(page, self._filter)
        self._completed(is_empty=not tokens and not page.digest)


class PageBatch:
    """The objects of one page that count, read when they are asked for; see ``Batch``."""

    unsettled: Sequence[bytes] = ()

    def __init__(self, page: Page, path_filter: PathFilter) -> None:
        self.digest = page.digest
        self._page = page
        self._filter = path_filter

    @property
    def entries(self) -> list[Entry]:
        """What the page holds and the filter admits, in the store's order.

        Raises:
            UnavailableError: The page cannot be believed.
        """
        admits = self._filter.admits
        return [entry for entry in self._page.entries if admits(entry.path)]
