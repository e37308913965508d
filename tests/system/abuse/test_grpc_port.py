"""Abuse of the gRPC port: ten thousand clients, and clients that hold open, flood, or reconnect."""

import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import pytest
from hpack import Encoder

from support.certificates import Authority
from support.client import Contract, wait_until
from support.config import config
from support.fixtures import Connect, StartServer
from support.raw_http2 import RawClient, framed
from support.server import ServerProcess
from system.abuse.conftest import MB, Abuse
from system.abuse.crowd import call_at_once, count_gone, crowd, greeting, send, wait_gone
from watcher.rpc.interceptor import MAX_OTHER_CALLS, REQUEST_TIMEOUT_S

CALLERS, CALLS_EACH = 4, 600
ENDINGS = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)
"""Endings of calls without a request; the last is gRPC's own, when many come at once."""

HEADERS, CONTINUATION = 1, 9
FRAME_BYTES = 16_384
FLOOD_FRAMES = 5000
FLOODERS = 4
RECONNECTS = 300
RESETS_EACH = 1500
HEADER_BYTES = 10_000
LASTING = (
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""Other methods whose calls last."""

SETTINGS_S = 50.0
"""Seconds until the server gives up; it takes 20, and gRPC by itself 60."""

HANDSHAKE_S = 90.0
"""Seconds until the server gives up; it takes 20, and gRPC by itself 120."""

GREETING_S = 600.0
"""Seconds until the server gives up; it takes up to 180, on a slow machine longer."""


def frame(kind: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2 without flags, so that neither headers nor stream end."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + payload


# After its preface a connection takes gRPC 15 KB (buffers, HPACK tables, timers); before it, less.
@pytest.mark.parametrize(
    ("first", "most_mb"),
    [(b"", 250), (greeting(), 350)],
    ids=["before the preface", "without a call"],
)
def test_ten_thousand_connections(
    server: ServerProcess,
    abuse: Abuse,
    many: int,
    first: bytes,
    most_mb: int,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("connections", many)
    with abuse(most_mb), crowd(server.address, many, first) as members:
        # A slow one has closed some, whose settings nobody acknowledges, before the last come.
        wait_until(
            lambda: server.resources().descriptors + count_gone(members) >= many,
            "the server has, or had, them all",
            GREETING_S,
            pause_s=1.0,
        )
        assert len(members) == many


# A call without its request is one of gRPC's core and a task: 22 KB, and 16 more for a part of it.
def test_calls_without_their_request(
    server: ServerProcess, abuse: Abuse, contract: Contract
) -> None:
    """Calls whose request does not come, or not completely, are bounded in number and time."""
    start = framed(contract.request("half", "directory: /"), length=60_000)
    begun_s = time.monotonic()
    with abuse(120), ExitStack() as stack:
        calls = []
        for number in range(CALLERS):
            raw = stack.enter_context(RawClient(server.address, contract))
            mine = [raw.post(start * (number % 2), is_whole=False) for _ in range(CALLS_EACH)]
            calls.append((raw, mine))
        for raw, mine in calls:
            raw.wait_over(*mine)
    endings = Counter(call.status for _, mine in calls for call in mine)
    late, many, cancelled = (str(code.value[0]) for code in ENDINGS)
    assert endings.keys() <= {late, many, cancelled}
    # The last ones have waited for this time too; a slow client begins some when others have ended.
    waves = (time.monotonic() - begun_s) // REQUEST_TIMEOUT_S
    assert 0 < endings[late] <= MAX_OTHER_CALLS * waves


def test_connections_without_a_call(
    server: ServerProcess, abuse: Abuse, contract: Contract
) -> None:
    """A connection that answers pings but makes no call is closed after a while."""
    with abuse(50), RawClient(server.address, contract) as raw:
        raw.wait_until(lambda: raw.is_closed, "the server has closed it")


# Headers are given up at 16 KB; the cost is a few MB in flight for each connection.
def test_headers_without_end(server: ServerProcess, abuse: Abuse) -> None:
    """A request whose headers go on for ever is cut off, or at least not read."""
    pseudo = [(":method", "POST"), (":path", "/"), (":scheme", "http")]
    start = greeting() + frame(HEADERS, 1, Encoder().encode(pseudo))
    header = [("x" * 8, "y" * (FRAME_BYTES - 100))]
    more = frame(CONTINUATION, 1, Encoder().encode(header, huffman=False))

    def flood(member: socket.socket) -> bool:
        return all(send(member, more) for _ in range(FLOOD_FRAMES))

    with (
        abuse(200),
        crowd(server.address, FLOODERS, start) as members,
        ThreadPoolExecutor(FLOODERS) as pool,
    ):
        list(pool.map(flood, members))


# The server remembers a cancelled request as a call, until its task has ended.
def test_rapid_resets_on_many_connections(
    server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str
) -> None:
    """Clients that cancel each request at once, thousands of times (CVE-2023-44487)."""

    def flood(_: int) -> None:
        with RawClient(server.address, contract) as raw:
            raw.flood_resets(name, config(root), RESETS_EACH)

    with abuse(120), ThreadPoolExecutor(FLOODERS) as pool:
        list(pool.map(flood, range(FLOODERS)))


# Each configuration has a watch for a second: a thread, a state file, an inotify instance.
def test_changing_configs(
    server: ServerProcess, abuse: Abuse, connect: Connect, root: Path, name: str
) -> None:
    """Reconnecting with ever new configurations leaves no watch behind."""
    with abuse(50):
        for number in range(RECONNECTS):
            new = {"include": [f"*.{number}"], "metadata": {"number": number}}
            with closing(connect(server)) as one:
                stream = one.start(name, config(root, id=f"id-{number % 10}", **new))
                if number % 2:
                    stream.has_ended_before_it_was_ready()


# One request at a time is held as a whole: received, parsed, and as Python objects.
def test_large_headers(
    server: ServerProcess, abuse: Abuse, contract: Contract, root: Path, name: str
) -> None:
    """A client that has not acknowledged the server's settings may send them, and is refused."""
    body = framed(contract.request(name, config(root)))
    large = {f"x-{number}": "x" * HEADER_BYTES for number in range(MB // HEADER_BYTES)}
    with abuse(50):
        for path in (contract.path, *LASTING):
            answer = call_at_once(server.address, path, body, large)
            assert answer["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), answer


def test_settings_that_are_never_acknowledged(
    server: ServerProcess, abuse: Abuse, contract: Contract
) -> None:
    """A client that answers pings but not the server's settings is disconnected."""
    start_s = time.monotonic()
    with abuse(50), RawClient(server.address, contract, acknowledges_settings=False) as raw:
        raw.wait_until(lambda: raw.is_closed, "the server has closed it")
        assert time.monotonic() - start_s < SETTINGS_S


def test_connections_that_never_shake_hands(start_server: StartServer, tmp_path: Path) -> None:
    """Connections to a TLS port that begin no handshake are closed."""
    pair = Authority(tmp_path).issue("server")
    server = start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with crowd(server.address, 20) as members:
        wait_gone(members, HANDSHAKE_S)


def test_connections_that_never_greet(server: ServerProcess, abuse: Abuse) -> None:
    """Connections without a preface, or with a part of it, are closed in the end."""
    with (
        abuse(50),
        crowd(server.address, 10) as silent,
        crowd(server.address, 10, greeting()[:8]) as interrupted,
    ):
        wait_gone([*silent, *interrupted], GREETING_S)
