"""Abuse of the HTTP port: slow, endless and odd requests, and answers that nobody reads."""

from contextlib import closing
from pathlib import Path

import pytest

from support.client import wait_until
from support.config import config
from support.fixtures import Connect
from support.server import ServerProcess
from system.abuse.conftest import Abuse
from system.abuse.crowd import crowd, read_all, send

CONNECTIONS = 2000
"""Twice as many connections as the port holds."""

BODY_BYTES = 1000
SLOW = {
    "headers": b"GET /healthz HTTP/1.1\r\nHost: watcher\r\nX-Slow: " + b"x" * 50,
    "a body": b"POST /ack HTTP/1.1\r\nHost: watcher\r\nContent-Length: %d\r\n\r\n{" % BODY_BYTES,
    "nothing": b"",
}
FORM_BYTES = 120_000
RECORD = b'{"s3":{"bucket":{"name":"b"},"object":{"key":"%2B+%2B"}}},'
HINTS = [
    pytest.param(b'{"Records":[' + RECORD * 999 + b"{}]}", id="records", marks=pytest.mark.sampled),
    pytest.param(b"[" + b"{}," * 40_000 + b"{}]", id="nothing", marks=pytest.mark.sampled),
    pytest.param(b"[" * 120_000, id="no end"),
]
"""Messages that take long to read; all are accepted by the port."""
SENDERS, SENT_EACH = 100, 2
WATCHES, READERS, ASKED_EACH = 200, 30, 40
"""With these the answers are more than the kernel buffers for a client that does not read."""


# A connection is a protocol, a parser and its task: 20 KB; there are at most a thousand.
@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_requests_byte_by_byte(server: ServerProcess, abuse: Abuse, sent: bytes) -> None:
    """Two thousand connections that send one byte each in turn take no place from a probe."""
    with abuse(50), crowd(server.http, CONNECTIONS) as members:
        for byte in sent:
            for member in members:
                send(member, bytes([byte]))
        wait_until(
            lambda: server.resources().descriptors < CONNECTIONS,
            "the server holds a thousand of them at most",
        )


def test_slow_requests_are_given_up(server: ServerProcess, abuse: Abuse) -> None:
    """Headers that do not come end the connection; a body that does not come is answered 408."""
    with (
        abuse(50),
        crowd(server.http, 10, SLOW["headers"]) as headers,
        crowd(server.http, 10, SLOW["a body"]) as bodies,
    ):
        assert {read_all(member) for member in headers} == {b""}
        for member in bodies:
            assert read_all(member).startswith(b"HTTP/1.1 408 ")


# A form of the page has a few hundred bytes; this one is read once, as it comes.
@pytest.mark.parametrize("charset", ["punycode", "utf-7", "idna", "none-such"])
def test_forms_in_strange_charsets(server: ServerProcess, abuse: Abuse, charset: str) -> None:
    """The charset of a form, some of which take Python minutes to decode, is ignored."""
    body = b"name=" + b"a-\xc3\xa9" * (FORM_BYTES // 4)
    head = f"""POST /release HTTP/1.1
Host: 127.0.0.1
Content-Type: application/x-www-form-urlencoded; charset={charset}
Content-Length: {len(body)}

""".replace("\n", "\r\n")
    with abuse(20), crowd(server.http, 3) as members:
        for member in members:
            send(member, head.encode() + body)
        for member in members:
            assert member.recv(1 << 16).startswith(b"HTTP/1.1 403 ")


# A hundred bodies of 120 KB wait for their turn.
@pytest.mark.parametrize("message", HINTS)
def test_hints_that_take_long_to_read(server: ServerProcess, abuse: Abuse, message: bytes) -> None:
    """Two hundred of them, from a hundred connections at once, delay nobody else."""
    head = b"POST /hint HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(message)
    with abuse(50), crowd(server.http, SENDERS) as members:
        for _ in range(SENT_EACH):
            for member in members:
                send(member, head + message)
            for member in members:
                assert member.recv(1 << 16).startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 400 "))


# Megabytes of it would be held if any of it were.
def test_what_follows_an_upgrade(server: ServerProcess, abuse: Abuse) -> None:
    """A request to upgrade is answered in HTTP/1.1 and disconnected; nothing after it is read."""
    before = len(server.log)
    request = b"GET /healthz HTTP/1.1\r\nHost: watcher\r\n"
    request += b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with abuse(20), crowd(server.http, 3, request) as members:
        for member in members:
            send(member, b"\x01" * FORM_BYTES)
            assert read_all(member).startswith(b"HTTP/1.1 200 ")
    assert len(server.log) < before + 10_000


def test_many_headers(server: ServerProcess) -> None:
    """Twenty headers are accepted, forty are not."""
    for count, status in ((20, b"200"), (40, b"400")):
        headers = b"".join(b"X-%d: x\r\n" % number for number in range(count))
        request = b"GET /healthz HTTP/1.1\r\nHost: watcher\r\n" + headers + b"\r\n"
        with crowd(server.http, 1, request) as [member]:
            assert member.recv(1 << 16).startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))


# The status of hundreds of watches is half a megabyte; sixteen are rendered at once.
def test_large_answers_that_nobody_reads(
    server: ServerProcess, abuse: Abuse, connect: Connect, root: Path, name: str
) -> None:
    """Connections that request the status of many watches and never read it are closed."""
    request = b"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with closing(connect(server)) as client:
        names = [f"{name} {number} {'n' * 500}" for number in range(WATCHES)]
        for stream in [client.start(each, config(root)) for each in names]:
            stream.ready()
        before = server.resources().descriptors
        with abuse(50), crowd(server.http, READERS, request * ASKED_EACH):
            assert server.watches()
            wait_until(
                lambda: server.resources().descriptors >= before + READERS, "all are connected"
            )
            wait_until(
                lambda: server.resources().descriptors < before + READERS // 2,
                "those that do not read are closed",
                pause_s=0.5,
            )
