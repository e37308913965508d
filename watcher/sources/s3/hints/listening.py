"""Sends the listen request of MinIO and RustFS for one bucket, and reads the answer as it arrives.

The answer has no end: a JSON object a line, ``{"Records": [...]}``, and one without records every
``PING_S`` seconds (minio cmd/listen-notification-handlers.go, rustfs admin/router.rs). MinIO sends
its headers with the first line, so they may take as long as a ping. A store that does not know the
request mostly takes it for a listing.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from watcher.errors import WatcherError
from watcher.filters.dated_prefix import DatedPrefix
from watcher.sources.s3.client import make_listen_client
from watcher.sources.s3.diagnosis import Diagnosis
from watcher.sources.s3.errors import is_refusal, leads_nowhere
from watcher.sources.s3.sdk import READ_TIMEOUT_S

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

PING_S = READ_TIMEOUT_S // 3
"""Seconds after which a store is to send a line without records: two may be late or lost until the
connection counts as dead."""
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
"""The events that change objects and that all versions of these stores know."""

_READ_BYTES = 64 * 1024
_STREAM_TYPE = "text/event-stream"
_UNSAFE = re.compile(r"[ \\]")
"""Characters of a prefix that stores refuse (both the backslash) or compare wrongly (RustFS a
space with the ``+`` of a key that it has form-encoded)."""


_ANSWERS = (
    (b"<listbucketresult", "a listing"),
    (b"<html", "a web page"),
    (b"<!doctype html", "a web page"),
    (b"<error", "an error"),
)
_ANSWER_HEAD_BYTES = 512
"""Length in bytes of the beginning of an answer that shows what it is."""


class NoStreamError(Exception):
    """The store answers a listen request with something else, and would do so again."""


def listen_prefix(prefix: str) -> str:
    """Return the longest beginning of a prefix that a store can filter notifications by.

    It ends before the first date, and before ``.`` and ``..`` between slashes, which stores refuse,
    too. More notifications than needed do no harm.

    Raises:
        PrefixError: A date in the prefix cannot be read.
    """
    literal = DatedPrefix.parse(prefix).literal
    parts = _UNSAFE.split(literal, maxsplit=1)[0].split("/")
    for index, part in enumerate(parts):
        if part in {".", ".."}:
            return "/".join([*parts[:index], ""])
    return "/".join(parts)


def describe_answer(head: bytes) -> str:
    """Return what an answer is that is no stream, by its beginning."""
    shown = head[:_ANSWER_HEAD_BYTES].lower()
    names = (name for part, name in _ANSWERS if part in shown)
    return f"the answer is {next(names, 'something else')}"


class Listening:
    """One listen request and its answer. Only ``interrupt`` may be called from another thread.

    Args:
        spec: The bucket.
        clock: The clock of the server.
        trust: The authorities for the certificate of the store.
    """

    def __init__(self, spec: BucketSpec, *, clock: Clock, trust: Trust) -> None:
        self._spec = spec
        self._clock = clock
        self._trust = trust
        self._diagnosis = Diagnosis(spec, trust)
        self._client: S3Client | None = None
        self._body: Any = None
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._is_interrupted = False
        self.is_announced = False

    def open(self) -> None:
        """Send the request and wait for the headers; credentials and authorities are present ones.

        ``is_announced`` then says whether they announce a stream.

        Raises:
            NoStreamError: The store refuses the request for what it is.
            WatcherError: It failed otherwise; see ``api.BucketApi``.
        """
        try:
            with self._diagnosis.translated():
                self._client = client = make_listen_client(
                    self._spec, self._note_socket, clock=self._clock, trust=self._trust
                )
                # Not in the type stubs; see ``service_models``.
                response = cast("Any", client).listen_bucket_notification(
                    Bucket=self._spec.bucket,
                    Prefix=listen_prefix(self._spec.prefix),
                    Events=EVENTS,
                    Ping=PING_S,
                )
        except WatcherError as error:
            if is_refusal(error) or leads_nowhere(error):
                raise NoStreamError(error.message) from error
            raise
        self._body = response["Body"]
        headers = response["ResponseMetadata"]["HTTPHeaders"]
        self.is_announced = headers.get("content-type", "").startswith(_STREAM_TYPE)

    def read(self) -> bytes:
        """Wait for bytes and return them; none at the end of the answer.

        Raises:
            UnavailableError: The connection broke, or nothing came for ``READ_TIMEOUT_S``.
        """
        with self._diagnosis.translated():
            data: bytes = self._body.read(_READ_BYTES)
        return data

    def interrupt(self) -> None:
        """End what waits for the store, soon and for good."""
        with self._lock:
            self._is_interrupted = True
            if self._socket is not None:
                _shut_down(self._socket)

    def close(self) -> None:
        """Close the connection; may be called without ``open``."""
        if self._body is not None:
            self._body.close()
        if self._client is not None:
            self._client.close()

    def _note_socket(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self._is_interrupted:
                _shut_down(connected)


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):
        # The method of a TLS socket would take the session from the thread that reads it.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
