"""How a server goes: streams are told, nobody can hold it back, a second signal ends it at once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S, wait_until
from support.raw_http2 import RawClient, framed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Contract, Stream
    from support.server import ServerProcess

STOP_S = 5.0
STREAMS = 100
WAITING = 50_000


@pytest.fixture
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server for one test, which ends it."""
    return start_server()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with fifty thousand files."""
    root = tmp_path_factory.mktemp("crowded")
    for number in range(WAITING):
        if number % 1000 == 0:
            directory = root / f"{number // 1000}"
            directory.mkdir()
        os.close(os.open(directory / f"{number}", os.O_CREAT))
    return root


@pytest.fixture
def blocked(server: ServerProcess, client: Client, crowded: Path, name: str) -> Stream:
    """Start a stream with fifty thousand events before it that reads none of them."""
    config = {"directory": {"path": str(crowded), "mode": "poll"}, "existing": "report"}
    stream = client.start(name, config, is_reading=False)
    server.wait_watch(name, unconfirmed=WAITING, scans=1)
    return stream.ready()


def test_streams_are_told_of_a_stop(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """On SIGTERM a hundred open streams end with UNAVAILABLE within five seconds, and the process exits with 0."""
    streams = [client.start(name, {"directory": str(root)}) for _ in range(STREAMS)]
    for stream in streams:
        stream.ready()
    server.signal(signal.SIGTERM)
    assert server.wait(STOP_S) == 0
    for stream in streams:
        code, details = stream.wait_end()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in details


def test_health_is_told_of_a_stop(server: ServerProcess, client: Client) -> None:
    """Health says SERVING, and NOT_SERVING as soon as the server begins to stop."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answers = stub.Watch(
        health_pb2.HealthCheckRequest(service="generic.Eventing"), timeout=DEADLINE_S
    )
    assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
    server.signal(signal.SIGTERM)
    assert next(answers).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.wait(STOP_S) == 0


def test_health_that_is_not_read(server: ServerProcess, client: Client, contract: Contract) -> None:
    """Clients that ask for health and take no answer keep nobody from learning it, and the server from nothing."""
    request = framed(health_pb2.HealthCheckRequest(service="generic.Eventing").SerializeToString())
    with RawClient(server.address, contract, window_bytes=0) as raw:
        blocked = [raw.post(request, path="/grpc.health.v1.Health/Watch") for _ in range(STREAMS)]
        raw.wait_until(
            lambda: all(":status" in one.headers for one in blocked),
            "all have begun to be answered",
        )
        stub: Any = health_pb2_grpc.HealthStub(client.channel)
        answers = stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
        assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        server.signal(signal.SIGTERM)
        assert next(answers).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.wait(STOP_S) == 0


def test_blocked_stream_does_not_hold_it_back(server: ServerProcess, blocked: Stream) -> None:
    """A client that does not read, with fifty thousand events waiting, does not keep the server from stopping in time."""
    assert blocked.is_open
    server.signal(signal.SIGTERM)
    assert server.wait(STOP_S) == 0


def test_second_interrupt_ends_it_at_once(server: ServerProcess, blocked: Stream) -> None:
    """While a blocked stream keeps the server busy stopping, a second SIGINT ends it by that signal."""
    assert blocked.is_open
    server.signal(signal.SIGINT)
    wait_until(lambda: server.logged("server.stopping"), "the server is stopping")
    server.signal(signal.SIGINT)
    assert server.wait(STOP_S) == -signal.SIGINT


def test_events_are_not_confirmed_to_a_client_that_does_not_read(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """What a client has not read comes again: a stream blocked by flow control confirms nothing that it still has before it."""
    server = start_server("--redelivery-window", "2s")
    config = {"directory": {"path": str(root), "mode": "poll"}, "existing": "report"}
    for number in range(5000):
        os.close(os.open(root / f"{number:04d}", os.O_CREAT))
    blocked = connect(server).start(name, config, is_reading=False)
    server.wait_watch(name, next_seq=5001)
    blocked.ready().cancel()
    stream = connect(server).watch(name, config)
    events = stream.wait_count(5000)
    assert [event["seq"] for event in events] == list(range(1, 5001))
