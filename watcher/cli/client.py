"""A client of the server: how the verbs that speak to one connect. Here alone the command line imports grpc."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from watcher.errors import ConfigError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

    from watcher._proto import generic_pb2

OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Every channel connects by itself: a new one does not wait out the backoff of the one before.
    ("grpc.use_local_subchannel_pool", 1),
    # Servers are on this machine or in the same cluster, where a proxy of the environment does not lead.
    ("grpc.enable_http_proxy", 0),
)

REPLAY_TIMEOUT_S = 30.0

FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Answers that will be the same next time."""


class RefusedError(WatcherError):
    """The server has refused the stream; another try would be refused as well."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and how to speak to it.

    Attributes:
        address: ``host:port`` or ``unix:/path``.
        token: Sent with each call; empty for none.
        tls: Connect with TLS.
        tls_ca: PEM file of the authorities to trust; None for the system's.
    """

    address: str
    token: str = ""
    tls: bool = False
    tls_ca: Path | None = None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel(self) -> grpc.aio.Channel:
        """Return a channel of its own for the caller, who closes it.

        Raises:
            ConfigError: The file of authorities cannot be read.
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
    """Open a stream and provide its payloads once the watch is ready: what changes from then on is reported.

    Args:
        endpoint: The server.
        name: Of the event source.
        config: YAML or JSON.

    Raises:
        RefusedError: See ``FINAL``; the message is the server's.
        UnavailableError: The server cannot be reached, or the stream has ended.
    """
    from watcher._proto import generic_pb2, generic_pb2_grpc  # noqa: PLC0415 - a health check does not need the contract

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
    kind = RefusedError if error.code() in FINAL else UnavailableError
    return kind(error.details() or error.code().name)


async def request_replay(
    endpoint: Endpoint, name: str, place: str, *, seq: int | None, time_s: float | None
) -> tuple[str, range]:
    """Ask a server to send confirmed events again.

    Args:
        endpoint: The server.
        name: Of the watch.
        place: What it watches; empty if that goes without saying.
        seq: From this sequence number on.
        time_s: In its place: from what was found then on, seconds since the epoch.

    Returns:
        What is watched, and the sequence numbers that are sent again.

    Raises:
        RefusedError: See ``FINAL``; the message is the server's.
        UnavailableError: The server cannot be reached, or cannot do it now.
    """
    from watcher._proto import watcher_pb2, watcher_pb2_grpc  # noqa: PLC0415 - others do not need it

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


async def is_serving(endpoint: Endpoint, timeout_s: float) -> bool:
    """Ask for the health of a server.

    Raises:
        WatcherError: It does not answer in time, or not as a server should.
    """
    from grpc_health.v1 import health_pb2  # noqa: PLC0415 - only health checks need it

    async with endpoint.channel() as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
