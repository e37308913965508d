"""Sends LIST and HEAD requests for one bucket: parameters, credentials, and the count of requests.

The only importer of ``client``. Everything above it sees pages, entries and errors of the watcher.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog
from botocore.exceptions import ClientError

from watcher.errors import UnavailableError, WatcherError
from watcher.filters.key_window import KeyWindow
from watcher.limits.turns import release
from watcher.sources.cost import KEYS_PER_REQUEST
from watcher.sources.s3.client import make_client
from watcher.sources.s3.diagnosis import Diagnosis
from watcher.sources.s3.errors import is_unknown_operation
from watcher.sources.s3.hooks import LIST_OPERATIONS
from watcher.sources.s3.key_encoding import KeyEncoding
from watcher.sources.s3.list_version import VERSION_1, VERSION_2, ListVersion
from watcher.sources.s3.objects import decode_url
from watcher.sources.s3.pages import PageRequest, read_head, read_page
from watcher.sources.s3.renewed_client import RenewedClient
from watcher.sources.s3.workers import STOP_POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectTaggingRequestTypeDef,
        HeadObjectOutputTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
    )

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.sources.s3.pages import Page
    from watcher.sources.s3.throttle import ConcurrencyLimit
    from watcher.sources.s3.trust import Trust
    from watcher.sources.s3.version_pages import VersionPage
    from watcher.spec import BucketSpec

    Response = TypeVar("Response")
    PageOfKeys = TypeVar("PageOfKeys", Page, VersionPage)

_STANDARD = "STANDARD"
"""The storage class of most objects, in stores that have storage classes."""
_NO_TAGS = {"NoSuchTagSet", "NoSuchTagSetError"}
"""What stores answer where Amazon S3 returns no tags."""
_NO_OBJECT = {"NoSuchKey", "NoSuchVersion"}
ENCODING_TRIALS = 3
"""Maximum number of pages for which HEAD is asked how keys are encoded, in the life of a watch."""


class BucketApi:
    """LIST and HEAD for one bucket. Requests may be sent from several threads.

    Each request first waits while the store wants none, and is sent once more with renewed
    credentials if they have expired. Every method that sends one raises ``UnavailableError`` when
    the watch is to stop, and the errors of ``errors.translate``.

    Attributes:
        spec: The bucket.
        keys: Which keys belong to the place now.
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
        self.keys = KeyWindow(spec.prefix, spec.lookback_s, clock)
        self.limit = limit
        self.should_stop = should_stop
        self.requests = 0
        self._version = ListVersion(spec.list_version)
        self._names_classes = False
        self._encoding: KeyEncoding | None = None
        self._encoding_trials = 0
        self._encoding_lock = threading.Lock()
        self._clock = clock
        self._trust = trust
        self._diagnosis = Diagnosis(spec, trust)
        self._client = RenewedClient(self._make_open_client)
        self._is_open = False
        self._lock = threading.Lock()
        self._may_retry = True

    def open(self) -> None:
        """Make a client; sends nothing to the bucket.

        Raises:
            DeniedError: There are no credentials, or the configuration of the SDK cannot be used.
            UnavailableError: The endpoint is malformed, or credentials cannot be fetched now.
        """
        self.close()
        self._version.reopen()
        self._is_open = True
        with self._diagnosis.translated():
            self._client.open()

    def close(self) -> None:
        """Close the connections; may be called twice and without ``open``."""
        self._is_open = False
        self._client.close()

    def list_page(self, request: PageRequest) -> Page:
        """Return one page of a listing."""
        return self._list(request, KEYS_PER_REQUEST)

    def probe(self, *, may_retry: bool = True) -> None:
        """List one key of the present prefix, to check that the bucket can be listed.

        Args:
            may_retry: The request is sent again where it fails; not from several threads.
        """
        with self.retrying(may_retry=may_retry):
            page = self._list(PageRequest(self.keys.present_prefix), 1)
        page.reader.read(page.objects)

    @contextmanager
    def retrying(self, *, may_retry: bool) -> Iterator[None]:
        """Send the requests of a block again where they fail, or not; not from several threads."""
        self._may_retry = may_retry
        try:
            yield
        finally:
            self._may_retry = True

    def head(self, path: bytes) -> Entry | None:
        """Return the object at a key; None where HEAD returns 404: no object, or a delete marker.

        The response is the same for a missing bucket. Last-modified has whole seconds.

        Raises:
            OddObjectError: There is an object, and a header of it cannot be read.
        """
        response = self._head(path)
        if response is None:
            return None
        # HEAD names every storage class but this one (S3 API reference, HeadObject).
        unnamed_class = _STANDARD if self._names_classes else ""
        return read_head(path, response, self.spec, unnamed_class)

    def has_object(self, path: bytes) -> bool:
        """Return whether HEAD finds an object at a key, readable or not; see ``head``."""
        return self._head(path) is not None

    def get_head(self, path: bytes, version_id: str | None) -> Mapping[str, Any] | None:
        """Return the response to HEAD for an object, or for a version of it; None for 404."""
        return self._head(path, version_id)

    def get_tags(self, path: bytes, version_id: str | None) -> Mapping[str, Any] | None:
        """Return the response to GetObjectTagging; None where there is no object at the key."""
        request = cast("GetObjectTaggingRequestTypeDef", self._object(path, version_id))

        def send(client: S3Client) -> Mapping[str, Any] | None:
            try:
                return cast("Mapping[str, Any]", client.get_object_tagging(**request))
            except ClientError as error:
                code = error.response["Error"].get("Code")
                if code in _NO_TAGS:
                    return {"TagSet": ()}
                if code in _NO_OBJECT:
                    return None
                raise

        return self.send(send)

    def _object(self, path: bytes, version_id: str | None = None) -> dict[str, str]:
        """Return the parameters that name an object, or a version of it."""
        parameters = {"Bucket": self.spec.bucket, "Key": path.decode()}
        if version_id is not None:
            parameters["VersionId"] = version_id
        if self.spec.request_payer:
            parameters["RequestPayer"] = "requester"
        return parameters

    def _head(self, path: bytes, version_id: str | None = None) -> HeadObjectOutputTypeDef | None:
        request = cast("HeadObjectRequestTypeDef", self._object(path, version_id))

        def send(client: S3Client) -> HeadObjectOutputTypeDef | None:
            try:
                return client.head_object(**request)
            except ClientError as error:
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
                    return None
                raise

        return self.send(send)

    def _list(self, request: PageRequest, max_keys: int) -> Page:
        if self._version.version == VERSION_2:
            body = self._list_version_2(request, max_keys)
            page = None if body is None else self._read(body, request, max_keys)
            if page is not None and (self._version.is_settled or not page.is_version_1):
                self._version.settle(VERSION_2)
                return page
            if page is not None and not request.after:
                self._note_version_1("ListObjectsV2 is answered as ListObjects")
                return page
        page = self._read(self._list_version_1(request, max_keys), request, max_keys)
        self._note_version_1("ListObjectsV2 is refused")
        return page

    def _list_version_2(self, request: PageRequest, max_keys: int) -> bytes | None:
        """Return the response to ListObjectsV2; None where the store may not know it."""
        parameters = cast("ListObjectsV2RequestTypeDef", self._parameters(request, max_keys))
        if request.after:
            parameters["StartAfter"] = request.after
        elif request.token is not None:
            parameters["ContinuationToken"] = request.token

        def send(client: S3Client) -> ListObjectsV2OutputTypeDef | None:
            try:
                return client.list_objects_v2(**parameters)
            except ClientError as error:
                if self._version.is_settled or not is_unknown_operation(error):
                    raise
                return None

        response = self.send(send)
        return None if response is None else cast("Any", response)["Body"]

    def _list_version_1(self, request: PageRequest, max_keys: int) -> bytes:
        """Return the response to ListObjects."""
        parameters = cast("ListObjectsRequestTypeDef", self._parameters(request, max_keys))
        if marker := request.after or request.token:
            parameters["Marker"] = marker
        response = self.send(lambda client: client.list_objects(**parameters))
        body: bytes = cast("Any", response)["Body"]  # added by ``hooks``
        return body

    def _parameters(self, request: PageRequest, max_keys: int) -> dict[str, object]:
        """Return the parameters that both versions have."""
        parameters: dict[str, object] = {
            "Bucket": self.spec.bucket,
            "Prefix": request.prefix,
            "MaxKeys": max_keys,
            "EncodingType": "url",
        }
        if self.spec.request_payer:
            parameters["RequestPayer"] = "requester"
        if request.delimiter:
            parameters["Delimiter"] = request.delimiter
        return parameters

    def _note_version_1(self, reason: str) -> None:
        if self._version.settle(VERSION_1):
            structlog.get_logger("watcher").info(
                "scan.list_version_1", place=self.spec.place, reason=reason
            )

    def read_keys(self, read: Callable[[KeyEncoding | None], PageOfKeys]) -> PageOfKeys:
        """Return the page in a response; the first one that leaves it open shows the encoding.

        Args:
            read: Reads the response with an encoding; None where only the page can show it.
        """
        page = read(self._encoding)
        if not page.doubtful:
            return page
        with self._encoding_lock:
            if self._encoding is None and self._encoding_trials < ENCODING_TRIALS:
                self._encoding_trials += 1
                self._encoding = self._find_encoding(page.doubtful)
        return page if self._encoding is None else read(self._encoding)

    def _read(self, body: bytes, request: PageRequest, max_keys: int) -> Page:
        self._names_classes = self._names_classes or b"<StorageClass>" in body
        return self.read_keys(
            lambda encoding: read_page(
                body, self.spec, request, max_keys=max_keys, encoding=encoding
            )
        )

    def _find_encoding(self, texts: Sequence[str]) -> KeyEncoding | None:
        """Ask for keys in both readings, until one has an object and the other none.

        Args:
            texts: Keys as a listing writes them, each with two readings.

        Returns:
            The encoding of the listing; None where HEAD cannot show it.
        """
        for text in texts:
            try:
                is_plain = self.has_object(text.encode())
                is_url = self.has_object(decode_url(text))
            except (WatcherError, UnicodeDecodeError):
                if self.should_stop():
                    raise
                continue
            if is_plain is not is_url:
                return KeyEncoding.PLAIN if is_plain else KeyEncoding.URL
        return None

    def send(self, send: Callable[[S3Client], Response]) -> Response:
        """Send a request of any kind, once more where credentials have expired.

        Args:
            send: Sends it with a client; called from the same thread.
        """
        if self.should_stop():
            raise UnavailableError("stopping", place=self.spec.place)
        if not self._is_open:
            raise RuntimeError("the source is not open")
        release()
        while (wait_s := self.limit.wait_s) and not self.should_stop():
            self._clock.sleep(min(wait_s, STOP_POLL_S))
        with self._diagnosis.translated():
            return self._client.send(send, may_renew=self._may_retry)

    def _make_open_client(self) -> S3Client:
        """Make a client for a thread that sends, unless the source was closed meanwhile."""
        if not self._is_open:
            raise RuntimeError("the source was closed meanwhile")
        return self._make_client()

    def _make_client(self) -> S3Client:
        client = make_client(
            self.spec,
            connections=self.limit.maximum,
            slow_down=self.limit.slow_down,
            clock=self._clock,
            trust=self._trust,
        )
        # The stubs do not know what handlers may return; handlers of one operation run first.
        events = cast("Any", client.meta.events)
        for operation in LIST_OPERATIONS:
            events.register(f"before-send.s3.{operation}", self._count_request)
            events.register(f"needs-retry.s3.{operation}", self._stop_retries)
        return client

    def _count_request(self, **_: object) -> None:
        with self._lock:
            self.requests += 1

    def _stop_retries(self, **_: object) -> bool | None:
        return None if self._may_retry else False
