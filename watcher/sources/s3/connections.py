"""Guards connections to a store: none to a metadata address, none that died, bounded responses.

Certificates are verified by the authorities that ``trust`` names for the host.

The address behind a name is known only once the connection stands; until then it can change. A read
timeout starts anew with each byte, so a response that trickles could hold its thread for hours. And
the SDK buffers all of a response; it never asks for compressed ones and leaves them as they are.

NAT gateways and load balancers drop the state of an idle connection without a reset (a Network Load
Balancer of AWS after 350 s, Azure after 240 s). A request sent through it afterwards is lost.
"""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from functools import partial, partialmethod
from http import HTTPStatus
from http.client import HTTPResponse
from queue import LifoQueue
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from watcher.addresses import is_metadata_address, literal_address
from watcher.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from botocore.client import BaseClient
    from botocore.httpsession import URLLib3Session

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust

    _AnyConnection = AWSHTTPConnection | AWSHTTPSConnection | None

ANSWER_TIMEOUT_S = 60.0
"""Seconds from the end of a request to the last byte of its response."""
ANSWER_MAX_BYTES = 8 * 1024 * 1024
"""Maximum length of a response with its headers in bytes.

1,000 keys of 1,024 bytes take 3 MB URL-encoded, and 6 MB when each byte is written as ``&quot;``
is; the rest of a listing takes less than 1 MB. Parsing takes up to thirty times as much for a
moment.
"""
IDLE_MAX_S = 2.0
"""Seconds without a request after which a connection is not used again.

Requests of one scan follow each other faster; nothing on the way forgets a connection so soon.
"""
KEEPALIVE_IDLE_S = 4
"""Seconds without a byte, while a response is waited for, until the peer is probed."""
KEEPALIVE_INTERVAL_S = 2
"""Seconds between two probes."""
KEEPALIVE_PROBES = 3
"""Number of probes without an answer after which a connection is dead."""
DEAD_AFTER_S = KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_PROBES
"""Seconds until a connection whose peer acknowledges nothing is dead, also while it is sent to.

A store that is slow to answer still acknowledges; the read timeout is for such a one.
"""


def guard_connections(
    client: BaseClient,
    clock: Clock,
    trust: Trust,
    on_stream: Callable[[socket.socket], None] | None = None,
) -> None:
    """Bound a client's responses and keep it off metadata addresses; call before the first request.

    A connection that was idle for more than ``IDLE_MAX_S`` is closed instead of used, and one whose
    peer is gone fails after ``DEAD_AFTER_S`` like a read timeout. Both hold for proxies too.
    A response that is not complete after ``ANSWER_TIMEOUT_S`` fails like a read timeout. One of
    more than ``ANSWER_MAX_BYTES`` fails with an ``UnavailableError``, a name that resolves to a
    metadata address with a ``DeniedError``; the SDK wraps both.

    Args:
        client: Its HTTP session is not public; it holds the proxies and authorities.
        clock: The clock of the server.
        trust: Chooses the authorities for each new connection.
        on_stream: Given for a client whose successful responses have no end: only their headers are
            bounded, and the bodies of all other responses. Called with each new connection, which
            any thread may shut down to end what waits for it.
    """
    guard_session(cast("Any", client)._endpoint.http_session, clock, trust, on_stream)  # noqa: SLF001 - see ``client``


def guard_session(
    session: URLLib3Session,
    clock: Clock,
    trust: Trust,
    on_stream: Callable[[socket.socket], None] | None = None,
) -> None:
    """Do the same for the connections of an HTTP session of the SDK."""
    guard = _Guard(clock, trust, on_stream)
    cast("Any", session)._pool_classes_by_scheme.update(  # noqa: SLF001 - its classes are not public
        http=partial(_Pool, guard), https=partial(_SecurePool, guard)
    )


class _Guard(NamedTuple):
    """What the connections of one client have in common; see ``guard_connections``."""

    clock: Clock
    trust: Trust
    on_stream: Callable[[socket.socket], None] | None

    @property
    def response_class(self) -> Any:  # noqa: ANN401 - what the SDK takes for a class
        """What makes a response from a socket."""
        return partial(_Response if self.on_stream is None else _Stream, self.clock)


class _BoundedReader(io.RawIOBase):
    """Reads a response from a socket until its time is over or its size exceeded.

    Args:
        clock: The clock of the server.
        raw: The socket's own reader; urllib3 closes the socket by the state of this one.
        socket: Its timeout covers one read and is shortened towards the end; each request sets it
            anew.
    """

    def __init__(self, clock: Clock, raw: io.RawIOBase, socket: socket.socket) -> None:
        self._clock = clock
        self._raw = raw
        self._socket = socket
        self._deadline_s = clock.monotonic() + ANSWER_TIMEOUT_S
        self._left_bytes: float = ANSWER_MAX_BYTES

    def lift(self) -> None:
        """Read on without bounds but the time of one read."""
        self._deadline_s = self._left_bytes = float("inf")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Receive bytes into a buffer, waiting for the first one.

        Raises:
            TimeoutError: The time of the response is over.
            UnavailableError: The response is too large.
        """
        left_s = self._deadline_s - self._clock.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no end after {ANSWER_TIMEOUT_S:g} s")
        if (timeout_s := self._socket.gettimeout()) is None or left_s < timeout_s:
            self._socket.settimeout(left_s)
        count = cast("Callable[[WriteableBuffer], int | None]", self._raw.readinto)(buffer)
        self._left_bytes -= count or 0
        if self._left_bytes < 0:
            raise UnavailableError(
                f"the answer is larger than {ANSWER_MAX_BYTES >> 20} MiB",
                hint="check endpoint_url and the proxies on the way to the store",
            )
        return count

    def close(self) -> None:
        """Release the socket, which stays open where another response may come through it."""
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, clock: Clock, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(clock, self.fp.detach(), sock))


class _Stream(_Response):
    """A response whose body is a stream without end, if it is a success."""

    def begin(self) -> None:
        """Read the headers, within the bounds."""
        super().begin()
        if self.status == HTTPStatus.OK and self.fp is not None:
            cast("_BoundedReader", self.fp.raw).lift()


class _Connection(AWSHTTPConnection):
    def __init__(self, guard: _Guard, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        # The SDK's constructor keeps the class, and restores it after requests with Expect.
        self.response_class = guard.response_class
        self._on_stream = guard.on_stream
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        """Connect, and pass the connection on where it is for a stream."""
        super().connect()
        if self._on_stream is not None:
            self._on_stream(self.sock)

    def _new_conn(self) -> socket.socket:
        return _prepare(self.host, super()._new_conn())


class _SecureConnection(AWSHTTPSConnection):
    def __init__(self, guard: _Guard, origin: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        # As for ``_Connection``.
        self.response_class = guard.response_class
        self._on_stream = guard.on_stream
        self._trust = guard.trust
        self._origin = origin
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        """Connect, trusting the authorities of this moment; see ``_Connection.connect``."""
        if (context := self._trust.context_for(self._origin)) is not None:
            self.ssl_context = context
        self._trust.loaded.connect(self, super().connect)
        if self._on_stream is not None:
            self._on_stream(self.sock)

    def _new_conn(self) -> socket.socket:
        return _prepare(self.host, super()._new_conn())


class _RecentConnections(LifoQueue[Any]):
    """Holds the idle connections of a pool, and None for each that the pool may open.

    A connection that was idle for too long is closed, and comes out as None.
    """

    def __init__(self, clock: Clock, maxsize: int) -> None:
        super().__init__(maxsize)
        self._clock = clock

    def _put(self, item: _AnyConnection) -> None:
        super()._put((item, self._clock.monotonic()))

    def _get(self) -> _AnyConnection:
        connection: _AnyConnection
        connection, idle_since_s = super()._get()
        if connection is None or self._clock.monotonic() - idle_since_s <= IDLE_MAX_S:
            return connection
        connection.close()
        return None


# Redirects are returned like any other response. The SDK does that in a way that fails at a 303.
class _Pool(AWSHTTPConnectionPool):
    urlopen = partialmethod(AWSHTTPConnectionPool.urlopen, redirect=False)

    def __init__(self, guard: _Guard, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        self.QueueCls = partial(_RecentConnections, guard.clock)  # type: ignore[assignment]
        super().__init__(*args, **kwargs)
        self.ConnectionCls = partial(_Connection, guard)  # type: ignore[assignment]


class _SecurePool(AWSHTTPSConnectionPool):
    urlopen = partialmethod(AWSHTTPSConnectionPool.urlopen, redirect=False)

    def __init__(self, guard: _Guard, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        self.QueueCls = partial(_RecentConnections, guard.clock)  # type: ignore[assignment]
        super().__init__(*args, **kwargs)
        host = f"[{self.host}]" if ":" in self.host else self.host
        # Behind a proxy, a connection knows the proxy's host only.
        origin = f"https://{host}:{self.port or 443}"
        self.ConnectionCls = partial(_SecureConnection, guard, origin)  # type: ignore[assignment]


def _prepare(host: str, connected: socket.socket) -> socket.socket:
    """Return a new connection that fails when its peer is gone.

    Args:
        host: Host of the URL, or of a proxy.
        connected: The connection; nothing has been sent through it.

    Raises:
        DeniedError: The name of the host resolved to a metadata address.
    """
    _refuse_metadata_address(host, connected)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        # What macOS calls TCP_KEEPIDLE.
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", KEEPALIVE_IDLE_S),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", KEEPALIVE_PROBES),
        # In milliseconds. Counts for probes as well, in place of their number; Linux only.
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", DEAD_AFTER_S * 1000),
    ):
        # Some sandboxes do not know each option; without it the read timeout remains.
        if hasattr(socket, name):
            with suppress(OSError):
                connected.setsockopt(level, getattr(socket, name), value)
    return connected


def _refuse_metadata_address(host: str, connected: socket.socket) -> None:
    """Close a new connection if a name resolved to a metadata address.

    Args:
        host: Host of the URL. A literal address was allowed or refused with the spec.
        connected: The connection; nothing has been sent through it.

    Raises:
        DeniedError: The name resolved to such an address; the connection is closed.
    """
    address = connected.getpeername()[0]
    if is_metadata_address(address) and literal_address(host.strip("[]")) is None:
        connected.close()
        raise DeniedError(
            f"resolves to {address}, a link-local or metadata address",
            place=host,
            hint="name another endpoint_url, or allow the address itself with --allow-endpoint",
        )
