"""Clients of the HTTP port that take their time, or never end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from abuse.crowd import crowd, say
from e2e.client import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from e2e.server import ServerProcess

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
        wait_until(lambda: server.resources().descriptors < CONNECTIONS, "the server holds a thousand of them at most")


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
    with abuse(50 * MB), crowd(server.http, 10, SLOW["headers"]) as headers, crowd(server.http, 10, SLOW["a body"]) as bodies:
        assert {wait_closed(member) for member in headers} == {b""}
        for member in bodies:
            assert wait_closed(member).startswith(b"HTTP/1.1 408 ")
