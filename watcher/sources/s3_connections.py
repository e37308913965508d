"""Connections to a store: none to where a cloud keeps its secrets, and none that lasts for ever. Knows urllib3 and how the SDK uses it.

What a name resolves to is known when somebody has answered, and not before: until then it can change. A read timeout begins anew with
each byte, so that by itself an answer which trickles would hold its thread for hours.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool

from watcher.endpoints import is_privileged, literal_address
from watcher.errors import DeniedError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

ANSWER_TIMEOUT_S = 60.0
"""For an answer from the end of its request to its last byte."""


def guard_connections(client: S3Client) -> None:
    """Bound a client's answers, and refuse to send anything to a privileged address; call it before the first request.

    An answer comes within ``ANSWER_TIMEOUT_S``, or its request fails as by a read timeout. Where a name leads to such an address, the
    request fails with a ``DeniedError`` that the SDK wraps.

    Args:
        client: Its session is not offered by the SDK, and knows proxies and authorities.
    """
    session = cast("Any", client)._endpoint.http_session  # noqa: SLF001 - see above
    session._pool_classes_by_scheme.update(http=_Pool, https=_SecurePool)  # noqa: SLF001


class _TimedReader(io.RawIOBase):
    """What a socket receives before a time is over.

    Args:
        raw: The socket's own reader; what is read of it decides when the socket is closed.
        socket: Its timeout is that of one read, and is shortened towards the end; each request sets it anew.
    """

    def __init__(self, raw: io.RawIOBase, socket: socket.socket) -> None:
        self._raw = raw
        self._socket = socket
        self._deadline_s = time.monotonic() + ANSWER_TIMEOUT_S

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Receive what is there, or wait for it.

        Raises:
            TimeoutError: Nothing came in time.
        """
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no end after {ANSWER_TIMEOUT_S:g} s")
        if (timeout_s := self._socket.gettimeout()) is None or left_s < timeout_s:
            self._socket.settimeout(left_s)
        return cast("Callable[[WriteableBuffer], int | None]", self._raw.readinto)(buffer)

    def close(self) -> None:
        """Let go of the socket, which stays open for the next answer where that may come."""
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - of no interest here
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Connection(AWSHTTPConnection):
    response_class = _Response  # type: ignore[assignment]  # the stubs would have the class for requests with Expect

    def _new_conn(self) -> socket.socket:
        return _refuse_privileged(self.host, super()._new_conn())


class _SecureConnection(AWSHTTPSConnection):
    response_class = _Response  # type: ignore[assignment]  # the stubs would have the class for requests with Expect

    def _new_conn(self) -> socket.socket:
        return _refuse_privileged(self.host, super()._new_conn())


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(AWSHTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _refuse_privileged(host: str, connected: socket.socket) -> socket.socket:
    """Return a connection through which nothing has been sent yet, unless a name led to a privileged address.

    Args:
        host: What was asked for. An address that is given as such was allowed before, or it was not.
        connected: What came of it.

    Raises:
        DeniedError: It is closed then.
    """
    address = connected.getpeername()[0]
    if is_privileged(address) and literal_address(host.strip("[]")) is None:
        connected.close()
        message = f"it leads to {address}, where machines and clouds keep what is theirs"
        raise DeniedError(message, place=host, hint="name another endpoint_url, or allow the address itself with --allow-endpoint")
    return connected
