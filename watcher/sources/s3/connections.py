"""Guards connections to a store: none to a metadata address, and no response without bounds.

Certificates are verified by the authorities that ``trust`` names for the host.

The address behind a name is known only once the connection stands; until then it can change. A read
timeout starts anew with each byte, so a response that trickles could hold its thread for hours. And
the SDK buffers all of a response; it never asks for compressed ones and leaves them as they are.
"""

from __future__ import annotations

import io
from functools import partial, partialmethod
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from watcher.addresses import is_metadata_address, literal_address
from watcher.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from botocore.client import BaseClient

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust

ANSWER_TIMEOUT_S = 60.0
"""Seconds from the end of a request to the last byte of its response."""
ANSWER_MAX_BYTES = 8 * 1024 * 1024
"""Maximum length of a response with its headers in bytes.

1,000 keys of 1,024 bytes take 3 MB URL-encoded, and 6 MB when each byte is written as ``&quot;``
is; the rest of a listing takes less than 1 MB. Parsing takes up to thirty times as much for a
moment.
"""


def guard_connections(client: BaseClient, clock: Clock, trust: Trust) -> None:
    """Bound a client's responses and keep it off metadata addresses; call before the first request.

    A response that is not complete after ``ANSWER_TIMEOUT_S`` fails like a read timeout. One of
    more than ``ANSWER_MAX_BYTES`` fails with an ``UnavailableError``, a name that resolves to a
    metadata address with a ``DeniedError``; the SDK wraps both.

    Args:
        client: Its HTTP session is not public; it holds the proxies and authorities.
        clock: The clock of the server.
        trust: Chooses the authorities for each new connection.
    """
    session = cast("Any", client)._endpoint.http_session  # noqa: SLF001 - see ``client``
    session._pool_classes_by_scheme.update(  # noqa: SLF001 - see ``client``
        http=partial(_Pool, clock), https=partial(_SecurePool, clock, trust)
    )


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
        self._left_bytes = ANSWER_MAX_BYTES

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


class _Connection(AWSHTTPConnection):
    def __init__(self, clock: Clock, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        # The SDK's constructor keeps the class, and restores it after requests with Expect.
        self.response_class = partial(_Response, clock)  # type: ignore[assignment]
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _refuse_metadata_address(self.host, super()._new_conn())


class _SecureConnection(AWSHTTPSConnection):
    def __init__(self, clock: Clock, trust: Trust, origin: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        # As for ``_Connection``.
        self.response_class = partial(_Response, clock)  # type: ignore[assignment]
        self._trust = trust
        self._origin = origin
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        """Connect, trusting the authorities of this moment."""
        if (context := self._trust.context_for(self._origin)) is not None:
            self.ssl_context = context
        super().connect()

    def _new_conn(self) -> socket.socket:
        return _refuse_metadata_address(self.host, super()._new_conn())


# Redirects are returned like any other response. The SDK does that in a way that fails at a 303.
class _Pool(AWSHTTPConnectionPool):
    urlopen = partialmethod(AWSHTTPConnectionPool.urlopen, redirect=False)

    def __init__(self, clock: Clock, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        self.ConnectionCls = partial(_Connection, clock)  # type: ignore[assignment]


class _SecurePool(AWSHTTPSConnectionPool):
    urlopen = partialmethod(AWSHTTPSConnectionPool.urlopen, redirect=False)

    def __init__(self, clock: Clock, trust: Trust, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        host = f"[{self.host}]" if ":" in self.host else self.host
        # Behind a proxy, a connection knows the proxy's host only.
        origin = f"https://{host}:{self.port or 443}"
        self.ConnectionCls = partial(_SecureConnection, clock, trust, origin)  # type: ignore[assignment]


def _refuse_metadata_address(host: str, connected: socket.socket) -> socket.socket:
    """Return a new connection, unless a name resolved to a metadata address.

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
    return connected
