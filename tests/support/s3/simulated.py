"""A simulated S3 server whose keys, order, faults and latency a test or a benchmark chooses.

In a test, ``run_store`` serves a table of objects that can change at any time, also between two
pages; hooks (``faults``) change single answers. For benchmarks it runs as a process of its own with
computed keys, prints its endpoint URL and serves until standard input ends; ``GET /?counts``
returns ``Store.requests``, ``GET /?arrive`` adds a key ahead of all others, and ``GET /?touch``
puts 1 % of the keys anew:
``python -m support.s3.simulated --keys 1000000 --latency-ms 50``.

Buckets are addressed by path; signatures are not checked.
"""

import argparse
import json
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import unquote
from xml.sax.saxutils import escape

from support.certificates import Pair
from support.s3.dialects import Dialect
from support.s3.endpoint import serve
from support.s3.faults import ERRORS, XML_HEAD, Answer, Fault, Hook, Kind, Request, error
from support.s3.keys import Keyspace, ObjectTable, Order, StoredObject
from support.s3.pages import MAX_KEYS, Question, RefusedError, StartAfter, list_page, render
from support.s3.synthetic import SyntheticKeys

BUCKET = "store"
REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testkey",
    "AWS_SECRET_ACCESS_KEY": "testsecret",
    "AWS_DEFAULT_REGION": REGION,
}
"""Any key is taken; real servers in tests know this one."""
TRICKLE_BYTES_PER_S = 1000
LOGGED_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class Details:
    """What a store knows of an object beside its state."""

    content_type: str = "binary/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    version_id: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers of a response to HEAD."""
        metadata = {f"x-amz-meta-{name}": value for name, value in self.metadata.items()}
        return {"Content-Type": self.content_type} | metadata | self.version_header()

    def version_header(self) -> dict[str, str]:
        return {"x-amz-version-id": self.version_id} if self.version_id else {}


class Store:
    """A bucket and how it is served (``run_store``). Thread-safe; may be changed at any time.

    Attributes:
        endpoint_url: Where it listens.
        bucket: Name of the only bucket.
        requests: Number of requests, by kind; each attempt of a client counts.
        log: The last requests, in order.
        on_request: Called before each request is answered, whatever its bucket.
        on_list: Called before each LIST is answered, if ``on_request`` had no effect.
        on_head: Called before each HEAD of an object is answered, if ``on_request`` had no effect.
        on_tags: The same for the tags of an object.
        details: What HEAD and GetObjectTagging return of objects beside their state, by key.
        on_listen: Answers listen requests; without it they are refused.
        page_keys: Maximum number of keys in a page, whatever the client asks for.
        latency_s: Seconds before each answer to LIST.
        dialect: How its answers to LIST differ from those of Amazon S3.
        trickle_bytes_per_s: Rate of ``Fault.TRICKLE``.
    """

    def __init__(self, keyspace: Keyspace, start_after: StartAfter) -> None:
        self.endpoint_url = ""
        self.bucket = BUCKET
        self.requests: Counter[Kind] = Counter()
        self.log: deque[Request] = deque(maxlen=LOGGED_REQUESTS)
        self.on_request: Hook | None = None
        self.on_list: Hook | None = None
        self.on_head: Hook | None = None
        self.on_tags: Hook | None = None
        self.details: dict[str, Details] = {}
        self.on_listen: Hook | None = None
        self.page_keys = MAX_KEYS
        self.latency_s = 0.0
        self.dialect = Dialect()
        self.trickle_bytes_per_s = TRICKLE_BYTES_PER_S
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
        """Put an object; no two puts have the same etag or last-modified unless they are given."""
        with self._lock:
            self._table.put(key, size, etag, mtime_ns, storage_class)

    def put_many(self, *keys: str) -> None:
        """Put an object of one byte at each key."""
        for key in keys:
            self.put(key)

    def get(self, key: str) -> StoredObject | None:
        with self._lock:
            return self._keyspace.get(key)

    def delete(self, *keys: str) -> dict[str, StoredObject]:
        """Delete objects, those that are there, and return them."""
        with self._lock:
            deleted = {key: self._keyspace.get(key) for key in keys}
            for key in keys:
                self._table.delete(key)
        return {key: found for key, found in deleted.items() if found is not None}

    def restore(self, objects: Mapping[str, StoredObject]) -> None:
        """Put objects as they were."""
        with self._lock:
            for key, found in objects.items():
                self._table.put(key, found.size, found.etag, found.mtime_ns, found.storage_class)

    @property
    def keys(self) -> set[str]:
        """The keys that are there now."""
        with self._lock:
            return set(self._table.keys())

    @property
    def lists(self) -> list[Request]:
        """The last LIST requests, in order."""
        return [request for request in list(self.log) if request.kind is Kind.LIST]

    @property
    def order(self) -> Order:
        """The order in which keys are listed."""
        return self._keyspace.order

    def environment(self) -> dict[str, str]:
        """Return environment variables with credentials for an AWS SDK."""
        return dict(CREDENTIALS)

    def answer(self, method: str, target: str, headers: Mapping[str, str], _body: bytes) -> Answer:
        """Answer a request; see ``endpoint.Responder``."""
        path, _, query = target.partition("?")
        bucket, _, key = unquote(path)[1:].partition("/")
        if not bucket and query in {"counts", "arrive", "touch"}:
            return self._obey(query)
        kind = _find_kind(method, key, query)
        with self._lock:
            self.requests[kind] += 1
            request = Request(kind, self.requests[kind], method, target, headers)
            self.log.append(request)
        effect = self.on_request(request) if self.on_request else None
        hooks = {
            Kind.LIST: self.on_list,
            Kind.HEAD: self.on_head,
            Kind.TAGS: self.on_tags,
            Kind.LISTEN: self.on_listen,
        }
        hook = hooks.get(kind)
        if effect is None and hook:
            effect = hook(request)
        if isinstance(effect, Answer):
            return effect
        fault = effect if isinstance(effect, Fault) else None
        answer = self._serve(request, bucket, key, fault)
        return effect(answer) if effect and not isinstance(effect, Fault) else answer

    def _serve(self, request: Request, bucket: str, key: str, fault: Fault | None) -> Answer:
        if fault is None and bucket != self.bucket:
            fault = Fault.NO_BUCKET
        if fault is not None and fault in ERRORS:
            return ERRORS[fault]
        if request.kind is Kind.LIST:
            return self._list(request.target.partition("?")[2], fault)
        if request.kind is Kind.HEAD:
            return self._head(key, fault)
        if request.kind is Kind.TAGS:
            return self._tags(key, fault)
        if request.method == "HEAD":
            return Answer(headers={"x-amz-bucket-region": REGION})
        return error(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", "this store is for listing")

    def _obey(self, order: str) -> Answer:
        with self._lock:
            if order == "arrive" and isinstance(self._keyspace, SyntheticKeys):
                self._keyspace.arrive()
            if order == "touch" and isinstance(self._keyspace, SyntheticKeys):
                self._keyspace.touch()
            return Answer(body=json.dumps(self.requests).encode())

    @property
    def _table(self) -> ObjectTable:
        if not isinstance(self._keyspace, ObjectTable):
            raise TypeError("computed keys do not change")
        return self._keyspace

    def _list(self, query: str, fault: Fault | None) -> Answer:
        try:
            question = self._ask(query)
            if question.version > 1 and self.dialect.refusal:
                return self.dialect.refusal
            asked = replace(question, max_keys=min(question.max_keys, self.page_keys))
            with self._lock:
                page = list_page(self._keyspace, asked, self._start_after)
        except RefusedError as refusal:
            return error(HTTPStatus.BAD_REQUEST, "InvalidArgument", str(refusal))
        body = render(page, self.bucket, asked, fault, self.dialect).encode()
        if fault is Fault.TORN_XML:
            body = body[: len(body) * 2 // 3]
        return Answer(
            body=body,
            headers={"Content-Type": "application/xml", "x-amz-bucket-region": REGION},
            fault=fault,
            delay_s=self.latency_s,
            trickle_bytes_per_s=self.trickle_bytes_per_s,
        )

    def _ask(self, query: str) -> Question:
        """Return the question of a query, as far as the store understands it."""
        asked = Question.parse(query)
        if self.dialect.is_encoded is not None:
            asked = replace(asked, is_url=self.dialect.is_encoded)
        if self.dialect.has_only_version_1 and asked.version > 1:
            asked = replace(asked, version=1, start_after="", token="")
        return asked

    def _head(self, key: str, fault: Fault | None) -> Answer:
        with self._lock:
            found = self._keyspace.get(key)
        if found is None:
            return Answer(status=HTTPStatus.NOT_FOUND)
        headers = {
            "Content-Length": str(found.size),
            "ETag": f'"{found.etag}"',
            "Last-Modified": format_datetime(found.modified, usegmt=True),
        }
        if found.storage_class != "STANDARD":
            headers["x-amz-storage-class"] = found.storage_class
        return Answer(headers=headers | self.details.get(key, Details()).headers(), fault=fault)

    def _tags(self, key: str, fault: Fault | None) -> Answer:
        with self._lock:
            found = self._keyspace.get(key)
        if found is None:
            return error(HTTPStatus.NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
        details = self.details.get(key, Details())
        tags = "".join(
            f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>"
            for name, value in details.tags.items()
        )
        body = f"{XML_HEAD}<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
        return Answer(body, headers=details.version_header(), fault=fault)


def _find_kind(method: str, key: str, query: str) -> Kind:
    names = {parameter.partition("=")[0] for parameter in query.split("&")}
    if method == "GET" and not key and names & {"list-type", "max-keys"}:
        return Kind.LIST
    if method == "GET" and not key and "events" in names:
        return Kind.LISTEN
    if method == "GET" and key and "tagging" in names:
        return Kind.TAGS
    return Kind.HEAD if method == "HEAD" and key else Kind.OTHER


@contextmanager
def run_store(
    keyspace: Keyspace | None = None,
    *,
    order: Order = Order.AWS,
    start_after: StartAfter | None = None,
    host: str = "127.0.0.1",
    tls: Pair | None = None,
) -> Iterator[Store]:
    """Serve computed keys, or an empty table; StartAfter is as right as the order allows.

    With a certificate it speaks TLS.
    """
    keyspace = ObjectTable(order) if keyspace is None else keyspace
    is_random = keyspace.order is Order.RANDOM
    if start_after is None:
        start_after = StartAfter.REJECTED if is_random else StartAfter.RIGHT
    if is_random and start_after in {StartAfter.RIGHT, StartAfter.WRONG}:
        raise ValueError(f"a random order has no StartAfter that is {start_after}")
    store = Store(keyspace, start_after)
    with serve(store.answer, host, tls=tls and tls.server_context()) as store.endpoint_url:
        yield store


def main() -> None:
    """Serve computed keys until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    with run_store(SyntheticKeys(arguments.keys)) as store:
        store.latency_s = arguments.latency_ms / 1000
        print(store.endpoint_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
