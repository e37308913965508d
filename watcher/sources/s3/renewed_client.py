"""Keeps the client of one service, and makes another one when its credentials have expired."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from botocore.exceptions import ClientError

from watcher.errors import WatcherError
from watcher.sources.s3.errors import has_expired

if TYPE_CHECKING:
    from collections.abc import Callable

    Response = TypeVar("Response")


class _Client(Protocol):
    def close(self) -> None: ...


ClientT = TypeVar("ClientT", bound=_Client)


class RenewedClient(Generic[ClientT]):
    """A client that several threads send requests with.

    Args:
        make: Makes one with the credentials of that moment; called by one thread at a time.
    """

    def __init__(self, make: Callable[[], ClientT]) -> None:
        self._make = make
        self._client: ClientT | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make a client unless there is one.

        Raises:
            Exception: That of ``make``.
        """
        self._find()

    def close(self) -> None:
        """Close the connections that are not in use; the next request makes a new client."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def send(self, send: Callable[[ClientT], Response], *, may_renew: bool = True) -> Response:
        """Send a request, and once more with present credentials if they have expired.

        Args:
            send: Sends it; called from the same thread.
            may_renew: Whether it may be sent once more.

        Raises:
            Exception: That of ``send``, or of ``make``.
        """
        client = self._find()
        try:
            return send(client)
        except (ClientError, WatcherError) as error:
            if not (has_expired(error) and may_renew):
                raise
            return send(self._find(expired=client))

    def _find(self, expired: ClientT | None = None) -> ClientT:
        """Return a client with present credentials; the first thread that needs one makes it."""
        with self._lock:
            former = self._client
            if former is None or former is expired:
                self._client = client = self._make()
                if former is not None:
                    former.close()
                return client
            return former
