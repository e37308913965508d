"""Clients that vanish silently are noticed; their successors get what was not confirmed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Event
from support.config import config
from support.events import sequence
from support.files import burst
from support.fixtures import Connect, StartServer
from support.program import Program
from support.relay import Relay
from support.server import ServerProcess

NOTICED_S = 60.0
"""Three times what is promised, since a look takes until then, and a machine may be slow."""

GONE = ("stopped", "frozen", "vanished", "blocked")
"""A stopped process, and behind a dead network three clients: waiting, leaving, reading much."""

MUCH = 500
"""Events that, with their padding, flow control does not let through."""


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    return start_server()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Make a directory for each client, and for one that lives."""
    places = {label: tmp_path / label for label in (*GONE, "living")}
    for place in places.values():
        place.mkdir()
        (place / "before").touch()
    return places


def padded(place: Path) -> Event:
    """Return a configuration whose events are large."""
    return config(place, existing="report", metadata={"padding": "x" * 1000})


@pytest.fixture
def program(server: ServerProcess, places: dict[str, Path], tmp_path: Path) -> Iterator[Program]:
    """Run a client as a process."""
    file = tmp_path / "stopped.json"
    file.write_text(json.dumps(padded(places["stopped"])))
    command = ("tail", str(file), "--server", server.address, "--json")
    with Program(command, dict(os.environ), tmp_path) as program:
        yield program


def test_half_dead_clients_are_noticed(
    server: ServerProcess,
    connect: Connect,
    program: Program,
    places: dict[str, Path],
) -> None:
    """After twenty seconds without an answer their streams end, and nothing more is confirmed."""
    with Relay(f"http://{server.address}") as relay:
        clients = {label: connect(relay, has_fixed_window=True) for label in GONE[1:]}
        clients["living"] = connect(server)
        streams = {
            label: client.watch(label, padded(places[label])) for label, client in clients.items()
        }
        for stream in streams.values():
            stream.wait_path("before")
        program.wait_for(lambda program: program.events)
        server.wait_streams(len(places))

        program.process.send_signal(signal.SIGSTOP)
        relay.freeze()
        clients["vanished"].close()
        first, *_ = burst(places["blocked"], MUCH)
        for place in places.values():
            (place / "after").touch()
        streams["living"].wait_path("after")
        server.wait_streams(1, NOTICED_S)
        assert streams["living"].is_open
    for label in GONE:
        stream = connect(server).watch(label, padded(places[label]))
        if label == "blocked":
            stream.wait_path(first)
        stream.wait_path("after")
        # The first event was read; it comes again unless its window was over in time.
        assert sequence(stream.payloads)[0] <= 2
