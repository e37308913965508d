"""Connections to a store: none to where a cloud keeps its secrets, and none without bounds. Knows urllib3 and how the SDK uses it.

What a name resolves to is known when somebody has answered, and not before: until then it can change. A read timeout begins anew with
each byte, so that by itself an answer which trickles would hold its thread for hours. And the SDK keeps all that comes; compressed
answers, for which it does not ask, it leaves as they are.
"""

from __future__ import annotations

import io
import time
from functools import partialmethod
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
    from mypy_boto3_s3 import S3Client

ANSWER_TIMEOUT_S = 60.0
"""For an answer from the end of its request to its last byte."""
ANSWER_MAX_BYTES = 8 * 1024 * 1024
"""Of an answer with its headers. 1,000 keys of 1,024 bytes take 3 MB when they are URL-encoded, and 6 MB when each of their bytes is
written as ``&quot;`` is; what else a listing says of them takes less than 1 MB. Reading it takes up to thirty times as much for a moment.
"""


def guard_connections(client: S3Client) -> None:
    """Bound a client's answers, and refuse to send anything to a privileged address; call it before the first request.

    An answer comes within ``ANSWER_TIMEOUT_S``, or its request fails as by a read timeout. It has no more than ``ANSWER_MAX_BYTES``, or
    the request fails with an ``UnavailableError``; where a name leads to such an address, with a ``DeniedError``. The SDK wraps both.

    Args:
        client: Its session is not offered by the SDK, and knows proxies and authorities.
    """
    session = cast("Any", client)._endpoint.http_session  # noqa: SLF001 - see above
    session._pool_classes_by_scheme.update(http=_Pool, https=_SecurePool)  # noqa: SLF001


class _BoundedReader(io.RawIOBase):
    """What a socket receives before a time is over, and no more than an answer may have.

    Args:
        raw: The socket's own reader; what is read of it decides when the socket is closed.
        socket: Its timeout is that of one read, and is shortened towards the end; each request sets it anew.
    """

    def __init__(self, raw: io.RawIOBase, socket: socket.socket) -> None:
        self._raw = raw
        self._socket = socket
        self._deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        self._left_bytes = ANSWER_MAX_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Receive what is there, or wait for it.

        Raises:
            TimeoutError: Nothing came in time.
            UnavailableError: Too much has come.
        """
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no end after {ANSWER_TIMEOUT_S:g} s")
        if (timeout_s := self._socket.gettimeout()) is None or left_s < timeout_s:
            self._socket.settimeout(left_s)
        count = cast("Callable[[WriteableBuffer], int | None]", self._raw.readinto)(buffer)
        self._left_bytes -= count or 0
        if self._left_bytes < 0:
            message = f"the answer is larger than {ANSWER_MAX_BYTES >> 20} MiB"
            raise UnavailableError(
                message, hint="check endpoint_url and the proxies on the way to the store"
            )
        return count

    def close(self) -> None:
        """Let go of the socket, which stays open for the next answer where that may come."""
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - of no interest here
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))


class _Connection(AWSHTTPConnection):
    response_class = _Response  # type: ignore[assignment]  # the stubs would have the class for requests with Expect

    def _new_conn(self) -> socket.socket:
        return _refuse_privileged(self.host, super()._new_conn())


class _SecureConnection(AWSHTTPSConnection):
    response_class = _Response  # type: ignore[assignment]  # the stubs would have the class for requests with Expect

    def _new_conn(self) -> socket.socket:
        return _refuse_privileged(self.host, super()._new_conn())


# An answer that sends elsewhere is handed on like any other. The SDK has it so in a way of its own, which fails at a 303.
class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection
    urlopen = partialmethod(AWSHTTPConnectionPool.urlopen, redirect=False)


class _SecurePool(AWSHTTPSConnectionPool):
    ConnectionCls = _SecureConnection
    urlopen = partialmethod(AWSHTTPSConnectionPool.urlopen, redirect=False)


def _refuse_privileged(host: str, connected: socket.socket) -> socket.socket:
    """Return a connection through which nothing has been sent yet, unless a name led to a privileged address.

    Args:
        host: What was asked for. An address that is given as such was allowed before, or it was not.
        connected: What came of it.

    Raises:
        DeniedError: It is closed then.
    """
    address = connected.getpeername()[0]
    if is_metadata_address(address) and literal_address(host.strip("[]")) is None:
        connected.close()
        message = f"it leads to {address}, where machines and clouds keep what is theirs"
        raise DeniedError(
            message,
            place=host,
            hint="name another endpoint_url, or allow the address itself with --allow-endpoint",
        )
    return connected
