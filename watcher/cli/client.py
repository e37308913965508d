"""The gRPC client of the verbs: streams, replays and health checks."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from watcher._proto import generic_pb2, generic_pb2_grpc, watcher_pb2, watcher_pb2_grpc
from watcher.cli.messages import RefusedError, complain
from watcher.cli.standby import read_standby
from watcher.errors import ConfigError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A channel connects on its own; with the global pool a new one would inherit the backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # Servers are on this machine or in the same cluster, which a proxy does not reach.
    ("grpc.enable_http_proxy", 0),
)

REPLAY_TIMEOUT_S = 30.0
"""Seconds that a server has to answer a replay request."""

HEALTH_TIMEOUT_S = 2.0
"""Seconds that a server has to answer a health check; the probe of a container allows five."""

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Statuses that the same request would get again."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and credentials of a server.

    Attributes:
        address: ``host:port`` or ``unix:/path``.
        token: Bearer token of each call; empty for none.
        tls: Whether to connect with TLS; implied by ``tls_ca``.
        tls_ca: PEM file of the authorities to trust; None for those of the system.
    """

    address: str
    token: str = ""
    tls: bool = False
    tls_ca: Path | None = None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel(self) -> grpc.aio.Channel:
        """Return a new channel; the caller closes it.

        Raises:
            ConfigError: The file of the authorities cannot be read.
        """
        if not (self.tls or self.tls_ca):
            return grpc.aio.insecure_channel(self.address, OPTIONS)
        try:
            authorities = self.tls_ca.read_bytes() if self.tls_ca else None
        except OSError as error:
            raise ConfigError(
                f"cannot be read: {error.strerror}", place=str(self.tls_ca)
            ) from error
        return grpc.aio.secure_channel(
            self.address, grpc.ssl_channel_credentials(authorities), OPTIONS
        )


@asynccontextmanager
async def open_stream(
    endpoint: Endpoint, name: str, config: bytes
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a stream and yield its payloads once the watch is ready; later changes are reported.

    Args:
        endpoint: The server.
        name: Name of the event source.
        config: Configuration in YAML or JSON.

    Raises:
        RefusedError: The server refuses the request; the message is the server's.
        UnavailableError: The server cannot be reached, or the stream has ended.
    """
    async with endpoint.channel() as channel:
        call = generic_pb2_grpc.EventingStub(channel).StartEventSource(
            generic_pb2.EventSource(name=name, config=config), metadata=endpoint.metadata
        )
        try:
            await call.wait_for_connection()
            yield _payloads(call)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error


async def _payloads(call: AsyncIterable[generic_pb2.Event]) -> AsyncIterator[bytes]:
    async for event in call:
        yield event.payload
    raise UnavailableError("the server has ended the stream")


def _translated(error: grpc.aio.AioRpcError) -> WatcherError:
    kind = RefusedError if error.code() in _FINAL else UnavailableError
    return kind(error.details() or error.code().name)


async def request_replay(
    endpoint: Endpoint, name: str, place: str, *, seq: int | None, time_s: float | None
) -> tuple[str, range]:
    """Request that a server sends confirmed events again.

    Args:
        endpoint: The server.
        name: Name of the event source, or its id.
        place: URI of the watched place; may be empty if the name has one watch.
        seq: First sequence number to send.
        time_s: Instead of ``seq``: time of the first event, in seconds since the epoch.

    Returns:
        The watched place, and the sequence numbers that are sent again.

    Raises:
        RefusedError: The server refuses the request; the message is the server's.
        UnavailableError: The server cannot be reached, or cannot replay now.
    """
    request = watcher_pb2.ReplayRequest(name=name, place=place, seq=seq)
    if time_s is not None:
        request.time.FromNanoseconds(int(time_s * 1e9))
    async with endpoint.channel() as channel:
        try:
            answer = await watcher_pb2_grpc.DeliveryStub(channel).Replay(
                request, metadata=endpoint.metadata, timeout=REPLAY_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
    return answer.place, range(answer.first_seq, answer.last_seq + 1)


async def is_serving(endpoint: Endpoint) -> bool:
    """Return whether a server reports that it is serving.

    Raises:
        WatcherError: The server does not answer in ``HEALTH_TIMEOUT_S``, or not as a watcher does.
    """
    async with endpoint.channel() as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def probe(endpoint: Endpoint, http: str = "") -> int:
    """Print in one line whether a server is serving, and return the exit code: 0 or 1.

    Args:
        endpoint: The server.
        http: URL of its HTTP port, which a server that stands by answers; empty for none.
    """
    try:
        problem = "" if asyncio.run(is_serving(endpoint)) else "it reports that it is not ready"
    except WatcherError as error:
        problem = str(error)
    if problem and http and (standby := read_standby(http)):
        sys.stdout.write(f"{endpoint.address} is a {standby}\n")
        return 0
    if problem:
        complain(f"{endpoint.address} is not serving: {problem}")
        return 1
    sys.stdout.write(f"{endpoint.address} is serving\n")
    return 0
