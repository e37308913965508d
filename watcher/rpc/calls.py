"""What all services do with a call: read its token, and abort it with the status of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from watcher.errors import (
    AwayError,
    ConfigError,
    ConflictError,
    DeniedError,
    FencedError,
    HistoryError,
    LimitError,
    NotFoundError,
    OwnedElsewhereError,
    StateError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    from watcher.errors import WatcherError

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

STATUS = {
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    DeniedError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ConflictError: grpc.StatusCode.ALREADY_EXISTS,
    LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    StateError: grpc.StatusCode.UNAVAILABLE,
    AwayError: grpc.StatusCode.UNAVAILABLE,
    FencedError: grpc.StatusCode.UNAVAILABLE,
    HistoryError: grpc.StatusCode.UNAVAILABLE,
    OwnedElsewhereError: grpc.StatusCode.UNAVAILABLE,
}


async def abort(context: Context, error: WatcherError) -> NoReturn:
    """End a call with the status of an error.

    Raises:
        grpc.aio.AbortError: Always; gRPC takes it as the end of the call.
    """
    await context.abort(STATUS[type(error)], str(error))


def authorization(context: Context) -> str | None:
    """Return the ``authorization`` metadata of a call; None without."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return str(value)
    return None
