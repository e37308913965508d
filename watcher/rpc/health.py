"""gRPC health, of the server and of its services (https://grpc.io/docs/guides/health-checking/). Knows not why anything is well.

The servicer that comes with gRPC writes to one client while the others, and the news, wait for it: one that does not read would keep
everybody from learning anything, and the server from stopping.
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
    """Says the same of all names: NOT_SERVING until ``tell`` says otherwise.

    Args:
        names: Of services; the empty one is the server as a whole.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._status: int = _NOT_SERVING
        self._is_stopping = False
        self._watchers: set[asyncio.Event] = set()

    def tell(self, is_ready: bool) -> None:  # noqa: FBT001 - what readiness tells
        """Say whether the server can do its work, from now on."""
        if not self._is_stopping:
            self._status = _SERVING if is_ready else _NOT_SERVING
            self._wake()

    def stop(self) -> None:
        """Say NOT_SERVING for ever, and end the calls that wait for news."""
        self._status, self._is_stopping = _NOT_SERVING, True
        self._wake()

    async def Check(self, request: Request, context: Context) -> health_pb2.HealthCheckResponse:  # noqa: N802 - its name
        """Answer for one name."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(self, request: Request, context: Context) -> None:  # noqa: N802 - likewise
        """Answer for one name, and again whenever the answer is another one; of several between two answers only the last."""
        news, told = asyncio.Event(), None
        self._watchers.add(news)
        try:
            while True:
                news.clear()
                status = self._status if request.service in self._names else _UNKNOWN
                if status != told:
                    told = status
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                elif self._is_stopping:
                    return
                else:
                    await news.wait()
        finally:
            self._watchers.remove(news)

    def _wake(self) -> None:
        for news in self._watchers:
            news.set()
