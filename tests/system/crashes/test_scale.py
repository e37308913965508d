"""Many streams and many watches in one server, and what is left of them afterwards."""

from contextlib import closing
from pathlib import Path

import pytest

from support.client import Client, Contract
from support.config import config
from support.files import touch
from support.fixtures import StartServer
from support.server import SLACK, Resources, ServerProcess

STREAMS = 500
EVENTS = 50
PATIENCE_S = 250.0
WATCHES = 100
STREAMS_EACH = 5


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server("--idle-timeout", "1s", "--redelivery-window", "100ms")


# The many clients of this process take the time.
@pytest.mark.timeout(600)
def test_many_streams_share_a_watch(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """Five hundred streams get the same fifty events in the same order."""
    streams = [client.start(name, config(root)) for _ in range(STREAMS)]
    for stream in streams:
        stream.ready()
    assert server.watches()[name]["streams"] == STREAMS
    paths = touch(root, EVENTS, "{:02d}")
    first = streams[0].wait_count(EVENTS, PATIENCE_S)
    assert sorted(event["path"] for event in first) == paths
    assert [event["seq"] for event in first] == list(range(1, EVENTS + 1))
    for stream in streams:
        stream.wait_count(EVENTS, PATIENCE_S)
        assert stream.payloads == streams[0].payloads


def use_many_watches(
    server: ServerProcess, contract: Contract, places: list[Path], label: str
) -> Resources:
    """Run all watches with five streams each, end them, and return what the server holds then."""
    with closing(Client(server.address, contract)) as client:
        streams = [
            (number, client.start(f"n{number}", config(place)))
            for number, place in enumerate(places)
            for _ in range(STREAMS_EACH)
        ]
        for _, stream in streams:
            stream.ready()
        for number, place in enumerate(places):
            (place / f"{label}-{number}").touch()
        for number, stream in streams:
            events = stream.wait_path(f"{label}-{number}")
            assert [event["path"] for event in events] == [f"{label}-{number}"]
            assert stream.names == {f"n{number}"}
        server.wait_all_confirmed()
    server.wait_no_watches()
    return server.resources()


def test_many_watches_leave_nothing_behind(
    server: ServerProcess, contract: Contract, root: Path
) -> None:
    """A hundred watches, run again, take no more threads, descriptors and memory."""
    places = [root / f"{number:02d}" for number in range(WATCHES)]
    for place in places:
        place.mkdir()
    once = use_many_watches(server, contract, places, "once")
    twice = use_many_watches(server, contract, places, "twice")
    assert twice.threads <= once.threads + SLACK.threads
    assert twice.descriptors <= once.descriptors + SLACK.descriptors
    assert twice.memory_bytes <= once.memory_bytes + SLACK.memory_bytes
    # A watch would hold a thread and at least a descriptor.
    assert once.threads < WATCHES
    assert once.descriptors < WATCHES
