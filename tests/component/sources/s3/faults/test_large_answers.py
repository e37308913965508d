"""Reads answers that are larger than any of S3: they are left, whatever part of them grows."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.s3.stub import BUCKET, Answer, page, run_stub
from watcher.errors import UnavailableError, WatcherError
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.connections import ANSWER_MAX_BYTES
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDERWAY_BYTES = 16 * 1024 * 1024
"""The system's buffers hold less."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_LARGE = "the answer is larger than 8 MiB; check endpoint_url"

pytestmark = pytest.mark.usefixtures("credentials")


def open_bucket(endpoint_url: str) -> None:
    """Ask a store for one key."""
    spec = BucketSpec(BUCKET, endpoint_url=endpoint_url)
    with closing(BucketSource(spec, PathFilter(Filter()), should_stop=lambda: False)) as source:
        source.open(lambda: None)


@contextmanager
def run_endless(start: bytes, part: bytes) -> Iterator[tuple[str, list[int]]]:
    """Answer each connection with what never ends, until the client leaves; yield the endpoint, and how many bytes each was sent."""
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

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


@pytest.mark.parametrize(
    ("start", "part"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 0x10000, id="body"),
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n", b" " * 0x10000, id="body of an error"),
        pytest.param(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n", id="chunks"),
        pytest.param(CHUNKED + b"0\r\n", b"X-Some: thing\r\n" * 0x1000, id="trailers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 0x1000, id="announcements"),
    ],
)
def test_an_answer_without_end_is_left(start: bytes, part: bytes) -> None:
    """Whatever part of an answer never ends, the client leaves after so many bytes, says so, and does not ask again."""
    with (
        run_endless(start, part) as (endpoint_url, sent),
        pytest.raises(
            UnavailableError, match=rf"^s3://{BUCKET}/\?endpoint={endpoint_url}: {TOO_LARGE}"
        ),
    ):
        open_bucket(endpoint_url)
    assert len(sent) == 1
    assert sent[0] < ANSWER_MAX_BYTES + UNDERWAY_BYTES


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("start", "part"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 0x10000, id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-Some: thing\r\n" * 0x1000, id="headers"),
        pytest.param(CHUNKED, b"0" * 0x10000, id="size of a chunk"),
    ],
)
def test_a_line_without_end_is_left(start: bytes, part: bytes) -> None:
    """A line of HTTP that never ends, or headers that never do, end the request long before."""
    with (
        run_endless(start, part) as (endpoint_url, sent),
        pytest.raises(UnavailableError, match="the connection broke"),
    ):
        open_bucket(endpoint_url)
    assert sent[0] < UNDERWAY_BYTES


def test_the_largest_answer_is_taken() -> None:
    """An answer that is just as large as it may be is believed; one more than that is not."""
    whole = page("a")
    for surplus, is_taken in ((-1024, True), (1, False)):
        body = whole.body.replace(
            "<Contents>", " " * (ANSWER_MAX_BYTES - len(whole.body) + surplus) + "<Contents>"
        )
        with run_stub([replace(whole, body=body)]) as stub:
            if is_taken:
                open_bucket(stub.endpoint_url)
            else:
                with pytest.raises(UnavailableError, match=TOO_LARGE):
                    open_bucket(stub.endpoint_url)


@pytest.mark.parametrize("status", [200, 403])
def test_what_is_compressed_stays_so(status: int) -> None:
    """An answer that is compressed, for which nobody asked, is not expanded: a page in it is none, and a gigabyte stays a megabyte."""
    body = page("a").body if status == 200 else "<Error><Code>ExpiredToken</Code></Error>"
    with (
        run_stub([Answer(body, status, is_gzip=True)]) as stub,
        pytest.raises(WatcherError, match=r"not XML|Forbidden"),
    ):
        open_bucket(stub.endpoint_url)
