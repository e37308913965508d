"""Several streams of one identity, as in a rolling update: duplicates may come, losses may not."""

from pathlib import Path

import pytest

from support.config import config
from support.events import merged, replay
from support.files import burst, read_files
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from support.writer import make_directories, writing

WAITING = 200
"""Padded events that are more than flow control lets through to a stream that does not read."""

PADDING = {"padding": "x" * 4000}
UPDATES = 2
ENOUGH = 20
SEED, ENDLESS, PAUSE_S = 1, 1_000_000, 0.01


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server("--redelivery-window", "1s")


@pytest.mark.parametrize("count", [2, 10])
def test_all_streams_get_everything(
    server: ServerProcess, connect: Connect, root: Path, name: str, count: int
) -> None:
    """Events that one of several streams has not read are not confirmed."""
    asked = config(root, metadata=PADDING)
    streams = [connect(server).watch(name, asked) for _ in range(count - 1)]
    slow = connect(server, has_fixed_window=True).start(name, asked, is_reading=False).ready()
    other = connect(server).watch(f"{name} other", config(root))
    assert server.watches()[name]["streams"] == count
    paths = burst(root, WAITING)
    for stream in streams:
        stream.wait_count(WAITING)
    for number in range(2):
        # These come after all that the quick streams have, which would be confirmed before them.
        (root / f"{number}").touch()
        other.wait_path(f"{number}")
        server.wait_confirmed(f"{name} other", WAITING + number + 1)
    assert server.watches()[name]["unconfirmed"] > 0
    slow.read()
    streams.append(slow)
    for stream in streams:
        stream.wait_count(WAITING + 2)
    server.wait_confirmed(name, WAITING + 2)
    for stream in streams:
        assert stream.payloads == streams[0].payloads
    assert replay(merged([slow.payloads])) == dict.fromkeys([*paths, "0", "1"], 0)


def test_new_stream_before_the_old_one_ends(
    server: ServerProcess, connect: Connect, root: Path, name: str
) -> None:
    make_directories(root)
    streams = [connect(server).watch(name, config(root))]
    with writing(root, SEED, ENDLESS, PAUSE_S):
        for _ in range(UPDATES):
            streams[-1].wait_count(ENOUGH)
            streams.append(connect(server).watch(name, config(root)))
            streams[-1].wait_count(ENOUGH)
            streams[-2].cancel()
    streams[-1].wait_for(
        lambda _: replay(merged(stream.payloads for stream in streams)) == read_files(root),
        "the events make the tree",
    )
