"""An event source and its clients, whose connections fail. Imports no watcher."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from random import Random
from typing import Self

from support.client import Client, Contract, Event, Sink, Stream, wait_until
from support.judge import Judge
from support.relay import Relay
from system.soak.places import Place

LOOK_PAUSE_S = 0.5
"""Pause between two comparisons of all events with the place."""

LAST = "last"


class ReconnectingClient:
    """Connects as the client of Argo Events does, at most once a tick; use it as a context manager.

    It keeps no position. The first connection is made a tick after the start; when a stream has
    ended, the next tick opens another connection.

    Args:
        address: Of the server.
        contract: Of the clients.
        name: Of the event source.
        config: Its configuration.
        tick_s: Seconds between two connections, at least.
        begin: Called for each stream, returns what takes its payloads; none keeps all of them.

    Attributes:
        streams: All, in the order of their beginnings.
    """

    def __init__(
        self,
        address: str,
        contract: Contract,
        name: str,
        config: Event,
        tick_s: float,
        begin: Callable[[], Sink] | None = None,
    ) -> None:
        self.streams: list[Stream] = []
        self._address = address
        self._contract = contract
        self._name = name
        self._config = config
        self._tick_s = tick_s
        self._begin = begin
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.leave()
        self._thread.join()

    @property
    def is_connected(self) -> bool:
        """Whether its last stream is open."""
        return bool(self.streams) and self.streams[-1].is_open

    def leave(self) -> None:
        """Cancel the call, if there is one; the next tick opens another connection."""
        if self.streams:
            self.streams[-1].cancel()

    def _run(self) -> None:
        while not self._is_over.wait(self._tick_s):
            with closing(Client(self._address, self._contract)) as client:
                sink = self._begin() if self._begin else None
                self.streams.append(client.start(self._name, self._config, sink=sink))
                if not self._is_over.is_set():
                    self.streams[-1].wait_end(deadline_s=None)


class Watched:
    """A place that is watched by one client after the other, each behind a relay of its own.

    A payload of its configuration has one event, and existing entries are reported.

    Args:
        relay: Returns a new relay to the server, or to one of several.
        contract: Of the clients.
        name: Of the event source.
        place: What is watched.
        config: How.
        tick_s: Seconds between two connections of a client, at least.

    Attributes:
        judge: Of all that the clients receive.
    """

    def __init__(
        self,
        relay: Callable[[], Relay],
        contract: Contract,
        name: str,
        place: Place,
        config: Event,
        tick_s: float,
    ) -> None:
        self.name = name
        self.judge = Judge()
        self._place = place
        self._make_relay = relay
        self._source = contract, name, config, tick_s, self.judge.begin
        self._stack = ExitStack()
        self._is_frozen = False

    def connect(self) -> None:
        """Start a new client."""
        self._relay = self._stack.enter_context(self._make_relay())
        self._is_frozen = False
        client = ReconnectingClient(self._relay.address, *self._source)
        self._client = self._stack.enter_context(client)

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
            self._client.leave()
        elif kind == "frozen":
            self._relay.freeze()
        else:
            self._relay.stop()
            self._relay.start()
        return kind

    def settle(self) -> None:
        """Wait until the events make the place, and again after a last change.

        Raises:
            AssertionError: They do not, or what was received is wrong otherwise.
        """
        self._wait_complete()
        self._place.put(LAST)
        self._wait_complete()
        assert len(self.judge.uids) == 1, f"ids of {self.judge.uids}"

    def _wait_complete(self) -> None:
        there = self._place.contents()
        try:
            wait_until(
                lambda: self.judge.makes(there), "the events make the place", pause_s=LOOK_PAUSE_S
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.judge.difference(there)}") from error
