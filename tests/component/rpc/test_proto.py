"""The contract with the Argo Events client: bytes on the wire, generated code up to date."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError, Message
from grpc import aio

from support.project import PROJECT
from watcher._proto import generic_pb2, generic_pb2_grpc

METHOD = "/generic.Eventing/StartEventSource"

# By hand: a byte of field number and wire type (0x0a: 1, 0x12: 2), a length, the bytes.
REQUEST = b"\x0a\x06orders" + b"\x12\x02{}"
RESPONSES = [b"\x0a\x06orders" + b"\x12\x07" + b'{"n":1}', b"\x0a\x06orders" + b"\x12\x02\xff\x00"]


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run([PROJECT / ".ci" / "proto", sys.executable, tmp_path], check=True)
    generated = {
        path.name: path.read_text() for path in (tmp_path / "watcher" / "_proto").iterdir()
    }
    checked_in = {
        path.name: path.read_text() for path in (PROJECT / "watcher" / "_proto").glob("*_pb2*")
    }
    assert generated == checked_in, "run `make proto`"


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (generic_pb2.EventSource(name="orders", config=b"{}"), REQUEST),
        (generic_pb2.EventSource(), b""),
        (generic_pb2.Event(name="orders", payload=b'{"n":1}'), RESPONSES[0]),
        (generic_pb2.Event(payload=b"\xff"), b"\x12\x01\xff"),
    ],
)
def test_messages_have_the_bytes_of_the_contract(message: Message, encoded: bytes) -> None:
    assert message.SerializeToString() == encoded
    assert type(message).FromString(encoded) == message


@pytest.mark.parametrize("message_type", [generic_pb2.EventSource, generic_pb2.Event])
def test_name_is_text(message_type: type[Message]) -> None:
    """A string field, and no bytes field, refuses what is not UTF-8."""
    with pytest.raises(DecodeError):
        message_type.FromString(b"\x0a\x01\xff")


class _Eventing(generic_pb2_grpc.EventingServicer):
    """Writes two events under the name of a request."""

    async def StartEventSource(  # noqa: N802 - the contract's name
        self,
        request: generic_pb2.EventSource,
        context: aio.ServicerContext[generic_pb2.EventSource, AsyncIterator[generic_pb2.Event]],
    ) -> AsyncIterator[generic_pb2.Event]:
        del context
        assert request.config == b"{}"
        yield generic_pb2.Event(name=request.name, payload=b'{"n":1}')
        yield generic_pb2.Event(name=request.name, payload=b"\xff\x00")


async def _answers_to(request: bytes) -> list[bytes]:
    """Return the raw responses to a raw request from a server with the generated code."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    generic_pb2_grpc.add_EventingServicer_to_server(_Eventing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(METHOD)
            return [answer async for answer in method(request, timeout=30)]
    finally:
        await server.stop(None)


def test_server_streams_to_a_client_that_knows_only_the_bytes() -> None:
    assert asyncio.run(_answers_to(REQUEST)) == RESPONSES
