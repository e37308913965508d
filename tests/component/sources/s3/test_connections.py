"""Bounds what comes through a connection: size, time and encoding, whatever part of it grows."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest

from support.s3.faults import Answer, Edit, always
from support.s3.listing import make_source
from support.s3.simulated import BUCKET, Store
from watcher.errors import UnavailableError, WatcherError
from watcher.sources.s3 import client, connections
from watcher.sources.s3.connections import ANSWER_MAX_BYTES
from watcher.spec import BucketSpec

UNDERWAY_BYTES = 16 * 1024 * 1024
"""More than the system's buffers hold."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADERS = b"X-Some: thing\r\n" * 0x1000
BROKEN = "the connection broke"
TOO_LARGE = "the answer is larger than 8 MiB; check endpoint_url"

pytestmark = pytest.mark.usefixtures("credentials")


def open_bucket(endpoint_url: str) -> None:
    with closing(make_source(BucketSpec(BUCKET, endpoint_url=endpoint_url))) as source:
        source.open(lambda: None)


@contextmanager
def run_endless(
    start: bytes, part: bytes, pause: Callable[[], object] = lambda: None
) -> Iterator[tuple[str, list[int]]]:
    """Answer each connection without end, until the client leaves.

    Yields:
        The endpoint, and the number of bytes sent through each connection.
    """
    sent: list[int] = []

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                sent.append(0)
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    connection.sendall(start)
                    while True:
                        sent[-1] += connection.send(part)
                        pause()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("start", "part", "text"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 0x10000, TOO_LARGE, id="body"),
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n", b" " * 0x10000, TOO_LARGE, id="body of an error"),
        pytest.param(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n", TOO_LARGE, id="chunks"),
        pytest.param(CHUNKED + b"0\r\n", HEADERS, TOO_LARGE, id="trailers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 0x1000, TOO_LARGE, id="announcements"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 0x10000, BROKEN, id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", HEADERS, BROKEN, id="headers"),
        pytest.param(CHUNKED, b"0" * 0x10000, BROKEN, id="size of a chunk"),
    ],
)
def test_an_answer_without_end_is_left(
    start: bytes, part: bytes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part never ends, the client leaves, and asks again only after a line without end."""
    if text is BROKEN:
        monkeypatch.setattr(client, "ATTEMPTS", 1)
    with run_endless(start, part) as (endpoint_url, sent):
        place = rf"s3://{BUCKET}/\?endpoint={endpoint_url}"
        with pytest.raises(UnavailableError, match=f"^{place}: {text}"):
            open_bucket(endpoint_url)
    assert len(sent) == 1
    assert sent[0] < UNDERWAY_BYTES + (0 if text is BROKEN else ANSWER_MAX_BYTES)


@pytest.mark.usefixtures("_once")
def test_headers_that_trickle_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT_S", 0.3)
    patience = threading.Event()
    with (
        run_endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", lambda: patience.wait(0.05)) as (url, _),
        pytest.raises(UnavailableError, match="does not answer in time"),
    ):
        open_bucket(url)


def padded(surplus: int) -> Edit:
    """Make a page longer than it may be by a number of bytes."""

    def edit(answer: Answer) -> Answer:
        padding = b" " * (ANSWER_MAX_BYTES - len(answer.body) + surplus)
        return replace(answer, body=answer.body.replace(b"<Contents>", padding + b"<Contents>", 1))

    return edit


def test_the_largest_answer_is_taken(store: Store) -> None:
    store.on_list = always(padded(-1024))
    open_bucket(store.endpoint_url)
    store.on_list = always(padded(1))
    with pytest.raises(UnavailableError, match=TOO_LARGE):
        open_bucket(store.endpoint_url)


def compressed(answer: Answer) -> Answer:
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    return replace(answer, body=gzip.compress(answer.body), headers=headers)


@pytest.mark.parametrize("status", [200, 403])
def test_compressed_answers_are_not_expanded(store: Store, status: int) -> None:
    """A compressed body, which is never asked for, is no page: a gigabyte stays a megabyte."""
    error = Answer(b"<Error><Code>ExpiredToken</Code></Error>", status)
    store.on_list = always(compressed if status == 200 else compressed(error))
    with pytest.raises(WatcherError, match=r"not XML|Forbidden"):
        open_bucket(store.endpoint_url)
