"""Many connections in one process, each of which sends what no library would."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from support.client import DEADLINE_S, wait_until

BUFFER_BYTES = 1 << 16


def greeting() -> bytes:
    """Return the connection preface of an HTTP/2 client (RFC 9113, section 3.4)."""
    connection = H2Connection(H2Configuration())
    connection.initiate_connection()
    return connection.data_to_send()


def call_at_once(
    address: str, path: str, body: bytes, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Connect, and send preface and request without acknowledging the server's settings.

    Return headers and trailers of the answer.
    """
    connection = H2Connection(H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "watcher"}
    headers |= {"te": "trailers", "content-type": "application/grpc", **metadata}
    connection.send_headers(1, list(headers.items()))
    connection.send_data(1, body, end_stream=True)
    # Before it connects: to encode large headers takes long, and the server does not wait for ever.
    first = connection.data_to_send()
    answer: dict[str, str] = {}
    with crowd(address, 1, first) as [member]:
        while data := member.recv(BUFFER_BYTES):
            for event in connection.receive_data(data):
                if isinstance(event, ResponseReceived | TrailersReceived):
                    answer |= {str(key): str(value) for key, value in event.headers}
                if isinstance(event, StreamEnded | StreamReset):
                    return answer
    return answer


@contextmanager
def crowd(address: str, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections, and send something on each; the server may close some of them again."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with ExitStack() as stack:
        members = []
        for _ in range(count):
            member = stack.enter_context(socket.create_connection((host, int(port)), DEADLINE_S))
            members.append(member)
            send(member, first)
        yield members


def send(member: socket.socket, data: bytes) -> bool:
    """Send data, and return whether the connection is still open."""
    with suppress(ConnectionError):
        member.sendall(data)
        return True
    return False


def read_all(member: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while data := member.recv(BUFFER_BYTES):
            received += data
    return received


def wait_gone(members: list[socket.socket], deadline_s: float) -> None:
    """Wait until the server has closed all connections."""
    wait_until(
        lambda: count_gone(members) == len(members),
        "the server has closed the connections",
        deadline_s,
        pause_s=1.0,
    )


def count_gone(members: list[socket.socket]) -> int:
    """Return how many connections the server has closed; what it has sent is dropped."""
    return sum(map(_has_gone, members))


def _has_gone(member: socket.socket) -> bool:
    member.settimeout(0.0)
    try:
        while member.recv(BUFFER_BYTES):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True
