"""Messages of events, and what ends a stream whose watch has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from watcher._proto import generic_pb2
from watcher.errors import StateError, UnavailableError, WatcherError
from watcher.rpc.eventing import SHARED_BYTES, Eventing, _encode_once


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


class EndingWatch:
    """A watch that ends while a stream reads its state.

    Args:
        failure: What ends it; None for a stop.
    """

    is_baselined = True
    is_handed_over = False
    spec = SimpleNamespace(where=SimpleNamespace(place="file:///data"))

    def __init__(self, failure: WatcherError | None) -> None:
        self.is_running = True
        self.failure = failure

    def fail(self, error: WatcherError) -> None:
        if self.is_running:
            self.is_running, self.failure = False, error


class Reading:
    """A subscription whose reading fails.

    Args:
        before: Called first.
    """

    def __init__(self, before: Callable[[], object]) -> None:
        self._before = before

    def due_in_s(self) -> float:
        return 0.0

    def read_from_memory(self) -> list[Any]:
        return []

    def read(self) -> list[Any]:
        self._before()
        raise StateError("Cannot operate on a closed database")


async def run_now(act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
    return act()


@pytest.mark.parametrize(
    ("failure", "has_ended", "ending"),
    [
        (StateError("the file is malformed"), True, "^the file is malformed$"),
        (None, True, "^the watch has stopped"),
        (None, False, "^Cannot operate on a closed database$"),
    ],
)
def test_what_has_ended_a_watch_ends_its_streams(
    failure: WatcherError | None,
    ending: str,
    *,
    has_ended: bool,
) -> None:
    """A watch that has ended closes its state, perhaps while a stream reads it."""
    watch: Any = EndingWatch(failure)

    def end() -> None:
        watch.is_running = not has_ended

    watches: Any = SimpleNamespace(threads=SimpleNamespace(run=run_now))
    streams: Any = SimpleNamespace(check_open=lambda: None)
    stream: Any = SimpleNamespace(changed=asyncio.Event(), is_announced=True)
    nothing: Any = None
    subscription: Any = Reading(end)
    eventing = Eventing(watches, streams, nothing, nothing)
    with pytest.raises((StateError, UnavailableError)) as caught:
        asyncio.run(eventing._send("orders", nothing, watch, subscription, stream))
    assert caught.match(ending)
