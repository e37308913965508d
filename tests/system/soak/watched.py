"""An event source and its client, to whom things happen, and what it was told by all its connections. Imports no watcher."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from support.client import wait_until
from support.reconnecting import ReconnectingClient
from support.relay import Relay
from support.replaying import replay
from support.writing import merged, sequence

if TYPE_CHECKING:
    from random import Random

    from support.client import Contract, Event
    from system.soak.places import Place

LOOK_PAUSE_S = 0.5
"""Between two looks at all that has come."""

LAST = "last"


class Watched:
    """A place that is watched, by one client after the other.

    Args:
        target: URL of the server.
        contract: What is spoken.
        name: Of the event source.
        place: What is watched.
        config: Of the event source; its payloads hold one event each, and tell of what is there from the start.
        tick_s: See ``ReconnectingClient``.
    """

    def __init__(
        self, target: str, contract: Contract, name: str, place: Place, config: Event, tick_s: float
    ) -> None:
        self.name = name
        self.place = place
        self._target = target
        self._contract = contract
        self._config = json.dumps(config)
        self._tick_s = tick_s
        self._clients: list[ReconnectingClient] = []
        self._stack = ExitStack()
        self._is_frozen = False

    def connect(self) -> None:
        """Let a new client connect."""
        self._relay = self._stack.enter_context(Relay(self._target))
        self._is_frozen = False
        client = ReconnectingClient(
            self._relay.address, self._contract, self.name, self._config, tick_s=self._tick_s
        )
        self._clients.append(self._stack.enter_context(client))

    def disconnect(self) -> None:
        """End the client."""
        self._stack.close()

    def kill(self, chance: Random) -> str:
        """End the connection in one of the ways in which one ends, and return which; the client will make another.

        ``left``: the client cancels the call. ``cut``: it is gone from one moment to the next. ``frozen``: nothing gets through any
        more, and neither side hears of it; this lasts until it is killed again.
        """
        kind = chance.choice(["left", "cut", "frozen"])
        if self._is_frozen:
            kind = "cut"
        self._is_frozen = kind == "frozen"
        if kind == "left":
            self._clients[-1].leave()
        elif kind == "frozen":
            self._relay.freeze()
        else:
            self._relay.stop()
            self._relay.start()
        return kind

    def connections(self) -> list[list[bytes]]:
        """Return the payloads that came on each connection."""
        return [payloads for client in self._clients for payloads in client.connections()]

    def events(self) -> list[Event]:
        """Return what was told, each change once, in order.

        Raises:
            AssertionError: It was not told as promised: with a gap, out of order, in two ways, or with one id for two changes.
        """
        newest = 0
        for payloads in self.connections():
            seqs = sequence(payloads)
            assert seqs[0] <= newest + 1, (
                f"a connection begins with {seqs[0]} although {newest} is the last that has come"
            )
            newest = max(newest, seqs[-1])
        events = merged(self.connections())
        assert len({event["id"] for event in events}) == len(events)
        return events

    def settle(self) -> None:
        """Wait until what was told makes what is there, and again after one more change, which comes after all that was on its way.

        Raises:
            AssertionError: It does not, or was not told as promised.
        """
        self._wait_told()
        self.place.put(LAST)
        self._wait_told()

    def _wait_told(self) -> None:
        files = self.place.contents()
        try:
            wait_until(
                lambda: replay({}, self.events()) == files, "all is told", pause_s=LOOK_PAUSE_S
            )
        except AssertionError as error:
            told = set(replay({}, self.events()).items())
            raise AssertionError(
                f"{error}; told but not there: {told - files.items()}, not told: {files.items() - told}"
            ) from error
