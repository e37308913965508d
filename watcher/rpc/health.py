"""The gRPC health service for the server and its services.

See https://grpc.io/docs/guides/health-checking/. The servicer that comes with gRPC writes to one
client while all others wait: a client that does not read would keep every other one from changes,
and the server from stopping.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    Request: TypeAlias = health_pb2.HealthCheckRequest
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_SERVING, _NOT_SERVING, _UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)


class Health(health_pb2_grpc.HealthServicer):
    """Reports one status for all names: NOT_SERVING until ``set_ready``.

    Args:
        names: Of services; the empty name is the whole server.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._status: int = _NOT_SERVING
        self._is_closed = False
        self._watchers: set[asyncio.Event] = set()

    def set_ready(self, is_ready: bool) -> None:  # noqa: FBT001 - the one value that readiness notifies
        """Report from now on whether the server can do its work."""
        self._status = _SERVING if is_ready else _NOT_SERVING
        self._wake()

    def open(self) -> None:
        """Let calls watch; they do from the start."""
        self._is_closed = False

    def close(self) -> None:
        """Report NOT_SERVING, and end the calls that watch."""
        self._status, self._is_closed = _NOT_SERVING, True
        self._wake()

    async def Check(self, request: Request, context: Context) -> health_pb2.HealthCheckResponse:  # noqa: N802 - the contract's name
        """Return the status of one name."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(self, request: Request, context: Context) -> None:  # noqa: N802 - the contract's name
        """Write the status of one name, and each later one; a slow client gets only the latest."""
        changed, written = asyncio.Event(), None
        self._watchers.add(changed)
        try:
            while True:
                changed.clear()
                status = self._status if request.service in self._names else _UNKNOWN
                if status != written:
                    written = status
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                elif self._is_closed:
                    return
                else:
                    await changed.wait()
        finally:
            self._watchers.remove(changed)

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
