"""Fixtures of tests with clients that misbehave: an ordinary client beside them must be served."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import Client, wait_until
from support.config import config
from support.fixtures import Connect
from support.server import SLACK, Resources, ServerProcess


@pytest.fixture
def ordinary(
    server: ServerProcess, client: Client, connect: Connect, tmp_path: Path, name: str
) -> Iterator[Callable[[], None]]:
    """Return a check that an ordinary stream is served, and so is a new one."""
    place = tmp_path / "ordinary"
    place.mkdir()
    stream = client.watch(f"{name} ordinary", config(place))

    def is_served() -> None:
        number = len(stream.events)
        (place / f"{number}").touch()
        assert [event["path"] for event in stream.wait_count(number + 1)][number:] == [f"{number}"]
        wait_until(is_admitted, "a new stream is served")

    def is_admitted() -> bool:
        # gRPC refuses some calls behind thousands that wait; every client tries again then.
        newcomer = connect(server, token=client.token)
        is_served = newcomer.is_admitted(f"{name} anew", config(place))
        newcomer.close()
        return is_served

    is_served()
    yield is_served
    is_served()
    stream.cancel()
    server.wait_streams(0)


@pytest.fixture
def held(server: ServerProcess, ordinary: Callable[[], None]) -> Iterator[None]:
    """Check that a test leaves no threads, descriptors and watches behind."""
    ordinary()
    server.wait_streams(1)
    before = server.resources()
    yield

    def is_back(now: Resources) -> bool:
        return (
            now.threads <= before.threads + SLACK.threads
            and now.descriptors <= before.descriptors + SLACK.descriptors
        )

    wait_until(lambda: len(server.watches()) == 1, "only the ordinary client's watch is left")
    wait_until(lambda: is_back(server.resources()), "threads and descriptors are back")
