"""A client that reconnects as the client of Argo Events does. Imports no watcher.

It sends name and configuration, and keeps no position. The first connection is made a tick after
the start. Any error, and the end of a stream, closes the connection; the next tick opens another.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import grpc

from support.client import Contract, Ending, Event, bearer, wait_until

TICK_S = 5.0
PAUSE_S = 0.1
"""Pause between two looks at all records."""

RECEIVE_BYTES = 4 * 1024 * 1024

OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    # Without it a new channel would inherit connection and backoff of the one before.
    ("grpc.use_local_subchannel_pool", 1),
)


class Record(NamedTuple):
    """One received event.

    Attributes:
        connection: Number of the connection, from 1; failed ones count.
        payload: Its payload.
    """

    connection: int
    payload: bytes


class ReconnectingClient:
    """One event source of the Argo Events client; use it as a context manager.

    Args:
        address: ``host:port``.
        contract: The contract to speak.
        name: Name of the event source.
        config: Its configuration.
        token: Bearer token; empty for none.
        tick_s: Most seconds between two connections.

    Attributes:
        records: Received events, in order.
        endings: Status with which each connection ended.
    """

    def __init__(
        self,
        address: str,
        contract: Contract,
        name: str,
        config: str | Event,
        *,
        token: str = "",
        tick_s: float = TICK_S,
    ) -> None:
        self.records: list[Record] = []
        self.endings: list[Ending] = []
        self._address = address
        self._contract = contract
        self._request = contract.request(name, config)
        self._metadata = bearer(token)
        self._tick_s = tick_s
        self._is_over = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.leave()
        self._thread.join()

    def leave(self) -> None:
        """Cancel the call, if there is one; the next tick opens another connection."""
        if self._call is not None:
            self._call.cancel()

    def connections(self) -> list[list[bytes]]:
        """Return the payloads of each connection that had any."""
        found: dict[int, list[bytes]] = {}
        for connection, payload in list(self.records):
            found.setdefault(connection, []).append(payload)
        return list(found.values())

    def wait_more(self, count: int) -> None:
        """Wait for a number of further events."""
        end = len(self.records) + count
        self.wait_for(lambda: len(self.records) >= end, f"{count} more events have come")

    def wait_for(self, is_met: Callable[[], bool], what: str) -> None:
        """Wait for a condition; a failure names the last records and endings."""
        seen = f"{len(self.records)} records, last {self.records[-3:]}"
        wait_until(is_met, f"{what}; {seen}, endings {self.endings[-3:]}", pause_s=PAUSE_S)

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
