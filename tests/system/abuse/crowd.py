"""Many connections in one process, which say what no library would say."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from support.client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS_ACKNOWLEDGED = bytes.fromhex("000000 04 01 00000000")


def greeting() -> bytes:
    """Return what a client of HTTP/2 says first."""
    connection = H2Connection(H2Configuration())
    connection.initiate_connection()
    return connection.data_to_send()


def asked(
    member: socket.socket, path: str, body: bytes, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Greet, send a request at once, and return headers and trailers of the answer; what the server says of itself is not acknowledged."""
    connection = H2Connection(H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "watcher",
        "te": "trailers",
    }
    connection.send_headers(
        1, list((headers | {"content-type": "application/grpc"} | dict(metadata)).items())
    )
    connection.send_data(1, body, end_stream=True)
    say(member, connection.data_to_send())
    answer: dict[str, str] = {}
    while data := member.recv(1 << 16):
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                answer |= {str(key): str(value) for key, value in event.headers}
            if isinstance(event, StreamEnded | StreamReset):
                return answer
    return answer


def live_unbound(member: socket.socket) -> None:
    """Greet, answer all but the server's settings, and return when the server has closed the connection."""
    connection = H2Connection(H2Configuration())
    connection.initiate_connection()
    say(member, connection.data_to_send())
    while data := member.recv(1 << 16):
        connection.receive_data(data)
        # The library acknowledges by itself, each time with the same bytes.
        say(member, connection.data_to_send().replace(SETTINGS_ACKNOWLEDGED, b""))


@contextmanager
def crowd(address: str, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Provide so many connections, each of which has said something; some of them may have been turned away since."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with ExitStack() as stack:
        members = []
        for _ in range(count):
            member = stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
            members.append(member)
            say(member, first)
        yield members


def say(member: socket.socket, data: bytes) -> bool:
    """Send all of something, and tell whether the server still takes it."""
    with suppress(ConnectionError):
        member.sendall(data)
        return True
    return False


def has_gone(member: socket.socket) -> bool:
    """Tell whether the server has closed a connection, after what it may have said on it."""
    member.settimeout(0.0)
    try:
        while member.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
