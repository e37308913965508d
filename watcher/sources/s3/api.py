"""Sends LIST and HEAD requests for one bucket: parameters, credentials, and the count of requests.

The only importer of ``client``. Everything above it sees pages, entries and errors of the watcher.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError

from watcher.errors import UnavailableError, WatcherError
from watcher.sources.cost import KEYS_PER_REQUEST
from watcher.sources.s3.client import make_client
from watcher.sources.s3.diagnosis import Diagnosis
from watcher.sources.s3.errors import has_expired
from watcher.sources.s3.pages import PageRequest, read_head, read_page
from watcher.sources.s3.workers import STOP_POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.sources.s3.pages import Page
    from watcher.sources.s3.throttle import ConcurrencyLimit
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

    Response = TypeVar("Response")


class BucketApi:
    """LIST and HEAD for one bucket. Requests may be sent from several threads.

    Each request first waits while the store wants none, and is sent once more with renewed
    credentials if they have expired. Every method that sends one raises ``UnavailableError`` when
    the watch is to stop, and the errors of ``errors.translate``.

    Attributes:
        spec: The bucket.
        limit: Number of requests that may run at once; lowered when the store throttles.
        should_stop: Checked before each request; True ends it with ``UnavailableError``.
        requests: LIST requests sent, retries included: what the store bills.
    """

    def __init__(
        self,
        spec: BucketSpec,
        limit: ConcurrencyLimit,
        *,
        should_stop: Callable[[], bool],
        clock: Clock,
        trust: Trust,
    ) -> None:
        """Prepare to send; nothing is connected before ``open``.

        Args:
            spec: The bucket.
            limit: Number of requests that may run at once.
            should_stop: Checked before each request; may be called from any thread.
            clock: The clock of the server.
            trust: The authorities for the certificate of the store.
        """
        self.spec = spec
        self.limit = limit
        self.should_stop = should_stop
        self.requests = 0
        self._clock = clock
        self._trust = trust
        self._diagnosis = Diagnosis(spec, trust)
        self._client: S3Client | None = None
        self._lock = threading.Lock()
        self._may_retry = True

    def open(self) -> None:
        """Make a client; sends nothing to the bucket.

        Raises:
            DeniedError: There are no credentials, or the configuration of the SDK cannot be used.
            UnavailableError: The endpoint is malformed, or credentials cannot be fetched now.
        """
        self.close()
        with self._diagnosis.translated():
            self._client = self._make_client()

    def close(self) -> None:
        """Close the connections; may be called twice and without ``open``."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def list_page(self, request: PageRequest) -> Page:
        """Return one page of a listing."""
        return self._list(request, KEYS_PER_REQUEST)

    def probe(self, *, may_retry: bool = True) -> None:
        """List one key of the prefix, to check that the bucket can be listed.

        Args:
            may_retry: The request is sent again where it fails; not from several threads.
        """
        self._may_retry = may_retry
        try:
            page = self._list(PageRequest(self.spec.prefix), 1)
        finally:
            self._may_retry = True
        page.reader.read(page.objects)

    def head(self, path: bytes) -> Entry | None:
        """Return the object at a key; None where HEAD returns 404: no object, or a delete marker.

        The response is the same for a missing bucket. Last-modified has whole seconds.
        """
        request: HeadObjectRequestTypeDef = {"Bucket": self.spec.bucket, "Key": path.decode()}
        if self.spec.request_payer:
            request["RequestPayer"] = "requester"

        def send(client: S3Client) -> HeadObjectOutputTypeDef | None:
            try:
                return client.head_object(**request)
            except ClientError as error:
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
                    return None
                raise

        response = self._send(send)
        return None if response is None else read_head(path, response, self.spec)

    def _list(self, page_request: PageRequest, max_keys: int) -> Page:
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": self.spec.bucket,
            "Prefix": page_request.prefix,
            "MaxKeys": max_keys,
            "EncodingType": "url",
        }
        if self.spec.request_payer:
            request["RequestPayer"] = "requester"
        if page_request.delimiter:
            request["Delimiter"] = page_request.delimiter
        if page_request.token is not None:
            request["ContinuationToken"] = page_request.token
        elif page_request.start_after:
            request["StartAfter"] = page_request.start_after
        response = self._send(lambda client: client.list_objects_v2(**request))
        body = response["Body"]  # type: ignore[typeddict-item]  # added by ``hooks``
        return read_page(body, self.spec, page_request.prefix)

    def _send(self, send: Callable[[S3Client], Response]) -> Response:
        if self.should_stop():
            raise UnavailableError("stopping", place=self.spec.place)
        client = self._client
        if client is None:
            raise RuntimeError("the source is not open")
        while (wait_s := self.limit.wait_s) and not self.should_stop():
            self._clock.sleep(min(wait_s, STOP_POLL_S))
        with self._diagnosis.translated():
            try:
                return send(client)
            except (ClientError, WatcherError) as error:
                if not (has_expired(error) and self._may_retry):
                    raise
                return send(self._renew(client))

    def _renew(self, expired: S3Client) -> S3Client:
        """Return a client with present credentials; the first thread that needs one makes it."""
        with self._lock:
            if self._client is None:
                raise RuntimeError("the source was closed meanwhile")
            if self._client is expired:
                expired.close()
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> S3Client:
        client = make_client(
            self.spec,
            connections=self.limit.maximum,
            slow_down=self.limit.slow_down,
            clock=self._clock,
            trust=self._trust,
        )
        client.meta.events.register("before-send.s3.ListObjectsV2", self._count_request)
        # The stubs do not know what handlers may return; handlers of one operation run first.
        events = cast("Any", client.meta.events)
        events.register("needs-retry.s3.ListObjectsV2", self._stop_retries)
        return client

    def _count_request(self, **_: object) -> None:
        with self._lock:
            self.requests += 1

    def _stop_retries(self, **_: object) -> bool | None:
        return None if self._may_retry else False
