"""Streams of a server for a client without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from watcher._proto import generic_pb2, generic_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc


class Stream(Protocol):
    """An open stream."""

    def __iter__(self) -> Iterator[generic_pb2.Event]:
        """Yield the events, as they arrive."""

    def initial_metadata(self) -> object:
        """Wait until the first scan is over."""

    def cancel(self) -> object:
        """End it."""


def open_stream(channel: grpc.Channel, config: str, name: str = "bench") -> Stream:
    """Open the stream of a configuration, and wait until its first scan is over."""
    # The generated types know the channels of grpc.aio alone.
    stub = generic_pb2_grpc.EventingStub(cast("Any", channel))
    request = generic_pb2.EventSource(name=name, config=config.encode())
    stream = cast("Stream", stub.StartEventSource(request))
    stream.initial_metadata()
    return stream
