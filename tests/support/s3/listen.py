"""Answers listen requests as MinIO and RustFS do: a stream of notifications that a test writes.

Both send a chunk of HTTP for each line: ``{"Records":[...]}``, or one without records as a ping.
MinIO sends its headers with the first line, and keys as they are; RustFS sends headers at once, and
keys form-encoded.
"""

import json
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote_plus

from support.client import wait_until
from support.s3.faults import Answer, Request, Send
from support.s3.simulated import Store

PING = {"minio": b'{"Records":null}\n', "rustfs": b'{"Records":[]}\n'}
HEADERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
TYPE = b"Content-Type: text/event-stream\r\n"
TICK_S = 0.05
"""Seconds after which a response notices that the server closes."""
CREATED, REMOVED = "s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"


def record(bucket: str, key: str, event: str = CREATED, vendor: str = "minio") -> dict[str, Any]:
    """Return one record as a store writes it into its stream."""
    return {
        "eventVersion": "2.0",
        "eventSource": f"{vendor}:s3",
        "awsRegion": "",
        "eventTime": "2026-01-31T12:00:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "minioadmin"},
        "requestParameters": {"principalId": "minioadmin", "region": ""},
        "responseElements": {"x-minio-deployment-id": "0"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "minioadmin"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": key if vendor == "minio" else quote_plus(key),
                "sequencer": "17B5C1D9A2",
            },
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "test"},
    }


def line(*records: Mapping[str, Any]) -> bytes:
    """Return a line of a stream."""
    return json.dumps({"Records": records}, separators=(",", ":")).encode() + b"\n"


class Listener:
    """One listen request while it is answered. The methods may be called at any time.

    Attributes:
        request: The request.
        is_over: Set when the response has ended, by whichever side.
    """

    def __init__(self, request: Request, stub: "ListenStub") -> None:
        self.request = request
        self.is_over = threading.Event()
        self._stub = stub
        self._orders: queue.Queue[bytes | None] = queue.Queue()
        self._has_begun = False
        self._is_silent = False

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the request."""
        return parse_qs(self.request.target.partition("?")[2], keep_blank_values=True)

    def announce(self, *keys: str, event: str = CREATED) -> None:
        """Send a line with a record for each key, each in a line of its own."""
        for key in keys:
            self.send(line(record(self._stub.bucket, key, event, self._stub.vendor)))

    def send(self, data: bytes) -> None:
        """Send bytes as one chunk."""
        self.send_raw(b"%x\r\n%s\r\n" % (len(data), data))

    def send_raw(self, data: bytes) -> None:
        """Send bytes without a frame, after the headers."""
        self._orders.put(data)

    def end(self) -> None:
        """End the response as HTTP has it."""
        self.send_raw(b"0\r\n\r\n")
        self.cut()

    def cut(self) -> None:
        """Close the connection."""
        self._orders.put(None)

    def fall_silent(self) -> None:
        """Send nothing more by itself, and keep the connection."""
        self._is_silent = True

    def serve(self, send: Send, closing: threading.Event) -> None:
        """Answer the request; see ``faults.Stream``."""
        with suppress(OSError):
            if self._stub.has_prompt_headers:
                self._send(send, b"")
            ping_due_s = time.monotonic() + self._stub.ping_s
            while not closing.is_set():
                try:
                    data = self._orders.get(timeout=min(self._stub.ping_s, TICK_S))
                except queue.Empty:
                    if not self._is_silent and time.monotonic() >= ping_due_s:
                        self.send(self._stub.ping)
                        ping_due_s = time.monotonic() + self._stub.ping_s
                    continue
                if data is None:
                    break
                self._send(send, data)
        self.is_over.set()

    def _send(self, send: Send, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            data = HEADERS + (TYPE if self._stub.has_type else b"") + b"\r\n" + data
        send(data)


@dataclass
class ListenStub:
    """Answers the listen requests to a store, one ``Listener`` each.

    Attributes:
        vendor: ``minio`` or ``rustfs``.
        ping_s: Seconds between two pings. Clients ask for longer ones.
        has_prompt_headers: The headers are sent at once.
        has_type: They say that a stream follows.
        answer: Sent in place of a stream.
        listeners: The requests that got a stream, in order.
        asked: Number of listen requests.
    """

    bucket: str
    vendor: str = "minio"
    ping_s: float = 0.05
    has_prompt_headers: bool = False
    has_type: bool = True
    answer: Answer | None = None

    def __post_init__(self) -> None:
        self.ping = PING[self.vendor]
        self.listeners: list[Listener] = []
        self.asked = 0

    def attach(self, store: Store) -> "ListenStub":
        """Have a store answer listen requests so, whatever else it is asked; return this."""
        store.on_listen = self.respond
        return self

    def respond(self, request: Request) -> Answer:
        """Answer a listen request."""
        self.asked += 1
        if self.answer is not None:
            return self.answer
        listener = Listener(request, self)
        self.listeners.append(listener)
        return Answer(stream=listener.serve)

    def wait(self, number: int = 1) -> Listener:
        """Wait until so many requests got a stream, and return the last of them."""
        wait_until(lambda: len(self.listeners) >= number, f"stream {number} is asked for")
        return self.listeners[number - 1]
