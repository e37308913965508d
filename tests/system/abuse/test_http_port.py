"""Clients of the HTTP port that take their time, or never end."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.client import wait_until
from system.abuse.crowd import crowd, say

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
CONNECTIONS = 2000
"""Twice as many as the port holds."""

BODY_BYTES = 1000
SLOW = {
    "headers": b"GET /healthz HTTP/1.1\r\nHost: watcher\r\nX-Slow: " + b"x" * 50,
    "a body": b"POST /ack HTTP/1.1\r\nHost: watcher\r\nContent-Length: %d\r\n\r\n{" % BODY_BYTES,
    "nothing": b"",
}
FORM_BYTES = 120_000
WATCHES, READERS, ASKED_EACH = 200, 30, 40
"""More than the kernel keeps for who does not read."""

PIPELINED = 500
"""Requests at once, whose answers nobody reads."""


def wait_closed(member: socket.socket) -> bytes:
    """Return what comes on a connection until the server closes it."""
    said = b""
    try:
        while data := member.recv(1 << 16):
            said += data
    except ConnectionError:
        pass
    return said


# A connection is a protocol, a parser and its task: 20 KB; there are at most a thousand.
@pytest.mark.parametrize("kind", SLOW)
def test_requests_byte_by_byte(server: ServerProcess, abuse: Abuse, kind: str) -> None:
    """Two thousand connections that send one byte each in turn take no place from a probe, and not one descriptor too many."""
    with abuse(50 * MB), crowd(server.http, CONNECTIONS) as members:
        for byte in SLOW[kind]:
            for member in members:
                say(member, bytes([byte]))
        wait_until(
            lambda: server.resources().descriptors < CONNECTIONS,
            "the server holds a thousand of them at most",
        )


# The buffers of what waits to be written: 64 KB and one answer for each connection.
def test_answers_that_nobody_reads(server: ServerProcess, abuse: Abuse) -> None:
    """Connections that ask for pages and never read them are held back, and hold nobody back."""
    request = b"GET /metrics HTTP/1.1\r\nHost: watcher\r\n\r\n" * PIPELINED
    with abuse(50 * MB), crowd(server.http, 200) as members:
        for member in members:
            member.settimeout(0.1)
            try:
                say(member, request)
            except TimeoutError:
                continue


def test_slow_requests_are_given_up(server: ServerProcess, abuse: Abuse) -> None:
    """A request whose headers or body do not come is not waited for without end: the connection is closed, and of a body it is told."""
    with (
        abuse(50 * MB),
        crowd(server.http, 10, SLOW["headers"]) as headers,
        crowd(server.http, 10, SLOW["a body"]) as bodies,
    ):
        assert {wait_closed(member) for member in headers} == {b""}
        for member in bodies:
            assert wait_closed(member).startswith(b"HTTP/1.1 408 ")


# A form has a few hundred bytes; that of the body's size is read once, as it came.
@pytest.mark.parametrize("charset", ["punycode", "utf-7", "idna", "none-such"])
def test_forms_in_strange_charsets(server: ServerProcess, abuse: Abuse, charset: str) -> None:
    """The charset that a form names, some of which take Python minutes, is of no interest: it is no form of the page, and refused."""
    kind = f"Content-Type: application/x-www-form-urlencoded; charset={charset}"
    body = b"name=" + b"a-\xc3\xa9" * (FORM_BYTES // 4)
    with abuse(20 * MB), crowd(server.http, 3) as members:
        for member in members:
            say(
                member,
                f"POST /release HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body,
            )
        for member in members:
            assert member.recv(1 << 16).startswith(b"HTTP/1.1 403 ")


# Megabytes of it would be read, if anything were.
def test_what_follows_an_upgrade(server: ServerProcess, abuse: Abuse) -> None:
    """Who asks for another protocol is answered in this one and disconnected, and what follows is neither read nor logged."""
    before = len(server.log)
    asked = b"GET /healthz HTTP/1.1\r\nHost: watcher\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with abuse(20 * MB), crowd(server.http, 3, asked) as members:
        for member in members:
            say(member, b"\x01" * FORM_BYTES)
            assert wait_closed(member).startswith(b"HTTP/1.1 200 ")
    assert len(server.log) < before + 10_000


def test_many_headers(server: ServerProcess) -> None:
    """As many headers as anybody sends are taken, and no more."""
    for count, status in ((20, b"200"), (40, b"400")):
        request = (
            b"GET /healthz HTTP/1.1\r\nHost: watcher\r\n"
            + b"".join(b"X-%d: x\r\n" % number for number in range(count))
            + b"\r\n"
        )
        with crowd(server.http, 1, request) as [member]:
            assert member.recv(1 << 16).startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))


# Hundreds of watches make an answer of half a megabyte, of which sixteen are made at once.
def test_large_answers_that_nobody_reads(
    server: ServerProcess, abuse: Abuse, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Connections that ask for the status of many watches and never read it are cut off, and hold no answers in memory."""
    request = b"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with closing(connect(server)) as client:
        streams = [
            client.start(f"{name} {number} {'n' * 500}", {"directory": str(root)})
            for number in range(WATCHES)
        ]
        for stream in streams:
            stream.ready()
        before = server.resources().descriptors
        with abuse(50 * MB), crowd(server.http, READERS, request * ASKED_EACH) as members:
            assert json.loads(server.get("/status.json")[1])["watches"]
            wait_until(
                lambda: server.resources().descriptors >= before + len(members), "all are connected"
            )
            wait_until(
                lambda: server.resources().descriptors < before + READERS // 2,
                "those that do not read are cut off",
                pause_s=0.5,
            )
