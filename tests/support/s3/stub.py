"""A small S3 server that gives the answers which no real server gives on demand: each request takes the next one of a script."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUCKET = "stub"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer.

    Attributes:
        body: What follows the headers.
        status: Of the response.
        headers: Besides the length.
        missing_bytes: So many more bytes are announced than sent; then the connection ends.
        is_gzip: The body is compressed, and said to be.
    """

    body: str = ""
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    missing_bytes: int = 0
    is_gzip: bool = False


def page(
    *keys: str,
    bucket: str = BUCKET,
    prefix: str = "",
    token: str | None = None,
    truncated: bool | None = None,
    encoding: str = "url",
) -> Answer:
    """Return a page of a listing; it is truncated when it has a token, unless told otherwise."""
    truncated = token is not None if truncated is None else truncated
    objects = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-23T12:00:00.000Z</LastModified>"
        "<ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
    )
    return Answer(
        f'{HEAD}<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><Prefix>{prefix}</Prefix>'
        f"<KeyCount>{len(keys)}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{str(truncated).lower()}</IsTruncated>"
        + (f"<EncodingType>{encoding}</EncodingType>" if encoding else "")
        + (f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "")
        + f"{objects}</ListBucketResult>"
    )


def error(code: str, status: int, **headers: str) -> Answer:
    """Return an error answer of S3; underscores in the names of headers become hyphens."""
    body = f"{HEAD}<Error><Code>{code}</Code><Message>as scripted</Message></Error>"
    return Answer(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(frozen=True, slots=True)
class Stub:
    """A running stub.

    Attributes:
        endpoint_url: Where it listens.
        requests: The headers of what came in, in order.
    """

    endpoint_url: str
    requests: list[Mapping[str, str]]


@contextmanager
def run_stub(answers: Sequence[Answer], host: str = "127.0.0.1") -> Iterator[Stub]:
    """Serve a script at an address of this machine to the end of the block; the last answer is repeated."""
    requests: list[Mapping[str, str]] = []

    class Script(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = answers[min(len(requests), len(answers) - 1)]
            requests.append(dict(self.headers))
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.is_gzip:
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body) + answer.missing_bytes))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = answer  # noqa: N815 - these names are looked up by http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((host, 0), Script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Stub(f"http://{host}:{server.server_address[1]}", requests)
        finally:
            server.shutdown()
            thread.join()
