"""Fixtures of the tests with clients that do not behave: one that does is served beside them, and nothing of them stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Client
    from support.server import Resources, ServerProcess

SLACK_THREADS = 8
SLACK_DESCRIPTORS = 16
"""How much more a server may hold afterwards: sizes of pools."""


@pytest.fixture
def ordinary(
    server: ServerProcess, client: Client, connect: Callable[..., Client], tmp_path: Path, name: str
) -> Iterator[Callable[[], None]]:
    """Stream to a client that behaves, and return what makes sure that it is served, and so is one that connects anew."""
    place = tmp_path / "ordinary"
    place.mkdir()
    stream = client.watch(f"{name} ordinary", {"directory": str(place)})

    def is_served() -> None:
        number = len(stream.events)
        (place / f"{number}").touch()
        assert [event["path"] for event in stream.wait_count(number + 1)][number:] == [f"{number}"]
        wait_until(is_let_in, "a new stream is served")

    def is_let_in() -> bool:
        # Behind thousands of calls that wait to be looked at, gRPC refuses some that come; who is refused asks again, as all clients do.
        newcomer = connect(server, token=client.token)
        is_refused = newcomer.start(
            f"{name} anew", {"directory": str(place)}
        ).has_ended_before_it_was_ready()
        newcomer.close()
        return not is_refused

    is_served()
    yield is_served
    is_served()
    stream.cancel()
    server.wait_streams(0)


@pytest.fixture
def held(server: ServerProcess, ordinary: Callable[[], None]) -> Iterator[Resources]:
    """Return what the server holds before a test; it must not hold more afterwards."""
    ordinary()
    server.wait_streams(1)
    before = server.resources()
    yield before

    def is_back() -> bool:
        now = server.resources()
        return (
            now.threads <= before.threads + SLACK_THREADS
            and now.descriptors <= before.descriptors + SLACK_DESCRIPTORS
        )

    wait_until(lambda: len(server.watches()) == 1, "only the watch of the ordinary client is left")
    wait_until(is_back, "threads and descriptors are back")
