"""Several streams of one identity at a time, as in a rolling update: duplicates are possible then, losses are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

from support.writing import FILL_NAME, Changes, contents, fill, merged, replayed, sequence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event
    from support.server import ServerProcess

WAITING = 300
"""With ``PADDING`` many more events than flow control lets through to a client that does not read."""

PADDING = {"metadata": {"padding": "x" * 4000}}
UPDATES = 2
ENOUGH = 20


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server that soon confirms."""
    return start_server("--redelivery-window", "1s")


def config(root: Path, **more: object) -> Event:
    """Return a configuration for a directory."""
    return {"directory": {"path": str(root), "settle": "100ms"}, **more}


@pytest.mark.parametrize("count", [2, 10])
def test_all_streams_get_everything(
    server: ServerProcess, connect: Callable[..., Client], root: Path, name: str, count: int
) -> None:
    """Each of several streams gets every event, in the same order and bytes; as long as one has not, the events are not confirmed."""
    streams = [connect(server).watch(name, config(root, **PADDING)) for _ in range(count - 1)]
    slow = (
        connect(server, has_fixed_window=True)
        .start(name, config(root, **PADDING), is_reading=False)
        .ready()
    )
    other = connect(server).watch(f"{name} other", config(root))
    assert server.watches()[name]["streams"] == count
    fill(root, WAITING)
    for stream in streams:
        stream.wait_count(WAITING)
    for number in range(2):
        # Later than all that the quick streams have, this is confirmed; so theirs would be.
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
    paths = [f"{FILL_NAME}/{number}" for number in range(WAITING)]
    assert replayed(merged([slow.payloads])) == dict.fromkeys([*paths, "0", "1"], 0)


def test_another_configuration_has_to_wait(
    server: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """With another configuration the same identity is refused, which the open stream does not feel; then it takes up index and cursor."""
    for path in ("before", "too"):
        (root / path).write_text("1")
    first = connect(server).watch(name, config(root))
    (root / "a").write_text("1")
    first.wait_path("a")
    second = connect(server)
    other = config(
        root, metadata={"team": "data"}, include=["a", "b", "c", "before"], existing="report"
    )
    assert second.refusal(name, other).code is StatusCode.ALREADY_EXISTS
    (root / "b").write_text("1")
    first.wait_path("b")
    assert second.refusal(name, other).code is StatusCode.ALREADY_EXISTS
    assert server.wait_confirmed(name, 2) == 2
    first.cancel()
    (root / "a").write_text("22")
    server.wait_watch(name, streams=0)
    stream = second.watch(name, other)
    (root / "c").write_text("1")
    events = stream.wait_path("c")
    assert [(event["seq"], event["type"], event["path"]) for event in events] == [
        (3, "modified", "a"),
        (4, "created", "c"),
    ]


def test_new_stream_before_the_old_one_ends(
    server: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """While files change, streams that overlap get everything between them, and what each gets is without gaps."""
    streams = [connect(server).watch(name, config(root))]
    with Changes(root):
        for _ in range(UPDATES):
            streams[-1].wait_count(ENOUGH)
            streams.append(connect(server).watch(name, config(root)))
            streams[-1].wait_count(ENOUGH)
            streams[-2].cancel()
    streams[-1].wait_for(
        lambda _: replayed(merged(stream.payloads for stream in streams)) == contents(root),
        "all is told",
    )


def test_new_stream_after_the_old_one_has_ended(
    server: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """While files change, streams that follow each other get everything between them, and twice at most what was not confirmed."""
    streams = [connect(server).watch(name, config(root))]
    confirmed = [0]
    with Changes(root):
        for _ in range(UPDATES):
            streams[-1].wait_count(ENOUGH)
            confirmed.append(server.wait_confirmed(name, confirmed[-1] + ENOUGH))
            streams[-1].cancel()
            streams.append(connect(server).watch(name, config(root)))
    streams[-1].wait_for(
        lambda _: replayed(merged(stream.payloads for stream in streams)) == contents(root),
        "all is told",
    )
    for stream, seq in zip(streams, confirmed, strict=True):
        assert sequence(stream.payloads)[0] > seq
