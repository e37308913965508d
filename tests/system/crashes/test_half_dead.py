"""Clients that are gone without having said so are noticed, and what was not confirmed is sent to those that come after them."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.program import Program
from support.relay import Relay
from support.writing import FILL_NAME, fill, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Client, Event
    from support.server import ServerProcess

NOTICED_S = 40.0
"""Twice what is promised, since it takes until then to look."""

GONE = ("stopped", "frozen", "vanished", "blocked")
"""A process that is stopped; and where the network passes nothing on any more, one that waits, one that leaves, one that is sent much."""

MUCH = 500
"""With their padding so many events are more than flow control lets through."""

BEGINNINGS = (b"", b"PRI * HT")
"""Of connections on which nothing more comes."""

BUFFER_BYTES = 65_536


@pytest.fixture
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for one test."""
    return start_server()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Return a directory for each client, and for one that lives."""
    places = {label: tmp_path / label for label in (*GONE, "living")}
    for place in places.values():
        place.mkdir()
        (place / "before").touch()
    return places


@pytest.fixture
def program(server: ServerProcess, places: dict[str, Path], tmp_path: Path) -> Iterator[Program]:
    """Run a client in a process of its own."""
    file = tmp_path / "stopped.json"
    file.write_text(json.dumps(config(places["stopped"])))
    program = Program(
        ("tail", str(file), "--server", server.address, "--json"), dict(os.environ), tmp_path
    )
    yield program
    program.close()


@pytest.fixture
def silent(server: ServerProcess) -> Iterator[list[socket.socket]]:
    """Open connections that never get to a call."""
    host, _, port = server.address.rpartition(":")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection((host, int(port)), NOTICED_S))
            for _ in BEGINNINGS
        ]
        for one, beginning in zip(sockets, BEGINNINGS, strict=True):
            one.sendall(beginning)
        yield sockets


def config(place: Path) -> Event:
    """Return a configuration for a directory, whose events are large."""
    return {"directory": str(place), "existing": "report", "metadata": {"padding": "x" * 1000}}


def test_half_dead_clients_are_noticed(
    server: ServerProcess,
    connect: Callable[..., Client],
    program: Program,
    silent: list[socket.socket],
    places: dict[str, Path],
) -> None:
    """Whoever does not answer any more has no stream after twenty seconds, and has confirmed nothing since; the living is left alone."""
    with Relay(f"http://{server.address}") as relay:
        clients = {label: connect(relay, has_fixed_window=True) for label in GONE[1:]}
        clients["living"] = connect(server)
        streams = {
            label: client.watch(label, config(places[label])) for label, client in clients.items()
        }
        for stream in streams.values():
            stream.wait_path("before")
        program.wait_for(lambda program: program.events)
        server.wait_streams(len(places))

        program.process.send_signal(signal.SIGSTOP)
        relay.freeze()
        clients["vanished"].close()
        fill(places["blocked"], MUCH)
        for place in places.values():
            (place / "after").touch()
        streams["living"].wait_path("after")
        for one in silent:
            while one.recv(BUFFER_BYTES):
                pass
        server.wait_streams(1, NOTICED_S)
        assert streams["living"].is_open
    for label in GONE:
        stream = connect(server).watch(label, config(places[label]))
        if label == "blocked":
            stream.wait_path(f"{FILL_NAME}/0")
        stream.wait_path("after")
        # The first one was read; it comes again unless its window was over before the client was found to be gone.
        assert sequence(stream.payloads)[0] <= 2
