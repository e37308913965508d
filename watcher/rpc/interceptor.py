"""Bounds what a call takes before it is served: its metadata, and calls without a request.

gRPC announces the maximum size of metadata in the settings of a connection and enforces it once the
client has acknowledged them (RFC 9113, 6.5.3): before that, or if the client never does, a request
may have 16 MB. It also waits for the message of a request without a timeout. So both are checked
when a call begins.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

MAX_METADATA_BYTES = 16 * 1024
"""Maximum size of a call's metadata in bytes; tokens and proxies' headers take a few hundred."""

REQUEST_TIMEOUT_S = 20.0
"""Seconds to wait for the request message of a call."""

MAX_OTHER_CALLS = 1000
"""Maximum number of calls that are not event streams yet: waiting for a request, health, …"""

_ENTRY_BYTES = 32
"""What each entry of the metadata counts in addition to its own bytes (RFC 9113, 6.5.2)."""


class CallBounds(grpc.aio.ServerInterceptor):
    """Refuses calls with large metadata, calls without a request, and too many of either.

    Args:
        stream_method: The method whose calls are counted elsewhere once they have a request.
    """

    def __init__(self, stream_method: str) -> None:
        self._stream_method = stream_method
        self._others = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the bounded handler of a call; None for an unknown method."""
        metadata = handler_call_details.invocation_metadata or ()
        size_bytes = sum(len(key) + len(value) + _ENTRY_BYTES for key, value in metadata)
        if size_bytes > MAX_METADATA_BYTES:
            return _REFUSAL
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.request_streaming:
            return self._counted(handler)
        is_stream = handler_call_details.method == self._stream_method
        return self._timed(handler, is_stream=is_stream)

    def _counted(self, handler: Handler) -> Handler:
        """Return a handler of a request stream (reflection) that counts its calls."""
        act: Any = handler.stream_stream

        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with self._place(context):
                async for answer in act(requests, context):
                    yield answer

        return grpc.stream_stream_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    def _timed(self, handler: Handler, *, is_stream: bool) -> Handler:
        """Return a handler of one request that stops waiting for it after a timeout."""
        act: Any = handler.unary_stream or handler.unary_unary

        async def call(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - the response of any method
            async with self._place(context):
                request = await _request(requests, context)
                if not is_stream:
                    return await act(request, context)
            return await act(request, context)

        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        bounded: Handler = make(call, handler.request_deserializer, handler.response_serializer)
        return bounded

    @asynccontextmanager
    async def _place(self, context: Context) -> AsyncIterator[None]:
        if self._others >= MAX_OTHER_CALLS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the server has {MAX_OTHER_CALLS} calls without a request; try again",
            )
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1


async def _request(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - the message of any method
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return await anext(requests)
    except TimeoutError:
        await context.abort(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"the request has not come for {REQUEST_TIMEOUT_S:g} s",
        )
    except StopAsyncIteration:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")


async def _refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"the metadata are larger than {MAX_METADATA_BYTES} bytes; send less",
    )


_REFUSAL: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(_refuse)
"""Serves any method: without a message, a unary response and a stream look the same."""
