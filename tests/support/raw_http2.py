"""A client that speaks HTTP/2 frame by frame, and so can do what gRPC libraries do not.

It withholds window updates, floods, and sends requests that are malformed.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from support.client import DEADLINE_S, Contract

BUFFER_BYTES = 65_536
PREFIX_BYTES = 5
"""Bytes before each message of gRPC: one compression flag, and four of its length."""

SETTINGS_ACKNOWLEDGED = bytes.fromhex("000000 04 01 00000000")
PING_DATA = b"anybody?"
GRPC = "application/grpc"


def framed(message: bytes, *, length: int | None = None, is_compressed: bool = False) -> bytes:
    """Return a message with its prefix, whose length and compression flag may be wrong."""
    return (
        bytes([is_compressed])
        + (len(message) if length is None else length).to_bytes(4, "big")
        + message
    )


class RawStream:
    """The headers, trailers and body that were received on one HTTP/2 stream."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.is_over = False

    @property
    def status(self) -> str:
        """The number of the gRPC status; empty before there is one."""
        return self.headers.get("grpc-status", "")

    @property
    def is_ready(self) -> bool:
        """Whether the server has answered with headers."""
        return ":status" in self.headers

    def messages(self) -> list[bytes]:
        """Return the complete messages of the body, in order."""
        found, start = [], 0
        while len(head := self.data[start : start + PREFIX_BYTES]) == PREFIX_BYTES:
            end = start + PREFIX_BYTES + int.from_bytes(head[1:], "big")
            if end > len(self.data):
                break
            found.append(bytes(self.data[start + PREFIX_BYTES : end]))
            start = end
        return found


class RawClient:
    """One connection; its thread answers the server's pings. Use it as a context manager.

    Without acknowledging, it sends no window updates for received data. It may also leave the
    server's settings without an acknowledgement.
    """

    def __init__(
        self,
        address: str,
        contract: Contract,
        *,
        is_acknowledging: bool = True,
        acknowledges_settings: bool = True,
        window_bytes: int | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self.is_closed = False
        self.pongs = 0
        self._contract = contract
        self._authority = address
        self._is_acknowledging = is_acknowledging
        self._acknowledges_settings = acknowledges_settings
        self._streams: dict[int, RawStream] = {}
        self._news = threading.Condition()
        self._http = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        if window_bytes is not None:
            self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self._socket = socket.create_connection((host, int(port)))
        self._sending = threading.Lock()
        self._flush()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection without GOAWAY."""
        # It may be closed already. The thread is waiting for it.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        self._socket.close()

    def start(self, name: str, config: str | dict[str, Any], **metadata: str) -> RawStream:
        """Start an event source."""
        return self.post(framed(self._contract.request(name, config)), metadata=metadata)

    def post(
        self,
        body: bytes,
        *,
        path: str = "",
        content_type: str = GRPC,
        metadata: Mapping[str, str] = MappingProxyType({}),
        is_whole: bool = True,
    ) -> RawStream:
        """Send one request of less than 64 KiB, by default to the contract's method."""
        with self._news:
            stream = self._post(
                body, path or self._contract.path, content_type, metadata, is_whole=is_whole
            )
            self._streams[stream.number] = stream
        self._flush()
        return stream

    def flood_pings(self, count: int) -> None:
        """Send a number of pings at once."""
        with self._news:
            for _ in range(count):
                self._http.ping(PING_DATA)
        self._flush()

    def flood_resets(self, name: str, config: str | dict[str, Any], count: int) -> None:
        """Start and cancel an event source a number of times, until the server disconnects."""
        body = framed(self._contract.request(name, config))
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
            self._flush()

    def wait_until(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait for a condition, which is checked whenever something was received."""
        with self._news:
            assert self._news.wait_for(is_met, DEADLINE_S), f"waited {DEADLINE_S} s until {what}"

    def wait_ready(self, *streams: RawStream) -> None:
        """Wait until the server has answered requests with headers."""
        self.wait_until(lambda: all(one.is_ready for one in streams), "the streams are ready")

    def wait_over(self, *streams: RawStream) -> None:
        """Wait until streams have ended."""
        self.wait_until(lambda: all(one.is_over for one in streams), "the streams are over")

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

    def _flush(self) -> None:
        """Send what there is, in order; the thread notices a connection that is closed."""
        with self._sending, contextlib.suppress(OSError):
            with self._news:
                data = self._http.data_to_send()
            if not self._acknowledges_settings:
                # The library does it by itself, each time with the same bytes.
                data = data.replace(SETTINGS_ACKNOWLEDGED, b"")
            self._socket.sendall(data)

    def _run(self) -> None:
        # After malformed frames the server may cut the connection, or send what is no HTTP/2.
        with contextlib.suppress(OSError, ProtocolError):
            while data := self._socket.recv(BUFFER_BYTES):
                with self._news:
                    for event in self._http.receive_data(data):
                        self._take(event)
                    self._news.notify_all()
                self._flush()
        with self._news:
            self.is_closed = True
            for stream in self._streams.values():
                stream.is_over = True
            self._news.notify_all()

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
