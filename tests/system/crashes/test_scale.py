"""Many streams and many watches in one server, and what is left of them afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client import Client, wait_until
from support.server import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Contract
    from support.server import Resources, ServerProcess

STREAMS = 500
EVENTS = 50
PATIENCE_S = 250.0
WATCHES = 100
STREAMS_EACH = 5


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server that lets watches go after a second."""
    return start_server("--idle-timeout", "1s", "--redelivery-window", "100ms")


# So many clients in one process are what takes its time here.
@pytest.mark.timeout(600)
def test_many_streams_share_a_watch(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """Five hundred streams of one watch are each sent the same fifty events in the same order."""
    streams = [client.start(name, {"directory": str(root)}) for _ in range(STREAMS)]
    for stream in streams:
        stream.ready()
    assert server.watches()[name]["streams"] == STREAMS
    for number in range(EVENTS):
        (root / f"{number:02d}").write_text("1")
    first = streams[0].wait_count(EVENTS, PATIENCE_S)
    assert sorted(event["path"] for event in first) == [f"{number:02d}" for number in range(EVENTS)]
    assert [event["seq"] for event in first] == list(range(1, EVENTS + 1))
    for stream in streams:
        stream.wait_count(EVENTS, PATIENCE_S)
        assert stream.payloads == streams[0].payloads


def use_many_watches(
    server: ServerProcess, contract: Contract, root: Path, label: str
) -> Resources:
    """Run a hundred watches with five streams each, let them go, and return what the server holds then."""
    client = Client(server.address, contract)
    try:
        watched = [
            (number, root / f"{number:02d}")
            for number in range(WATCHES)
            for _ in range(STREAMS_EACH)
        ]
        streams = [
            (number, client.start(f"n{number}", {"directory": str(path)}))
            for number, path in watched
        ]
        for _, stream in streams:
            stream.ready()
        for number in range(WATCHES):
            (root / f"{number:02d}" / f"{label}-{number}").write_text("1")
        for number, stream in streams:
            events = stream.wait_path(f"{label}-{number}")
            assert [event["path"] for event in events] == [f"{label}-{number}"]
            assert stream.names == {f"n{number}"}
        wait_until(
            lambda: not any(watch["unconfirmed"] for watch in server.watches().values()),
            "all is confirmed",
        )
    finally:
        client.close()
    server.wait_no_watches()
    return server.resources()


def test_many_watches_leave_nothing_behind(
    server: ServerProcess, contract: Contract, root: Path
) -> None:
    """Of a hundred watches each stream gets its own event; doing it all again takes no more threads, descriptors and memory."""
    for number in range(WATCHES):
        (root / f"{number:02d}").mkdir()
    once = use_many_watches(server, contract, root, "once")
    twice = use_many_watches(server, contract, root, "twice")
    assert twice.threads <= once.threads + SLACK.threads
    assert twice.descriptors <= once.descriptors + SLACK.descriptors
    assert twice.memory_bytes <= once.memory_bytes + SLACK.memory_bytes
    # Nothing of the watches is left: one would hold a thread and at least a database file.
    assert once.threads < WATCHES
    assert once.descriptors < WATCHES
