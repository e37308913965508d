"""Ten thousand clients, and those that hold open, flood or change their minds, on the gRPC port."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from typing import TYPE_CHECKING

import grpc
import pytest
from hpack import Encoder

from abuse.crowd import asked, crowd, greeting, has_gone, live_unbound, say
from e2e.certificates import Authority
from e2e.client import wait_until
from e2e.raw_client import RawClient, framed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from e2e.client import Client, Contract
    from e2e.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
STREAMS = 10_000
STREAMS_EACH = 100
"""Of one connection: as many as every server of HTTP/2 admits."""

HEADERS, CONTINUATION = 1, 9
FRAME_BYTES = 16_384
FLOOD_FRAMES = 5000
FLOODERS = 4
RECONNECTS = 300
RESETS_EACH = 1500
LARGE_BYTES = 1 * MB
LARGE_REQUESTS = 50
HEADER_BYTES = 10_000
LASTING = ("/grpc.health.v1.Health/Watch", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
"""Other calls that last."""

REQUESTS = 9
SETTINGS_S = 50.0
"""Left to itself, gRPC waits for 60 s."""

HANDSHAKE_S = 90.0
"""The server waits for 20 s; left to itself, gRPC would for 120 s."""

GREETING_S = 600.0
"""Three minutes are the most that a server should wait; a machine may be slow."""


def frame(kind: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2 without flags: a block of headers is not at its end, a stream is neither."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + payload


# A connection that has said who it is takes gRPC 15 KB (buffers, HPACK tables, timers); one that has not, less.
@pytest.mark.parametrize(("first", "most_mb"), [(b"", 250), (greeting(), 350)], ids=["that say nothing", "that ask for nothing"])
def test_ten_thousand_connections(
    server: ServerProcess, abuse: Abuse, many: int, first: bytes, most_mb: int, record_property: Callable[[str, object], None]
) -> None:
    """Ten thousand connections at once, before or after their greeting, hold up nobody."""
    record_property("connections", many)
    with abuse(most_mb * MB), crowd(server.address, many, first) as members:
        wait_until(lambda: server.resources().descriptors >= many, "the server has them all")
        assert len(members) == many


# A thousand are served; a stream is a call of gRPC's core, a task and a place in the watch: 40 KB.
def test_ten_thousand_streams(
    server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    """Ten thousand streams of one client are opened, or refused for their number; all get the next event, and nothing stays of them."""
    text = json.dumps({"directory": str(root)})
    with abuse(120 * MB), ExitStack() as stack:
        streams = []
        for _ in range(STREAMS // STREAMS_EACH):
            raw = stack.enter_context(RawClient(server.address, contract))
            new = [raw.start(name, text) for _ in range(STREAMS_EACH)]
            # More at once would be refused by gRPC, which lets only so many wait.
            raw.wait_until(lambda: all(one.is_over or ":status" in one.headers for one in new), "they are ready or refused")  # noqa: B023 - called here
            streams += [(raw, one) for one in new]
        (root / "one").touch()
        for raw, stream in streams:
            raw.wait_until(lambda: stream.is_over or bool(stream.messages()), "the event is there")  # noqa: B023 - called here
        served = sum(bool(stream.messages()) for _, stream in streams)
        record_property("served", served)
        assert served


# A block of headers is given up at 16 KB or so: what it takes is what is on its way, a few MB for each connection.
def test_headers_without_end(server: ServerProcess, abuse: Abuse) -> None:
    """Who goes on with the headers of a request for ever is cut off, or at least not listened to."""
    start = greeting() + frame(HEADERS, 1, Encoder().encode([(":method", "POST"), (":path", "/"), (":scheme", "http")]))
    more = frame(CONTINUATION, 1, Encoder().encode([("x" * 8, "y" * (FRAME_BYTES - 100))], huffman=False))

    def flood(member: socket.socket) -> bool:
        return all(say(member, more) for _ in range(FLOOD_FRAMES))

    with abuse(200 * MB), crowd(server.address, FLOODERS, start) as members, ThreadPoolExecutor(FLOODERS) as pool:
        list(pool.map(flood, members))


# What the server has to remember of a request that is taken back is a call, until its task has ended.
def test_rapid_resets_on_many_connections(server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str) -> None:
    """Several clients that take back each request at once, thousands of times, keep nobody from being served."""
    text = json.dumps({"directory": str(root)})

    def flood(_: int) -> None:
        with RawClient(server.address, contract) as raw:
            raw.flood_resets(name, text, RESETS_EACH)

    with abuse(120 * MB), ThreadPoolExecutor(FLOODERS) as pool:
        list(pool.map(flood, range(FLOODERS)))


# Each configuration has a watch for a second: a thread, a state file, an inotify instance.
def test_changing_configs(server: ServerProcess, abuse: Abuse, connect: Callable[..., Client], root: Path, name: str) -> None:
    """Who connects again and again, each time with another configuration under the same or another name, leaves no watch behind."""
    with abuse(50 * MB):
        for number in range(RECONNECTS):
            config = {"directory": str(root), "include": [f"*.{number}"], "id": f"id-{number % 10}", "metadata": {"number": number}}
            one = connect(server)
            stream = one.start(name, config)
            if number % 2:
                stream.has_ended_before_it_was_ready()
            one.close()


# A megabyte of headers is never held as a whole.
def test_large_headers(server: ServerProcess, abuse: Abuse, connect: Callable[..., Client], root: Path, name: str) -> None:
    """Headers of a megabyte are refused, and the next request on the connection is served."""
    with abuse(50 * MB):
        one = connect(server)
        for _ in range(LARGE_REQUESTS):
            ending = one.start(name, {"directory": str(root)}, token="x" * LARGE_BYTES).wait_end()
            assert ending.code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}
        one.watch(name, {"directory": str(root)}).cancel()


# One request at a time is there as a whole: as it came, parsed, and for Python.
def test_large_headers_of_who_is_not_bound(server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str) -> None:
    """Who does not acknowledge what the server asks of its clients may send it more, and gets nothing for it."""
    body = framed(contract.request(name, json.dumps({"directory": str(root)}).encode()))
    large = {f"x-{number}": "x" * HEADER_BYTES for number in range(LARGE_BYTES // HEADER_BYTES)}
    with abuse(50 * MB):
        for path in islice(cycle([contract.path, *LASTING]), REQUESTS):
            # One after the other, for who connects and says nothing for a while is sent away.
            with crowd(server.address, 1) as [member]:
                answer = asked(member, path, body, large)
            assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), answer


def test_settings_that_are_never_acknowledged(server: ServerProcess, abuse: Abuse) -> None:
    """Who answers pings, and never says that it keeps to what the server asks of its clients, is sent away, sooner than gRPC would."""
    with abuse(50 * MB), crowd(server.address, 1) as [member]:
        member.settimeout(SETTINGS_S)
        live_unbound(member)


def test_connections_that_never_shake_hands(start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """Who connects to a port with TLS and never begins a handshake is sent away, too, and sooner than gRPC would by itself."""
    pair = Authority(tmp_path).issue("server")
    server = start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with crowd(server.address, 20) as members:
        wait_until(lambda: all(has_gone(member) for member in members), "the server has had enough", HANDSHAKE_S, pause_s=1.0)


def test_connections_that_never_greet(server: ServerProcess, abuse: Abuse) -> None:
    """Who connects and never says anything is sent away in the end."""
    with abuse(50 * MB), crowd(server.address, 20) as members:
        wait_until(lambda: all(has_gone(member) for member in members), "the server has had enough", GREETING_S, pause_s=1.0)
