"""A store that does what it is told: an S3 server on loopback whose keys, order, faults and latency a test or a benchmark chooses.

In a test, ``run_store`` serves a table of objects that can change at any time, also between two pages. For benchmarks it runs as a
process of its own with computed keys, prints its endpoint URL and serves until standard input ends; ``GET /?counts`` tells there what
``Store.requests`` tells in a test, and ``GET /?arrive`` adds a key ahead of all the others:
``python -m support.s3.simulated --keys 1000000 --order aws --latency-ms 50``.

Buckets are addressed by path, signatures are not checked. Scripted answers, byte by byte, are the business of ``stub.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.sax.saxutils import escape

from support.s3.endpoint import Answer, HttpServer
from support.s3.faults import REFUSALS, Fault
from support.s3.keys import ObjectTable, Order
from support.s3.pages import XML_HEAD, Question, RefusedError, StartAfter, list_page, render
from support.s3.synthetic import SyntheticKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.s3.faults import Hook
    from support.s3.keys import Keyspace

BUCKET = "store"
REGION = "us-east-1"
TRICKLE_BYTES_PER_S = 1000
LOGGED_REQUESTS = 10_000


class Kind(StrEnum):
    """What is counted."""

    LIST = "list"
    HEAD = "head"
    """Of an object."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came in.

    Attributes:
        kind: What it was.
        target: Its path and query, as sent.
        headers: With names in lower case.
    """

    kind: Kind
    target: str
    headers: Mapping[str, str]


class Store:
    """A bucket and how it is served; see ``run_store``. Everything public may be called and set at any time, from any thread.

    Attributes:
        endpoint_url: Where it listens.
        bucket: The only one that there is.
        requests: How many came in, by kind; each attempt of a client counts.
        log: The last of them, in order.
        before_page: Called with the number of a LIST request, from 1, before it is answered; returns what is to go wrong, or None. It may
            change the bucket.
        before_head: The same for HEAD requests for objects.
        latency_s: Passes before each answer to LIST.
        trickle_bytes_per_s: The rate of ``Fault.TRICKLE``.
        requester_pays: Refuse who does not say that he does.
    """

    def __init__(self, keyspace: Keyspace, start_after: StartAfter, bucket: str) -> None:
        self.endpoint_url = ""
        self.bucket = bucket
        self.requests: Counter[Kind] = Counter()
        self.log: deque[Request] = deque(maxlen=LOGGED_REQUESTS)
        self.before_page: Hook | None = None
        self.before_head: Hook | None = None
        self.latency_s = 0.0
        self.trickle_bytes_per_s = TRICKLE_BYTES_PER_S
        self.requester_pays = False
        self._keyspace = keyspace
        self._start_after = start_after
        self._lock = threading.Lock()

    def put(
        self,
        key: str,
        *,
        size: int = 1,
        etag: str | None = None,
        mtime_ns: int | None = None,
        storage_class: str = "STANDARD",
    ) -> None:
        """Put an object; no two puts have the same etag or last-modified unless they are given.

        Args:
            key: Where.
            size: Bytes.
            etag: Without quotes.
            mtime_ns: Last-modified, nanoseconds since the epoch.
            storage_class: As AWS names it.
        """
        with self._lock:
            self._table.put(key, size, etag, mtime_ns, storage_class)

    def put_many(self, *keys: str) -> None:
        """Put an object of one byte at each key."""
        for key in keys:
            self.put(key)

    def delete(self, *keys: str) -> None:
        """Delete objects, those that are there."""
        with self._lock:
            for key in keys:
                self._table.delete(key)

    @property
    def keys(self) -> set[str]:
        """The keys that are there now."""
        with self._lock:
            return set(self._table.keys())

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request.

        Args:
            method: GET or HEAD; nothing else is offered.
            target: Path and query.
            headers: With names in lower case.
        """
        path, _, query = target.partition("?")
        bucket, _, key = unquote(path)[1:].partition("/")
        if not bucket and query in {"counts", "arrive"}:
            return self._obey(query)
        is_list = method == "GET" and not key and "list-type=2" in query.split("&")
        kind = Kind.LIST if is_list else Kind.HEAD if method == "HEAD" and key else Kind.OTHER
        with self._lock:
            self.requests[kind] += 1
            number = self.requests[kind]
            self.log.append(Request(kind, target, headers))
        hook = {Kind.LIST: self.before_page, Kind.HEAD: self.before_head}.get(kind)
        fault = hook(number) if hook else None
        if fault is None and bucket != self.bucket:
            fault = Fault.NO_BUCKET
        if (
            fault is None
            and self.requester_pays
            and headers.get("x-amz-request-payer") != "requester"
        ):
            fault = Fault.DENIED
        if refusal := REFUSALS.get(fault) if fault else None:
            return _say_error(*refusal)
        if kind is Kind.LIST:
            return self._list(query, fault)
        if kind is Kind.HEAD:
            return self._head(key, fault)
        if method == "HEAD":
            return Answer(headers={"x-amz-bucket-region": REGION})
        return _say_error(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", "this store is for listing")

    def _obey(self, order: str) -> Answer:
        with self._lock:
            if order == "arrive" and isinstance(self._keyspace, SyntheticKeys):
                self._keyspace.arrive()
            return Answer(body=json.dumps(self.requests).encode())

    @property
    def _table(self) -> ObjectTable:
        if not isinstance(self._keyspace, ObjectTable):
            raise TypeError("computed keys do not change")
        return self._keyspace

    def _list(self, query: str, fault: Fault | None) -> Answer:
        try:
            question = Question.parse(query)
            with self._lock:
                page = list_page(self._keyspace, question, self._start_after)
        except RefusedError as error:
            return _say_error(HTTPStatus.BAD_REQUEST, "InvalidArgument", str(error))
        body = render(page, self.bucket, question, fault).encode()
        if fault is Fault.TORN_XML:
            body = body[: len(body) * 2 // 3]
        return Answer(
            body=body,
            headers={"Content-Type": "application/xml", "x-amz-bucket-region": REGION},
            fault=fault,
            delay_s=self.latency_s,
            trickle_bytes_per_s=self.trickle_bytes_per_s,
        )

    def _head(self, key: str, fault: Fault | None) -> Answer:
        with self._lock:
            found = self._keyspace.get(key)
        if found is None:
            return Answer(HTTPStatus.NOT_FOUND)
        headers = {
            "Content-Length": str(found.size),
            "ETag": f'"{found.etag}"',
            "Last-Modified": format_datetime(found.modified, usegmt=True),
        }
        if found.storage_class != "STANDARD":
            headers["x-amz-storage-class"] = found.storage_class
        return Answer(headers=headers, fault=fault)


def _say_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    body = f"{XML_HEAD}<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>0</RequestId></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml", **(headers or {})})


@contextmanager
def run_store(
    keyspace: Keyspace | None = None,
    *,
    order: Order = Order.AWS,
    start_after: StartAfter | None = None,
    bucket: str = BUCKET,
) -> Iterator[Store]:
    """Serve a bucket to the end of the block.

    Args:
        keyspace: Computed keys; None for an empty table.
        order: Of the table.
        start_after: What StartAfter does; right by default, and rejected where the order is random.
        bucket: Its name.

    Raises:
        ValueError: No place in a random order is the right one, nor the wrong one.
    """
    keyspace = ObjectTable(order) if keyspace is None else keyspace
    is_random = keyspace.order is Order.RANDOM
    if start_after is None:
        start_after = StartAfter.REJECTED if is_random else StartAfter.RIGHT
    if is_random and start_after in {StartAfter.RIGHT, StartAfter.WRONG}:
        raise ValueError(f"a random order has no StartAfter that is {start_after}")
    store = Store(keyspace, start_after, bucket)
    with HttpServer(store.answer) as server:
        store.endpoint_url = server.url
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve computed keys until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--order", type=Order, choices=list(Order), default=Order.AWS)
    parser.add_argument("--start-after", type=StartAfter, choices=list(StartAfter))
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--bucket", default=BUCKET)
    arguments = parser.parse_args()
    keyspace = SyntheticKeys(arguments.keys, arguments.order)
    with run_store(keyspace, start_after=arguments.start_after, bucket=arguments.bucket) as store:
        store.latency_s = arguments.latency_ms / 1000
        print(store.endpoint_url, flush=True)  # noqa: T201 - whoever started it reads it there
        sys.stdin.read()


if __name__ == "__main__":
    main()
