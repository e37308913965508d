"""Reads a bucket: full listings, and looks at single keys. Imports no watchdog and no sqlite3; botocore only here and in ``s3_*.py``.

How a listing is read is decided in ``s3_scan.py``, what an answer says and whether to believe it in ``s3_listing.py``, what a failure
means in ``s3_errors.py``.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from watcher.errors import DeniedError, UnavailableError, WatcherError
from watcher.sources.cost import cost_of, is_within_budget, poll_interval_s
from watcher.sources.protocol import BATCH_ENTRIES, Inspection
from watcher.sources.s3.client import make_client
from watcher.sources.s3.errors import has_expired, translated
from watcher.sources.s3.key_ranges import PageRequest
from watcher.sources.s3.pages import read_head, read_page
from watcher.sources.s3.scan import CONFIRMED_KEYS, BucketScan, Lister
from watcher.sources.s3.strategy import ListingStrategy
from watcher.sources.s3.throttle import ConcurrencyLimit
from watcher.sources.s3.workers import STOP_POLL_S, Workers
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.cost import Cost
    from watcher.sources.protocol import Observation
    from watcher.sources.s3.pages import Page
    from watcher.spec import BucketSpec

    Answer = TypeVar("Answer")


SAMPLED_KEYS = 10
"""Of more than ``CONFIRMED_KEYS``, about so many."""


class BucketSource:
    """A bucket, or the keys in it that begin with a prefix; see ``Source`` for the protocol.

    A bucket gives no hints: everything is found by scans. Last-modified is not relied on, nor are the order of a listing and StartAfter
    until the store has shown that they are right.

    Attributes:
        mode: Always ``poll``.
        identity: Always empty: a bucket's name is its identity.
        requests: LIST requests sent, repeated ones too: what the store bills.
        cost: What the scans cost, by the last one.
    """

    volume_id = ""

    def __init__(
        self, spec: BucketSpec, path_filter: PathFilter, *, should_stop: Callable[[], bool]
    ) -> None:
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
        self._should_stop = should_stop
        self._client: S3Client | None = None
        self._lock = threading.Lock()
        plan = ListingStrategy(spec.list_workers, time.monotonic)
        self._throttle = ConcurrencyLimit(plan.workers, time.monotonic)
        self._lister = Lister(spec, path_filter, self._fetch, should_stop, plan, self._throttle)

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
        with translated(self._spec.place):
            self._client = self._make_client()
        self._list_one(self._spec.prefix)

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
        requests_before = self.requests
        return BucketScan(
            self._lister, lambda keys: self._completed(keys, self.requests - requests_before)
        )

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """Do nothing: the next scan looks at everything."""

    def observe(self) -> Sequence[Observation]:
        """Return nothing: there are no hints."""
        return ()

    def due_in_s(self) -> float | None:
        """Return None: there will be no hints."""
        return None

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """Look at single keys by HEAD, to confirm that they are gone.

        What is there comes with the last-modified of HEAD: whole seconds, where the listing of some stores has fractions.

        Raises:
            UnavailableError: A key cannot be looked at now, for whatever reason.
        """
        looks = Inspection()
        with self._unavailable_instead():
            for path in paths:
                entry = self._look_at(path)
                if entry is None:
                    looks.gone.append(path)
                else:
                    looks.entries.append(entry)
            if looks.gone:
                self._list_one(self._spec.prefix)
        return looks

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """Ask for keys that a complete listing did not have: for each of ``CONFIRMED_KEYS``, for some of more.

        Stores and proxies are known that answer a listing with less than there is, and say that it is all.

        Raises:
            UnavailableError: The listing had less than there is, or had nothing and the store does not let us ask.
        """
        is_few = len(paths) <= CONFIRMED_KEYS
        asked = paths if is_few else paths[:: len(paths) // SAMPLED_KEYS]
        with self._unavailable_instead():
            present = self._find_present(asked)
            if gone := set(asked) - present:
                # A bucket that was missing for a moment has the key that HEAD did not find.
                present |= gone & self._list_one(min(gone).decode())
        if present and (not is_few or self._is_empty):
            raise UnavailableError(
                f"the listing cannot be trusted: it lacks keys that are there, such as {min(present)!r}",
                place=self._spec.place,
                hint="check the store and the proxies on the way to it",
            )
        return [path for path in paths if path not in present]

    def _find_present(self, paths: Sequence[bytes]) -> set[bytes]:
        """Return the keys at which there is something, asked for side by side."""
        present, waiting = set(), list(paths)
        with closing(Workers(self._is_there, self._should_stop)) as workers:
            while waiting or workers.busy:
                while waiting and workers.busy < self._throttle.limit:
                    workers.put(waiting.pop())
                self._throttle.on_response(was_waiting=not workers.has_answer)
                path, is_there = workers.take()
                if is_there.result():
                    present.add(path)
        return present

    def _is_there(self, path: bytes) -> bool:
        """Tell whether there is an object at a key; called from any thread."""
        try:
            is_found = self._look_at(path) is not None
        except DeniedError as error:
            # Who may list may not always read. Then listings are believed, unless by a policy that hides everything.
            if self._is_empty:
                raise UnavailableError(
                    f"the listing is empty, and the keys that are missing may not be asked for: {error.message}",
                    place=self._spec.place,
                    hint="allow s3:GetObject",
                ) from error
            return path in self._list_at(path)
        if not is_found or not path.endswith(b"/"):
            return is_found
        # Stores that keep a tree (SeaweedFS) answer to HEAD for a folder whose own key was deleted, or never was. Where that is so, a
        # listing has what is in the folder and not the key; one that has nothing proves nothing.
        listed = self._list_at(path)
        return not listed or path in listed

    def _list_at(self, path: bytes) -> set[bytes]:
        """Return a key, if there is such, and some of those that begin with it."""
        return self._list_keys(path.decode(), max_keys=BATCH_ENTRIES)

    def _list_keys(self, prefix: str, *, max_keys: int) -> set[bytes]:
        page = self._list(PageRequest(prefix, "", None), max_keys=max_keys)
        return {entry.path for entry in page.reader.read(page.objects)}

    @contextmanager
    def _unavailable_instead(self) -> Iterator[None]:
        """Say of whatever cannot be asked that it is unavailable: a listing was answered a moment ago."""
        try:
            yield
        except WatcherError as error:
            raise UnavailableError(error.message, place=error.place, hint=error.hint) from error

    def _list_one(self, prefix: str) -> set[bytes]:
        """Ask for one key that begins with a prefix, to see whether the bucket is there, and return it if there is one.

        HEAD has the same answer, 404 without a body, for a key that is missing and for a bucket.
        """
        return self._list_keys(prefix, max_keys=1)

    def _fetch(self, question: PageRequest, delimiter: str) -> Page:
        """Return a page for a scan; called from any thread."""
        return self._list(question, max_keys=BATCH_ENTRIES, delimiter=delimiter)

    def _list(self, question: PageRequest, *, max_keys: int, delimiter: str = "") -> Page:
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": self._spec.bucket,
            "Prefix": question.prefix,
            "MaxKeys": max_keys,
            "EncodingType": "url",
        }
        if self._spec.request_payer:
            request["RequestPayer"] = "requester"
        if delimiter:
            request["Delimiter"] = delimiter
        if question.token is not None:
            request["ContinuationToken"] = question.token
        elif question.start_after:
            request["StartAfter"] = question.start_after
        answer = self._ask(lambda client: client.list_objects_v2(**request))
        return read_page(answer["Body"], self._spec, question.prefix)  # type: ignore[typeddict-item]  # put there by s3_answers

    def _completed(self, keys: int, requests: int) -> None:
        self.cost = cost_of(self._spec, requests)
        self._is_empty = not keys

    def _look_at(self, path: bytes) -> Entry | None:
        """Return what is at a key, None for nothing or a delete marker."""
        request: HeadObjectRequestTypeDef = {"Bucket": self._spec.bucket, "Key": path.decode()}
        if self._spec.request_payer:
            request["RequestPayer"] = "requester"

        def head(client: S3Client) -> HeadObjectOutputTypeDef | None:
            try:
                return client.head_object(**request)
            except ClientError as error:
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
                    return None
                raise

        answer = self._ask(head)
        return None if answer is None else read_head(path, answer, self._spec)

    def _ask(self, send: Callable[[S3Client], Answer]) -> Answer:
        """Send one request, a second time with new credentials if those we have are no longer good; unless the watch is to stop."""
        if self._should_stop():
            raise UnavailableError("stopping", place=self._spec.place)
        client = self._client
        if client is None:
            raise RuntimeError("the source is not open")
        while (wait_s := self._throttle.wait_s) and not self._should_stop():
            time.sleep(min(wait_s, STOP_POLL_S))
        with translated(self._spec.place):
            try:
                return send(client)
            except ClientError as error:
                if not has_expired(error):
                    raise
                return send(self._renew(client))

    def _renew(self, former: S3Client) -> S3Client:
        """Return a client with the credentials that there are now, unless another thread has made one meanwhile."""
        with self._lock:
            if self._client is None:
                raise RuntimeError("the source was closed meanwhile")
            if self._client is former:
                former.close()
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> S3Client:
        client = make_client(
            self._spec, connections=self._lister.plan.workers, slow_down=self._throttle.slow_down
        )
        client.meta.events.register("before-send.s3.ListObjectsV2", self._count_request)
        return client

    def _count_request(self, **_: object) -> None:
        with self._lock:
            self.requests += 1
