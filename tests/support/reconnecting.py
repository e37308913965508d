"""A client that connects again and again as the Argo Events client does. Imports no watcher.

It sends name and configuration and knows nothing of where it was. The first connection is made a tick after the start. Whatever goes
wrong, and also the end of a stream, closes the connection, and the next tick makes another, for ever. One thread receives and records.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import grpc

from support.client import Ending, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.client import Contract

TICK_S = 5.0
PAUSE_S = 0.1
"""Between two looks at what has come, all of which may be looked at."""

RECEIVE_BYTES = 4 * 1024 * 1024

OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    # Or a new channel would go on with the connection, and with the backoff, of the one before.
    ("grpc.use_local_subchannel_pool", 1),
)


class Record(NamedTuple):
    """One event as it came.

    Attributes:
        connection: The number of the connection, from 1; one that failed has a number, too.
        payload: Its bytes.
    """

    connection: int
    payload: bytes


class ReconnectingClient:
    """One event source of the Argo Events client; use it as a context manager.

    Args:
        address: ``host:port``.
        contract: What is spoken.
        name: Of the event source.
        config: Its configuration.
        token: Sent as a bearer token; empty for none.
        tick_s: Seconds between two connections, at most.

    Attributes:
        records: What has come, in order.
        endings: How each connection ended.
    """

    def __init__(  # noqa: PLR0913 - what its user configures
        self,
        address: str,
        contract: Contract,
        name: str,
        config: str,
        *,
        token: str = "",
        tick_s: float = TICK_S,
    ) -> None:
        self.records: list[Record] = []
        self.endings: list[Ending] = []
        self._address = address
        self._contract = contract
        self._request = contract.request(name, config.encode())
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._tick_s = tick_s
        self._is_over = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and disconnect."""
        self._is_over.set()
        self.leave()
        self._thread.join()

    def leave(self) -> None:
        """Cancel the call, if there is one; the next tick makes another connection."""
        if self._call is not None:
            self._call.cancel()

    def connections(self) -> list[list[bytes]]:
        """Return what came on each connection, without those on which nothing did."""
        found: dict[int, list[bytes]] = {}
        for connection, payload in list(self.records):
            found.setdefault(connection, []).append(payload)
        return list(found.values())

    def wait_more(self, count: int) -> None:
        """Wait until so many more events have come."""
        end = len(self.records) + count
        self.wait_for(lambda: len(self.records) >= end, f"{count} more events have come")

    def wait_for(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait until something is so; how the connections ended is told if it is not."""
        wait_until(
            is_met,
            f"{what}; {len(self.records)} records, last {self.records[-3:]}, endings {self.endings[-3:]}",
            pause_s=PAUSE_S,
        )

    def _run(self) -> None:
        while not self._is_over.wait(self._tick_s):
            self.endings.append(self._connect(len(self.endings) + 1))

    def _connect(self, number: int) -> Ending:
        with grpc.insecure_channel(self._address, OPTIONS) as channel:
            method: Any = channel.unary_stream(self._contract.path)
            call = self._call = method(self._request, metadata=self._metadata)
            if self._is_over.is_set():
                call.cancel()
            try:
                for answer in call:
                    self.records.append(Record(number, self._contract.event(answer)["payload"]))
            except grpc.RpcError:
                pass  # the ending has its code
            return Ending(call.code(), call.details())
