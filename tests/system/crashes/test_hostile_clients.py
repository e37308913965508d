"""Slow, impolite and malformed clients: others are served, and nothing of them stays."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc import StatusCode

from support.client import Contract
from support.config import config
from support.events import merged, replay, sequence
from support.files import burst, read_files
from support.fixtures import Connect, StartServer
from support.raw_http2 import RawClient, framed
from support.relay import Relay
from support.server import ServerProcess
from system.abuse.crowd import crowd, read_all

BACKLOG = 2000
PAUSE_S, SHORT_PAUSE_S = 0.05, 0.002
"""Pauses of a slow client after each event, and of one that is waited for to its end."""

READ = 80
"""Events that a slow client reads in four seconds, twice the redelivery window."""

PINGS = 5000


EVENTING = "/generic.Eventing/StartEventSource"
MISTAKES = {
    "no such method": (StatusCode.UNIMPLEMENTED, "/generic.Eventing/StopEventSource", framed(b"")),
    "no such service": (StatusCode.UNIMPLEMENTED, "/generic.Evening/StartEventSource", framed(b"")),
    "no path": (StatusCode.UNIMPLEMENTED, "*", framed(b"")),
    "compressed by nothing": (StatusCode.INTERNAL, EVENTING, framed(b"", is_compressed=True)),
    "4 GiB": (StatusCode.RESOURCE_EXHAUSTED, EVENTING, framed(b"", length=2**32 - 1)),
    "no protobuf": (StatusCode.INVALID_ARGUMENT, EVENTING, framed(b"\xff" * 20)),
    "a name that is no text": (StatusCode.INVALID_ARGUMENT, EVENTING, framed(b"\x0a\x02\xff\xfe")),
    "nothing in it": (StatusCode.INVALID_ARGUMENT, EVENTING, framed(b"")),
}
"""Status, path and body of malformed requests."""

INCOMPLETE = {
    "no message": b"",
    "half a prefix": b"\0\0",
    "half a message": framed(b"\x0a\x04name", length=100),
}
"""Bodies that end too early."""

NO_HTTP2 = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: watcher\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 600,
    "zeros": bytes(100_000),
    "frames of nonsense": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100_000,
}


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server("--redelivery-window", "2s", "--idle-timeout", "1s")


@pytest.fixture
def raw(server: ServerProcess, contract: Contract) -> Iterator[RawClient]:
    with RawClient(server.address, contract) as client:
        yield client


@pytest.mark.usefixtures("ordinary")
def test_slow_client_that_is_cut_off(
    server: ServerProcess, connect: Connect, root: Path, name: str
) -> None:
    """Nothing is confirmed that it had not read; the next client, slow too, gets the rest."""
    burst(root, BACKLOG)
    asked = config(root, existing="report")
    with Relay(f"http://{server.address}") as relay:
        slow = connect(relay, has_fixed_window=True)
        first = slow.start(name, asked, pause_s=PAUSE_S)
        first.wait_count(READ)
        relay.stop()
        first.wait_end()
    slow = connect(server, has_fixed_window=True)
    second = slow.start(name, asked, pause_s=SHORT_PAUSE_S)
    second.wait_for(lambda events: bool(events) and events[-1]["seq"] == BACKLOG)
    second.cancel()
    assert sequence(first.payloads)[-1] < BACKLOG
    assert replay(merged([first.payloads, second.payloads])) == read_files(root)


@pytest.mark.usefixtures("held")
def test_flood_of_pings(
    raw: RawClient, ordinary: Callable[[], None], root: Path, name: str
) -> None:
    """Thousands of pings at once are answered, or the client is disconnected."""
    raw.wait_ready(raw.start(name, config(root)))
    raw.flood_pings(PINGS)
    ordinary()
    raw.wait_until(lambda: raw.is_closed or raw.pongs == PINGS, "all are answered, or refused")


@pytest.mark.parametrize(("status", "path", "body"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.usefixtures("ordinary")
def test_requests_that_are_none(
    raw: RawClient, root: Path, name: str, status: StatusCode, path: str, body: bytes
) -> None:
    """A malformed request gets a gRPC status, and the connection goes on."""
    stream = raw.post(body, path=path)
    raw.wait_over(stream)
    assert stream.status == str(status.value[0])
    assert not stream.messages()
    raw.wait_ready(raw.start(name, config(root)))


@pytest.mark.parametrize("body", INCOMPLETE.values(), ids=INCOMPLETE)
@pytest.mark.usefixtures("ordinary")
def test_requests_that_are_not_complete(
    server: ServerProcess, raw: RawClient, root: Path, name: str, body: bytes
) -> None:
    """A request that ends too early is no stream, and the connection goes on."""
    stream = raw.post(body)
    raw.wait_ready(raw.start(name, config(root)))
    server.wait_streams(2)
    assert not stream.messages()


@pytest.mark.usefixtures("ordinary")
def test_another_content_type(
    server: ServerProcess, raw: RawClient, contract: Contract, root: Path, name: str
) -> None:
    """A request with any content type is read, and answered, as gRPC."""
    request = framed(contract.request(name, config(root)))
    stream = raw.post(request, content_type="text/plain")
    raw.wait_ready(stream)
    assert stream.headers["content-type"] == "application/grpc"
    server.wait_streams(2)


@pytest.mark.parametrize("data", NO_HTTP2.values(), ids=NO_HTTP2)
@pytest.mark.usefixtures("ordinary")
def test_what_is_no_http2(server: ServerProcess, data: bytes) -> None:
    """A connection with another protocol is closed."""
    with crowd(server.address, 1, data) as [connection]:
        read_all(connection)
