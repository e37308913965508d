"""Clients that take next to no CPU: python bench/sink.py ADDRESS NAME CONFIG COUNT.

Started by bench/stream.py. It speaks just enough of HTTP/2 and gRPC to count messages: a client of
grpcio takes more time for a message than its server, and would be measured instead. Each client has
a connection of its own.

It prints a line when all are connected, opens the streams when it reads one, and prints one line of
JSON when each stream has had COUNT events: when the first and the last came (monotonic seconds),
the bytes of all messages, and its own CPU seconds. With --stalled the server may send no more than
the first window, until the process reads another line; pings are answered meanwhile.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import sys
import time
from typing import NamedTuple

from watcher._proto import generic_pb2

WINDOW_BYTES = 1024 * 1024
"""Window of a stream and a connection; grpc-go and grpcio exceed it on a fast network."""

RECEIVE_BYTES = 1024 * 1024
GATHER_S = 0.002
"""Pause between two reads; a wake-up per message would take a third of a core from the server."""

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE, DEFAULT_WINDOW_BYTES = 4, 65_535
FRAME_HEAD, MESSAGE_HEAD = 9, 5
STREAM = 1


class Frame(NamedTuple):
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def encode(self) -> bytes:
        """Serialize it."""
        return (
            len(self.payload).to_bytes(3, "big")
            + bytes((self.kind, self.flags))
            + self.stream.to_bytes(4, "big")
            + self.payload
        )


class Client:
    """One connection with one stream.

    Args:
        address: ``host:port``.
        is_stalled: Whether to grant the server no more than the first window until ``release``.

    Attributes:
        socket: Its socket.
        events: Number of messages.
        size_bytes: Size of all messages, with their heads.
    """

    def __init__(self, address: str, *, is_stalled: bool) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.events = 0
        self.size_bytes = 0
        self._address = address
        self._is_stalled = is_stalled
        self._owed_bytes = 0
        self._frames = b""
        self._messages = b""
        settings = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + WINDOW_BYTES.to_bytes(4, "big")
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(SETTINGS, 0, 0, settings).encode()
        )
        self._grant(0, WINDOW_BYTES - DEFAULT_WINDOW_BYTES)

    def call(self, request: bytes) -> None:
        """Open the stream."""

        def literal(text: str) -> bytes:
            return bytes((len(text),)) + text.encode()

        # HPACK (RFC 7541), not indexed: POST, http, :path, :authority, content-type, te.
        head = (
            b"\x83\x86\x04"
            + literal("/generic.Eventing/StartEventSource")
            + b"\x01"
            + literal(self._address)
        )
        head += (
            b"\x0f\x10"
            + literal("application/grpc")
            + b"\x00"
            + literal("te")
            + literal("trailers")
        )
        message = b"\0" + len(request).to_bytes(4, "big") + request
        self.socket.sendall(
            Frame(HEADERS, END_HEADERS, STREAM, head).encode()
            + Frame(DATA, END_STREAM, STREAM, message).encode()
        )

    def release(self) -> None:
        """Grant the server what it may send."""
        self._is_stalled = False
        self._settle(0)

    def receive(self) -> None:
        """Read what has come.

        Raises:
            RuntimeError: The server has ended the stream.
        """
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise RuntimeError("the server closed the connection")
        data, start = self._frames + data, 0
        while len(data) >= start + FRAME_HEAD:
            end = start + FRAME_HEAD + int.from_bytes(data[start : start + 3], "big")
            if len(data) < end:
                break
            self._take(
                Frame(
                    data[start + 3],
                    data[start + 4],
                    data[start + 8],
                    data[start + FRAME_HEAD : end],
                )
            )
            start = end
        self._frames = data[start:]

    def _take(self, frame: Frame) -> None:
        if frame.kind == DATA:
            self._count(frame.payload)
            self._settle(len(frame.payload))
        elif frame.kind in {SETTINGS, PING} and not frame.flags & ACK:
            self.socket.sendall(
                Frame(frame.kind, ACK, 0, frame.payload if frame.kind == PING else b"").encode()
            )
        elif frame.kind in {RST_STREAM, GOAWAY} or (
            frame.kind == HEADERS and frame.flags & END_STREAM
        ):
            raise RuntimeError(f"the server ended the stream: {frame}")

    def _count(self, data: bytes) -> None:
        data, start = self._messages + data, 0
        while len(data) >= start + MESSAGE_HEAD:
            end = (
                start + MESSAGE_HEAD + int.from_bytes(data[start + 1 : start + MESSAGE_HEAD], "big")
            )
            if len(data) < end:
                break
            self.events += 1
            start = end
        self.size_bytes += start
        self._messages = data[start:]

    def _settle(self, size_bytes: int) -> None:
        """Grant the server again the bytes that it has sent."""
        self._owed_bytes += size_bytes
        if self._owed_bytes > WINDOW_BYTES // 2 and not self._is_stalled:
            self._grant(0, self._owed_bytes)
            self._grant(STREAM, self._owed_bytes)
            self._owed_bytes = 0

    def _grant(self, stream: int, size_bytes: int) -> None:
        self.socket.sendall(Frame(WINDOW_UPDATE, 0, stream, size_bytes.to_bytes(4, "big")).encode())


def drain(clients: list[Client], count: int, *, is_stalled: bool) -> tuple[float, float]:
    """Read until all clients have their events; return when the first and the last came."""
    first_s = last_s = 0.0
    waiting = len(clients)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        if is_stalled:
            selector.register(sys.stdin, selectors.EVENT_READ)
        while waiting:
            time.sleep(GATHER_S)
            for key, _ in selector.select():
                if key.data is None:
                    sys.stdin.readline()
                    selector.unregister(sys.stdin)
                    for client in clients:
                        client.release()
                    first_s = time.monotonic()
                    continue
                before = key.data.events
                key.data.receive()
                last_s = time.monotonic()
                if before < key.data.events:
                    first_s = first_s or last_s
                    waiting -= key.data.events >= count > before
    return first_s, last_s


def main() -> None:
    """Read until every client has its events; keep the connections until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("name")
    parser.add_argument("config")
    parser.add_argument("count", type=int)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--stalled", action="store_true")
    arguments = parser.parse_args()
    request = generic_pb2.EventSource(
        name=arguments.name, config=arguments.config.encode()
    ).SerializeToString()
    clients = [
        Client(arguments.address, is_stalled=arguments.stalled) for _ in range(arguments.clients)
    ]
    print(json.dumps({"clients": len(clients)}), flush=True)
    sys.stdin.readline()
    start_cpu_s = time.process_time()
    for client in clients:
        client.call(request)
    first_s, last_s = drain(clients, arguments.count, is_stalled=arguments.stalled)
    size_bytes = sum(client.size_bytes for client in clients)
    took_cpu_s = time.process_time() - start_cpu_s
    print(
        json.dumps(
            {"first_s": first_s, "last_s": last_s, "size_bytes": size_bytes, "cpu_s": took_cpu_s}
        ),
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main()
