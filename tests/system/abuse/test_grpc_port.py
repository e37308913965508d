"""Ten thousand clients, and those that hold open, flood or change their minds, on the gRPC port."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from hpack import Encoder

from support.certificates import Authority
from support.client import wait_until
from support.raw_http2 import RawClient, framed
from system.abuse.crowd import asked, crowd, greeting, has_gone, live_unbound, say

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Client, Contract
    from support.server import ServerProcess

    Abuse = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(900)

MB = 1 << 20
CALLERS, CALLS_EACH, MOST_CALLS = 4, 600, 1000
ENDINGS = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)
"""Of calls without a request; the last is gRPC's own, when many come at once."""

HEADERS, CONTINUATION = 1, 9
FRAME_BYTES = 16_384
FLOOD_FRAMES = 5000
FLOODERS = 4
RECONNECTS = 300
RESETS_EACH = 1500
LARGE_BYTES = 1 * MB
LARGE_REQUESTS = 50
HEADER_BYTES = 10_000
LASTING = (
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""Other calls that last."""

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
@pytest.mark.parametrize(
    ("first", "most_mb"),
    [(b"", 250), (greeting(), 350)],
    ids=["that say nothing", "that ask for nothing"],
)
def test_ten_thousand_connections(
    server: ServerProcess,
    abuse: Abuse,
    many: int,
    first: bytes,
    most_mb: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Ten thousand connections at once, before or after their greeting, hold up nobody."""
    record_property("connections", many)
    with abuse(most_mb * MB), crowd(server.address, many, first) as members:
        wait_until(lambda: server.resources().descriptors >= many, "the server has them all")
        assert len(members) == many


# A call without its request is one of gRPC's core and a task: 22 KB, and up to 16 more for what has come of its request.
def test_calls_without_their_request(
    server: ServerProcess, abuse: Abuse, contract: Contract
) -> None:
    """Calls whose request does not come, or not as a whole, are no more than a thousand at once, and not for long."""
    start = framed(contract.request("half", b"directory: /"), length=60_000)
    with abuse(120 * MB), ExitStack() as stack:
        calls = []
        for number in range(CALLERS):
            raw = stack.enter_context(RawClient(server.address, contract))
            calls += [
                (raw, raw.post(start * (number % 2), is_whole=False)) for _ in range(CALLS_EACH)
            ]
        for raw, call in calls:
            raw.wait_until(lambda: call.is_over, "the call is over")  # noqa: B023 - called here
    endings = Counter(call.status for _, call in calls)
    late, many, taken_back = (str(code.value[0]) for code in ENDINGS)
    assert endings.keys() <= {late, many, taken_back}
    assert 0 < endings[late] <= MOST_CALLS < len(calls)


def test_connections_without_a_call(
    server: ServerProcess, abuse: Abuse, contract: Contract
) -> None:
    """Who is connected, answers all that is asked, and calls nothing, makes room for others after a while."""
    with abuse(50 * MB), RawClient(server.address, contract) as raw:
        raw.wait_until(lambda: raw.is_closed, "the server has had enough")


# A block of headers is given up at 16 KB or so: what it takes is what is on its way, a few MB for each connection.
def test_headers_without_end(server: ServerProcess, abuse: Abuse) -> None:
    """Who goes on with the headers of a request for ever is cut off, or at least not listened to."""
    start = greeting() + frame(
        HEADERS, 1, Encoder().encode([(":method", "POST"), (":path", "/"), (":scheme", "http")])
    )
    more = frame(
        CONTINUATION, 1, Encoder().encode([("x" * 8, "y" * (FRAME_BYTES - 100))], huffman=False)
    )

    def flood(member: socket.socket) -> bool:
        return all(say(member, more) for _ in range(FLOOD_FRAMES))

    with (
        abuse(200 * MB),
        crowd(server.address, FLOODERS, start) as members,
        ThreadPoolExecutor(FLOODERS) as pool,
    ):
        list(pool.map(flood, members))


# What the server has to remember of a request that is taken back is a call, until its task has ended.
def test_rapid_resets_on_many_connections(
    server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str
) -> None:
    """Several clients that take back each request at once, thousands of times, keep nobody from being served."""
    text = json.dumps({"directory": str(root)})

    def flood(_: int) -> None:
        with RawClient(server.address, contract) as raw:
            raw.flood_resets(name, text, RESETS_EACH)

    with abuse(120 * MB), ThreadPoolExecutor(FLOODERS) as pool:
        list(pool.map(flood, range(FLOODERS)))


# Each configuration has a watch for a second: a thread, a state file, an inotify instance.
def test_changing_configs(
    server: ServerProcess, abuse: Abuse, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Who connects again and again, each time with another configuration under the same or another name, leaves no watch behind."""
    with abuse(50 * MB):
        for number in range(RECONNECTS):
            config = {
                "directory": str(root),
                "include": [f"*.{number}"],
                "id": f"id-{number % 10}",
                "metadata": {"number": number},
            }
            one = connect(server)
            stream = one.start(name, config)
            if number % 2:
                stream.has_ended_before_it_was_ready()
            one.close()


# A megabyte of headers is never held as a whole.
def test_large_headers(
    server: ServerProcess, abuse: Abuse, connect: Callable[..., Client], root: Path, name: str
) -> None:
    """Headers of a megabyte are refused, and the next request on the connection is served."""
    with abuse(50 * MB):
        one = connect(server)
        for _ in range(LARGE_REQUESTS):
            ending = one.start(name, {"directory": str(root)}, token="x" * LARGE_BYTES).wait_end()
            assert ending.code in {
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.INTERNAL,
            }
        one.watch(name, {"directory": str(root)}).cancel()


# One request at a time is there as a whole: as it came, parsed, and for Python.
def test_large_headers_of_who_is_not_bound(
    server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str
) -> None:
    """Who does not acknowledge what the server asks of its clients may send it more, and gets nothing for it."""
    body = framed(contract.request(name, json.dumps({"directory": str(root)}).encode()))
    large = {f"x-{number}": "x" * HEADER_BYTES for number in range(LARGE_BYTES // HEADER_BYTES)}
    with abuse(50 * MB):
        for path in (contract.path, *LASTING):
            # One after the other, for who connects and says nothing for a while is sent away.
            with crowd(server.address, 1) as [member]:
                answer = asked(member, path, body, large)
            assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), answer


def test_settings_that_are_never_acknowledged(server: ServerProcess, abuse: Abuse) -> None:
    """Who answers pings, and never says that it keeps to what the server asks of its clients, is sent away, sooner than gRPC would."""
    with abuse(50 * MB), crowd(server.address, 1) as [member]:
        member.settimeout(SETTINGS_S)
        live_unbound(member)


def test_connections_that_never_shake_hands(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """Who connects to a port with TLS and never begins a handshake is sent away, too, and sooner than gRPC would by itself."""
    pair = Authority(tmp_path).issue("server")
    server = start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with crowd(server.address, 20) as members:
        wait_until(
            lambda: all(has_gone(member) for member in members),
            "the server has had enough",
            HANDSHAKE_S,
            pause_s=1.0,
        )


def test_connections_that_never_greet(server: ServerProcess, abuse: Abuse) -> None:
    """Who connects and never says anything is sent away in the end."""
    with abuse(50 * MB), crowd(server.address, 20) as members:
        wait_until(
            lambda: all(has_gone(member) for member in members),
            "the server has had enough",
            GREETING_S,
            pause_s=1.0,
        )
