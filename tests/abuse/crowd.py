"""Many connections in one process, which say what no library would say."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection

from e2e.client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


def greeting() -> bytes:
    """Return what a client of HTTP/2 says first."""
    connection = H2Connection(H2Configuration())
    connection.initiate_connection()
    return connection.data_to_send()


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
