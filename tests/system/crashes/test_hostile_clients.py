"""Clients that are slow, or break rules, or none but those of politeness: the others do not feel it, and nothing of them stays."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest
from grpc import StatusCode

from support.client import DEADLINE_S
from support.raw_http2 import RawClient, framed
from support.relay import Relay
from support.writing import FILL_NAME, contents, fill, merged, replayed, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Client, Contract, Event
    from support.server import ServerProcess

WAITING = 4000
PADDING = {"metadata": {"padding": "x" * 4000}}
PARTS = 4
"""Times that ``WAITING`` events of 17 MB wait; flow control lets 14 events through."""

WINDOW_BYTES = 65_535
"""Of HTTP/2, as long as nothing else was agreed upon."""

BACKLOG = 2000
PAUSE_S = 0.05
SHORT_PAUSE_S = 0.002
"""Of a client that is slow, but can be waited for to its end."""

READ = 80
"""So many events take four seconds, in which what is confirmed too early would be."""

PINGS = 5000
RESETS = 2000
RESETS_LATE = 100

SLACK_BYTES = 32 * 1024 * 1024
"""How much more a server may hold while more waits: sizes of pools, arenas and buffers."""

BUFFER_BYTES = 65_536
"""What a test reads at once."""


class Mistake(NamedTuple):
    """A request that is none.

    Attributes:
        status: The gRPC status that it gets.
        length: What its prefix says; None for the truth.
        is_compressed: Likewise.
        path: Of the method; empty for the contract's.
        message: Its bytes; None for a good one.
    """

    status: StatusCode
    length: int | None = None
    is_compressed: bool = False
    path: str = ""
    message: bytes | None = None


MISTAKES = {
    "no such method": Mistake(StatusCode.UNIMPLEMENTED, path="/generic.Eventing/StopEventSource"),
    "no such service": Mistake(StatusCode.UNIMPLEMENTED, path="/generic.Evening/StartEventSource"),
    "no path": Mistake(StatusCode.UNIMPLEMENTED, path="*"),
    "compressed by nothing": Mistake(StatusCode.INTERNAL, is_compressed=True),
    "a prefix of four gigabytes": Mistake(StatusCode.RESOURCE_EXHAUSTED, length=2**32 - 1),
    "no protobuf": Mistake(StatusCode.INVALID_ARGUMENT, message=b"\xff" * 20),
    "a name that is no text": Mistake(StatusCode.INVALID_ARGUMENT, message=b"\x0a\x02\xff\xfe"),
    "nothing in it": Mistake(StatusCode.INVALID_ARGUMENT, message=b""),
}

INCOMPLETE = {
    "no message": b"",
    "half a prefix": b"\0\0",
    "half a message": framed(b"\x0a\x04name", length=100),
}
"""Bodies after whose end nothing comes."""

NO_HTTP2 = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: watcher\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 600,
    "zeros": bytes(100_000),
    "frames of nonsense": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100_000,
}


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server that soon confirms, and lets watches go after a second."""
    return start_server("--redelivery-window", "2s", "--idle-timeout", "1s")


@pytest.fixture
def raw(server: ServerProcess, contract: Contract) -> Iterator[RawClient]:
    """Connect a client that may do anything."""
    with RawClient(server.address, contract) as client:
        yield client


def config(root: Path, **more: object) -> Event:
    """Return a configuration for a directory."""
    return {"directory": {"path": str(root), "settle": "100ms"}, **more}


def test_client_that_takes_nothing(
    server: ServerProcess,
    connect: Callable[..., Client],
    contract: Contract,
    ordinary: Callable[[], None],
    root: Path,
) -> None:
    """A client that never lets more come stops its own stream only; memory does not grow with what waits, and the next one gets it."""
    name, text = "held back", json.dumps(config(root, **PADDING))
    stream = connect(server).watch(name, text)
    with RawClient(server.address, contract, is_acknowledging=False) as raw:
        withheld = raw.start(name, text)
        raw.wait_until(lambda: ":status" in withheld.headers, "the stream is ready")
        memory_bytes = []
        for part in range(1, PARTS + 1):
            (root / f"{part}").mkdir()
            fill(root / f"{part}", WAITING)
            stream.wait_count(part * WAITING)
            memory_bytes.append(server.resources().memory_bytes)
        raw.wait_until(
            lambda: len(withheld.data) == WINDOW_BYTES, "all has come that the client lets"
        )
        ordinary()
        # What reading and writing a thousand events takes is there after the first part.
        assert memory_bytes[-1] <= memory_bytes[0] + SLACK_BYTES
        stream.cancel()
    server.wait_streams(1)
    read = sequence(contract.event(message)["payload"] for message in withheld.messages())
    after = connect(server).watch(name, text)
    after.wait_for(lambda events: bool(events) and events[-1]["seq"] == PARTS * WAITING)
    assert read[0] == 1
    assert sequence(after.payloads)[0] <= read[-1] + 1
    after.cancel()


@pytest.mark.usefixtures("ordinary")
def test_slow_client_that_is_cut_off(
    server: ServerProcess, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Of two thousand events none is confirmed that a slow client had not read when it was cut off; the next, slow too, gets the rest."""
    fill(root, BACKLOG)
    with Relay(f"http://{server.address}") as relay:
        first = connect(relay, has_fixed_window=True).start(
            name, config(root, existing="report"), pause_s=PAUSE_S
        )
        first.wait_count(READ)
        relay.stop()
        first.wait_end()
    second = connect(server, has_fixed_window=True).start(
        name, config(root, existing="report"), pause_s=SHORT_PAUSE_S
    )
    second.wait_for(lambda events: bool(events) and events[-1]["seq"] == BACKLOG)
    second.cancel()
    read = sequence(first.payloads)
    assert read[0] == 1
    assert read[-1] < BACKLOG
    assert sequence(second.payloads)[0] <= read[-1] + 1
    told = replayed(merged([first.payloads, second.payloads]))
    assert told == {
        f"{FILL_NAME}/{path}": size for path, size in contents(root / FILL_NAME).items()
    }


@pytest.mark.usefixtures("held")
def test_flood_of_pings(
    raw: RawClient, ordinary: Callable[[], None], root: Path, name: str
) -> None:
    """Who sends thousands of pings at once is answered or sent away; the others are served while it lasts and afterwards."""
    stream = raw.start(name, json.dumps(config(root)))
    raw.wait_until(lambda: ":status" in stream.headers, "the stream is ready")
    raw.flood_pings(PINGS)
    ordinary()
    raw.wait_until(
        lambda: raw.is_closed or raw.pongs == PINGS,
        "the server has had enough, or has answered all",
    )


@pytest.mark.usefixtures("held")
def test_flood_of_resets(
    server: ServerProcess, raw: RawClient, ordinary: Callable[[], None], root: Path, name: str
) -> None:
    """Who asks thousands of times and takes it back at once, or as soon as it is answered, leaves nothing and holds nobody up."""
    text = json.dumps(config(root))
    raw.flood_resets(name, text, RESETS)
    ordinary()
    for _ in range(RESETS_LATE):
        stream = raw.start(name, text)
        raw.wait_until(lambda: ":status" in stream.headers, "the stream is ready")  # noqa: B023 - called here
        raw.reset(stream)
    ordinary()
    server.wait_streams(1)
    assert not raw.is_closed


@pytest.mark.parametrize("kind", MISTAKES)
@pytest.mark.usefixtures("ordinary")
def test_requests_that_are_none(
    raw: RawClient, contract: Contract, root: Path, name: str, kind: str
) -> None:
    """A request with a mistake in its form gets a status of gRPC, and the connection goes on."""
    mistake = MISTAKES[kind]
    message = (
        contract.request(name, json.dumps(config(root)).encode())
        if mistake.message is None
        else mistake.message
    )
    body = framed(message, length=mistake.length, is_compressed=mistake.is_compressed)
    stream = raw.post(body, path=mistake.path)
    raw.wait_until(lambda: stream.is_over, "the request is answered")
    assert stream.status == str(mistake.status.value[0])
    assert not stream.messages()
    good = raw.start(name, json.dumps(config(root)))
    raw.wait_until(lambda: ":status" in good.headers, "the stream is ready")


@pytest.mark.parametrize("kind", INCOMPLETE)
@pytest.mark.usefixtures("ordinary")
def test_requests_that_are_not_complete(
    server: ServerProcess, raw: RawClient, root: Path, name: str, kind: str
) -> None:
    """A request that ends too early is no stream; it may go unanswered, and the connection goes on."""
    stream = raw.post(INCOMPLETE[kind])
    good = raw.start(name, json.dumps(config(root)))
    raw.wait_until(lambda: ":status" in good.headers, "the stream is ready")
    server.wait_streams(2)
    assert not stream.messages()


@pytest.mark.usefixtures("ordinary")
def test_another_content_type(
    server: ServerProcess, raw: RawClient, contract: Contract, root: Path, name: str
) -> None:
    """A request is read as gRPC whatever it says that it is, and answered as gRPC."""
    stream = raw.post(
        framed(contract.request(name, json.dumps(config(root)).encode())), content_type="text/plain"
    )
    raw.wait_until(lambda: ":status" in stream.headers, "the stream is ready")
    assert stream.headers["content-type"] == "application/grpc"
    server.wait_streams(2)


@pytest.mark.usefixtures("ordinary")
def test_request_that_is_too_large(client: Client, name: str) -> None:
    """A configuration of two megabytes is RESOURCE_EXHAUSTED."""
    assert client.refusal(name, "#" * 2 * 1024 * 1024).code is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("kind", NO_HTTP2)
@pytest.mark.usefixtures("ordinary")
def test_what_is_no_http2(server: ServerProcess, kind: str) -> None:
    """A connection on which something else is spoken is closed."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE_S) as connection:
        connection.sendall(NO_HTTP2[kind])
        while connection.recv(BUFFER_BYTES):
            pass
