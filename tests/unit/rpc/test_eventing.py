"""Messages of events."""

from watcher._proto import generic_pb2
from watcher.rpc.eventing import SHARED_BYTES, _encode_once


def test_streams_of_one_name_share_a_message() -> None:
    """Those of another name, which may read the same watch, get their own."""
    payload = b'{"type":"created"}'
    message = _encode_once("orders", payload)
    assert _encode_once("orders", payload) is message
    for name in ("orders", "invoices"):
        event = generic_pb2.Event.FromString(_encode_once(name, payload))
        assert (event.name, event.payload) == (name, payload)


def test_a_large_message_is_not_kept() -> None:
    """Five hundred of half a MiB would take more than the server has."""
    payload = b"x" * (SHARED_BYTES + 1)
    message = _encode_once("orders", payload)
    assert _encode_once("orders", payload) is not message
    assert generic_pb2.Event.FromString(message).payload == payload
