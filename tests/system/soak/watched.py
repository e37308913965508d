"""An event source and its clients, whose connections fail. Imports no watcher."""

import threading
from contextlib import ExitStack, closing
from random import Random
from typing import Self

from support.client import Client, Contract, Event, Stream, wait_until
from support.events import merged, replay
from support.relay import Relay
from system.soak.places import Place

LOOK_PAUSE_S = 0.5
"""Pause between two comparisons of all events with the place."""

LAST = "last"


class ReconnectingClient:
    """Connects as the client of Argo Events does, at most once a tick; use it as a context manager.

    It keeps no position. The first connection is made a tick after the start; when a stream has
    ended, the next tick opens another connection.
    """

    def __init__(
        self, address: str, contract: Contract, name: str, config: Event, tick_s: float
    ) -> None:
        self.streams: list[Stream] = []
        self._address = address
        self._contract = contract
        self._name = name
        self._config = config
        self._tick_s = tick_s
        self._is_over = threading.Event()
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
        if self.streams:
            self.streams[-1].cancel()

    def _run(self) -> None:
        while not self._is_over.wait(self._tick_s):
            with closing(Client(self._address, self._contract)) as client:
                self.streams.append(client.start(self._name, self._config))
                if not self._is_over.is_set():
                    self.streams[-1].wait_end(deadline_s=None)


class Watched:
    """A place that is watched by one client after the other, through a relay to the server's URL.

    A payload of its configuration has one event, and existing entries are reported.
    """

    def __init__(
        self, target: str, contract: Contract, name: str, place: Place, config: Event, tick_s: float
    ) -> None:
        self.name = name
        self.place = place
        self._target = target
        self._source = contract, name, config, tick_s
        self._clients: list[ReconnectingClient] = []
        self._stack = ExitStack()
        self._is_frozen = False

    def connect(self) -> None:
        """Start a new client."""
        self._relay = self._stack.enter_context(Relay(self._target))
        self._is_frozen = False
        client = ReconnectingClient(self._relay.address, *self._source)
        self._clients.append(self._stack.enter_context(client))

    def disconnect(self) -> None:
        """Stop the client."""
        self._stack.close()

    def kill(self, chance: Random) -> str:
        """End the connection in a random way, and return which; the client will open another.

        ``left``: the client cancels the call. ``cut``: the connection breaks. ``frozen``: nothing
        gets through any more, unnoticed, until the next kill cuts it.
        """
        kind = "cut" if self._is_frozen else chance.choice(["left", "cut", "frozen"])
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
        """Return the payloads of each connection."""
        return [list(stream.payloads) for client in self._clients for stream in client.streams]

    def events(self) -> list[Event]:
        """Return the received events, each once, in order."""
        return merged(self.connections())

    def settle(self) -> None:
        """Wait until the events make the place, and again after a last change."""
        self._wait_complete()
        self.place.put(LAST)
        self._wait_complete()

    def _wait_complete(self) -> None:
        there = self.place.contents().items()
        try:
            wait_until(
                lambda: replay(self.events()).items() == there,
                "the events make the place",
                pause_s=LOOK_PAUSE_S,
            )
        except AssertionError as error:
            reported = replay(self.events()).items()
            difference = f"invented {reported - there}, missing {there - reported}"
            raise AssertionError(f"{error}; {difference}") from error
