"""A server that stops ends its streams in time, whatever its clients do."""

import fcntl
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S, Client, Contract, Stream
from support.config import config
from support.files import touch
from support.fixtures import Connect, StartServer
from support.raw_http2 import RawClient, framed
from support.server import ServerProcess

STOP_S = 15.0
"""Seconds that a stop may take; it takes about one, and Kubernetes waits for 30."""

STREAMS = 100
WAITING = 10_000
"""Events of 400 bytes; a stream takes 64 KiB before its client reads."""

PIPE_BYTES = 4096
"""The least that a pipe can hold."""

LOGGED_STREAMS, NAME_CHARS = 10, 1000
"""Streams, and the length of their names: each logs more than a thousand bytes when it ends."""


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """Start a server for one test, which stops it."""
    return start_server()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with ten thousand files."""
    root = tmp_path_factory.mktemp("crowded")
    for number in range(WAITING // 1000):
        (root / f"{number}").mkdir()
        touch(root / f"{number}", 1000)
    return root


@pytest.fixture
def blocked(server: ServerProcess, client: Client, crowded: Path, name: str) -> Stream:
    """Start a stream for which ten thousand events wait, and which reads none of them."""
    asked = config(crowded, mode="poll", existing="report")
    stream = client.start(name, asked, is_reading=False)
    server.wait_watch(name, unconfirmed=WAITING, scans=1)
    return stream.ready()


def watch_health(client: Client, service: str) -> Any:  # noqa: ANN401 - the stubs know no Watch
    """Return the answers of a health watch, of which the first is SERVING."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    answers = stub.Watch(request, timeout=DEADLINE_S)
    assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
    return answers


def assert_stops(server: ServerProcess, health: Any = None) -> None:  # noqa: ANN401 - answers of a health watch
    """Send SIGTERM; the server exits with 0 in time, and health reports NOT_SERVING before."""
    server.signal(signal.SIGTERM)
    if health is not None:
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.wait(STOP_S) == 0


def test_stop_is_reported(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """A hundred open streams end with UNAVAILABLE, after health has reported the stop."""
    streams = [client.start(name, config(root)) for _ in range(STREAMS)]
    for stream in streams:
        stream.ready()
    assert_stops(server, watch_health(client, "generic.Eventing"))
    for stream in streams:
        code, details = stream.wait_end()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in details


def test_health_that_is_not_read(server: ServerProcess, client: Client, contract: Contract) -> None:
    """Clients that watch health and read no answer hold up neither others nor the stop."""
    request = framed(health_pb2.HealthCheckRequest(service="generic.Eventing").SerializeToString())
    with RawClient(server.address, contract, window_bytes=0) as raw:
        path = "/grpc.health.v1.Health/Watch"
        raw.wait_ready(*[raw.post(request, path=path) for _ in range(STREAMS)])
        assert_stops(server, watch_health(client, ""))


def test_a_blocked_stream(server: ServerProcess, blocked: Stream) -> None:
    """It delays a stop by a moment."""
    assert blocked.is_open
    assert server.metric("watcher_written_payloads_total") < WAITING
    assert_stops(server)


@contextmanager
def half_read(pipe: Path, file: Path, last: str) -> Iterator[None]:
    """Make a pipe, and copy its lines into a file up to one with a text; the others stay unread."""
    os.mkfifo(pipe)
    # Open for both, so that it waits for no writer and has no end.
    with pipe.open("r+b", buffering=0) as lines, file.open("ab", buffering=0) as copy:
        fcntl.fcntl(lines, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

        def copy_lines() -> None:
            for line in lines:
                copy.write(line)
                if last.encode() in line:
                    return

        copying = Thread(target=copy_lines)
        copying.start()
        try:
            yield
        finally:
            if copying.is_alive():
                lines.write(f"{last}\n".encode())
            copying.join()


def test_a_second_signal(
    start_server: StartServer, connect: Connect, root: Path, name: str, tmp_path: Path
) -> None:
    """It ends the process by itself, at any moment of a stop.

    The stop lasts until then: it logs more than its pipe takes, and nobody reads that.
    """
    pipe = tmp_path / "pipe"
    into_pipe = ("sh", "-c", f'exec "$@" >{shlex.quote(str(pipe))} 2>&1', "sh")
    with half_read(pipe, tmp_path / "server.log", "server.stopping"):
        server = start_server(directory=tmp_path, launcher=into_pipe)
        client = connect(server)
        for number in range(LOGGED_STREAMS):
            client.start(f"{name} {number} ".ljust(NAME_CHARS, "."), config(root)).ready()
        server.signal(signal.SIGINT)
        server.wait_logged("server.stopping")
        server.signal(signal.SIGINT)
        assert server.wait(STOP_S) == -signal.SIGINT
