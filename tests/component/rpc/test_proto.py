"""The contract with the Argo Events client: bytes on the wire, generated code up to date."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError, Message

from support.project import PROJECT
from watcher._proto import generic_pb2

# By hand: a byte of field number and wire type (0x0a: 1, 0x12: 2), a length, the bytes.
REQUEST = b"\x0a\x06orders" + b"\x12\x02{}"
RESPONSE = b"\x0a\x06orders" + b"\x12\x07" + b'{"n":1}'


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run([PROJECT / ".ci" / "proto", sys.executable, tmp_path], check=True)
    generated, checked_in = (
        {path.name: path.read_text() for path in (root / "watcher/_proto").glob("*_pb2*")}
        for root in (tmp_path, PROJECT)
    )
    assert generated == checked_in, "run `make proto`"


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (generic_pb2.EventSource(name="orders", config=b"{}"), REQUEST),
        (generic_pb2.EventSource(), b""),
        (generic_pb2.Event(name="orders", payload=b'{"n":1}'), RESPONSE),
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


def test_the_method_is_that_of_the_contract() -> None:
    """The path is ``/generic.Eventing/StartEventSource``; one request, a stream of events."""
    service = generic_pb2.DESCRIPTOR.services_by_name["Eventing"]
    (method,) = service.methods
    assert (service.full_name, method.name) == ("generic.Eventing", "StartEventSource")
    assert (method.client_streaming, method.server_streaming) == (False, True)
    types = (method.input_type.full_name, method.output_type.full_name)
    assert types == ("generic.EventSource", "generic.Event")
