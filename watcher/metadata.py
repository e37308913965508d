"""Keeps large metadata out, also where gRPC lets them in. Imports nothing of ours.

gRPC tells a client how large metadata may be in the settings of the connection, and holds it to that from when it has acknowledged them
(RFC 9113, 6.5.3): before, or if it never does, a request may have 16 MB. So they are counted once more when a call begins, and what is
too large lives no longer than its refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METADATA_BYTES = 16 * 1024

_ENTRY_BYTES = 32
"""What each name and value counts beside their own bytes (RFC 9113, 6.5.2)."""


class MetadataBound(grpc.aio.ServerInterceptor):
    """Refuses calls whose metadata are larger than ``METADATA_BYTES``, whatever they ask for, with RESOURCE_EXHAUSTED."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return what handles a call; None for a method that there is not."""
        metadata = handler_call_details.invocation_metadata or ()
        if sum(len(key) + len(value) + _ENTRY_BYTES for key, value in metadata) > METADATA_BYTES:
            return _REFUSAL
        return await continuation(handler_call_details)


async def _refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the metadata are larger than {METADATA_BYTES} bytes; send less")


_REFUSAL: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(_refuse)
"""Without a message both forms of an answer are the same."""
