"""Bounds what calls take before anything is asked of the server: the size of their metadata, and how many there are without a request.

gRPC tells a client how large metadata may be in the settings of the connection, and holds it to that from when it has acknowledged them
(RFC 9113, 6.5.3): before, or if it never does, a request may have 16 MB. And it waits for the message of a request without end. So both
are looked at once more, when a call begins. Imports nothing of ours.
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

METADATA_BYTES = 16 * 1024

REQUEST_S = 20.0
"""So long a call may be without its request."""

OTHER_CALLS = 1000
"""So many calls there may be that are no streams of events (yet): without a request, or of health, reflection and the like."""

_ENTRY_BYTES = 32
"""What each name and value counts beside their own bytes (RFC 9113, 6.5.2)."""


class CallBounds(grpc.aio.ServerInterceptor):
    """Refuses calls with large metadata, those whose request does not come, and those that are too many, whatever they ask for.

    Args:
        streams: The method whose calls are counted elsewhere, once their request is there.
    """

    def __init__(self, streams: str) -> None:
        self._streams = streams
        self._others = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return what handles a call; None for a method that there is not."""
        metadata = handler_call_details.invocation_metadata or ()
        if sum(len(key) + len(value) + _ENTRY_BYTES for key, value in metadata) > METADATA_BYTES:
            return _REFUSAL
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.request_streaming:
            return self._counted(handler)
        return self._read(handler, is_stream=handler_call_details.method == self._streams)

    def _counted(self, handler: Handler) -> Handler:
        """Return a handler of requests that come one by one, whose calls are counted."""
        act: Any = handler.stream_stream

        async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with self._place(context):
                async for answer in act(requests, context):
                    yield answer

        return grpc.stream_stream_rpc_method_handler(
            call, handler.request_deserializer, handler.response_serializer
        )

    def _read(self, handler: Handler, *, is_stream: bool) -> Handler:
        """Return a handler of one request that waits for it itself, for gRPC would do so without end."""
        act: Any = handler.unary_stream or handler.unary_unary

        async def call(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - whatever it answers
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
        if self._others >= OTHER_CALLS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the server has {OTHER_CALLS} calls without a request; try again",
            )
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1


async def _request(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - the message of any method
    try:
        async with asyncio.timeout(REQUEST_S):
            return await anext(requests)
    except TimeoutError:
        await context.abort(
            grpc.StatusCode.DEADLINE_EXCEEDED, f"the request has not come for {REQUEST_S:g} s"
        )
    except StopAsyncIteration:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")


async def _refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"the metadata are larger than {METADATA_BYTES} bytes; send less",
    )


_REFUSAL: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(_refuse)
"""Without a message both forms of an answer are the same."""
