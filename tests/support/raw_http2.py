"""A client that speaks HTTP/2 frame by frame, and so can do what no gRPC library would: withhold, flood, and send what is no call."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from support.client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from h2.events import Event

    from support.client import Contract

BUFFER_BYTES = 65_536
PREFIX_BYTES = 5
"""Before each message: whether it is compressed, one byte, and its length, four."""

PING_DATA = b"anybody?"
GRPC = "application/grpc"


def framed(message: bytes, *, length: int | None = None, is_compressed: bool = False) -> bytes:
    """Return a message with the prefix that gRPC puts before it.

    Args:
        message: Its bytes.
        length: What the prefix says of them; None for the truth.
        is_compressed: Likewise.
    """
    return (
        bytes([is_compressed])
        + (len(message) if length is None else length).to_bytes(4, "big")
        + message
    )


class RawStream:
    """What has come on one HTTP/2 stream.

    Args:
        number: Its identifier.

    Attributes:
        number: Likewise.
        headers: Of the answer, and its trailers.
        data: Its body.
        is_over: Whether the server has ended or reset it, or the connection is gone.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.is_over = False

    @property
    def status(self) -> str:
        """The number of the gRPC status, or nothing."""
        return self.headers.get("grpc-status", "")

    def messages(self) -> list[bytes]:
        """Return the whole messages of the body, in order."""
        found, start = [], 0
        while start + PREFIX_BYTES <= len(self.data):
            end = (
                start
                + PREFIX_BYTES
                + int.from_bytes(self.data[start + 1 : start + PREFIX_BYTES], "big")
            )
            if end > len(self.data):
                break
            found.append(bytes(self.data[start + PREFIX_BYTES : end]))
            start = end
        return found


class RawClient:
    """One connection, served by a thread of its own, which also answers pings; use it as a context manager.

    Args:
        address: ``host:port``.
        contract: What is asked for.
        is_acknowledging: Whether to tell the server that what it sent was read; if not, it may send no more than the window.
        window_bytes: How much that is on each stream at first; None for 64 KiB.

    Attributes:
        is_closed: Whether the server has closed the connection.
        pongs: How many pings it has answered.
    """

    def __init__(
        self,
        address: str,
        contract: Contract,
        *,
        is_acknowledging: bool = True,
        window_bytes: int | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self.is_closed = False
        self.pongs = 0
        self._contract = contract
        self._authority = address
        self._is_acknowledging = is_acknowledging
        self._streams: dict[int, RawStream] = {}
        self._news = threading.Condition()
        self._http = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._outgoing = b""
        self._http.initiate_connection()
        if window_bytes is not None:
            self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self._socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection without a word."""
        # It may be closed already; and it is the thread that waits for it.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        for one in (self._socket, self._wake, self._waker):
            one.close()

    def start(self, name: str, config: str, **metadata: str) -> RawStream:
        """Ask for an event source."""
        return self.post(framed(self._contract.request(name, config.encode())), metadata=metadata)

    def post(
        self,
        body: bytes,
        *,
        path: str = "",
        content_type: str = GRPC,
        metadata: Mapping[str, str] = MappingProxyType({}),
        is_whole: bool = True,
    ) -> RawStream:
        """Send one request, and return what will hold the answer.

        Args:
            body: All of it; less than 64 KiB.
            path: Of the method; empty for the contract's.
            content_type: Of the body.
            is_whole: Whether to say that this is all.
            metadata: Of the call.
        """
        with self._news:
            stream = self._post(
                body, path or self._contract.path, content_type, metadata, is_whole=is_whole
            )
            self._streams[stream.number] = stream
        self._waker.send(b"1")
        return stream

    def reset(self, stream: RawStream) -> None:
        """Take a request back."""
        with self._news:
            self._http.reset_stream(stream.number, ErrorCodes.CANCEL)
        self._waker.send(b"1")

    def flood_pings(self, count: int) -> None:
        """Send so many pings at once."""
        with self._news:
            for _ in range(count):
                self._http.ping(PING_DATA)
        self._waker.send(b"1")

    def flood_resets(self, name: str, config: str, count: int) -> None:
        """Ask so many times for an event source, and take it back at once; end early if the server has closed the connection."""
        body = framed(self._contract.request(name, config.encode()))
        for _ in range(count):
            self.wait_until(
                lambda: self.is_closed or self._http.outbound_flow_control_window >= len(body),
                "the server takes more",
            )
            with self._news:
                if self.is_closed:
                    return
                stream = self._post(body, self._contract.path, GRPC, {}, is_whole=True)
                self._http.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._waker.send(b"1")

    def wait_until(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait until what has come satisfies a condition."""
        with self._news:
            assert self._news.wait_for(is_met, DEADLINE_S), f"waited {DEADLINE_S} s until {what}"

    def _post(
        self,
        body: bytes,
        path: str,
        content_type: str,
        metadata: Mapping[str, str],
        *,
        is_whole: bool,
    ) -> RawStream:
        number = self._http.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": self._authority,
            "te": "trailers",
            "content-type": content_type,
            **metadata,
        }
        self._http.send_headers(number, list(headers.items()))
        for start in range(0, len(body), self._http.max_outbound_frame_size):
            self._http.send_data(number, body[start : start + self._http.max_outbound_frame_size])
        if is_whole:
            self._http.end_stream(number)
        return RawStream(number)

    def _run(self) -> None:
        # The server may cut the connection, or say what is no HTTP/2 after a mistake of ours: both are its right.
        with contextlib.suppress(OSError, ProtocolError):
            while self._exchange():
                pass
        with self._news:
            self.is_closed = True
            for stream in self._streams.values():
                stream.is_over = True
            self._news.notify_all()

    def _exchange(self) -> bool:
        """Send and receive what there is, once there is something; tell whether the connection lives."""
        with self._news:
            self._outgoing += self._http.data_to_send()
        readable, writable, _ = select.select(
            [self._socket, self._wake], [self._socket] if self._outgoing else [], []
        )
        if self._wake in readable:
            self._wake.recv(BUFFER_BYTES)
        if writable:
            self._outgoing = self._outgoing[self._socket.send(self._outgoing) :]
        if self._socket not in readable:
            return True
        data = self._socket.recv(BUFFER_BYTES)
        with self._news:
            for event in self._http.receive_data(data):
                self._take(event)
            self._news.notify_all()
        return bool(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, PingAckReceived):
            self.pongs += 1
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            stream.headers |= {str(key): str(value) for key, value in event.headers}
        elif isinstance(event, DataReceived):
            stream.data += event.data
            if self._is_acknowledging and event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded | StreamReset):
            stream.is_over = True
