"""A client that knows the contract from ``proto/generic.proto`` alone, and streams that gather what they are sent. Imports no watcher."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from support.project import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    Event: TypeAlias = dict[str, Any]

PROTO = PROJECT / "proto" / "generic.proto"
DEADLINE_S = 150.0
"""How long a test waits for what must come."""


class Ending(NamedTuple):
    """How a stream ended."""

    code: grpc.StatusCode
    details: str


class Contract:
    """The method and the messages that a proto file describes.

    Args:
        directory: Where the compiler may write.
    """

    def __init__(self, directory: Path) -> None:
        compiled = directory / "generic.pb"
        flags = [f"--proto_path={PROTO.parent}", f"--descriptor_set_out={compiled}", PROTO.name]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags], check=True)
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(compiled.read_bytes()).file:
            pool.Add(file)
        method = pool.FindMethodByName("generic.Eventing.StartEventSource")
        self.path = f"/{method.containing_service.full_name}/{method.name}"
        self._request = GetMessageClass(method.input_type)
        self._event = GetMessageClass(method.output_type)

    def request(self, name: str, config: bytes) -> bytes:
        """Return an EventSource as it goes over the wire."""
        return self._request(name=name, config=config).SerializeToString()

    def event(self, data: bytes) -> dict[str, Any]:
        """Return the fields that an Event from the wire has set."""
        event: Message = self._event.FromString(data)
        return {field.name: value for field, value in event.ListFields()}


class Stream:
    """One call, read by a thread of its own. Nothing is sorted or dropped.

    Args:
        call: The call.
        contract: Reads its answers.
        is_reading: Whether to read before ``read`` is called; a stream that does not read is held back by flow control.
        pause_s: How long to rest after each event.

    Attributes:
        payloads: The bytes of the events that have come, in order.
        events: What they say.
        names: The names that they carry.
    """

    def __init__(
        self, call: object, contract: Contract, *, is_reading: bool, pause_s: float
    ) -> None:
        self.payloads: list[bytes] = []
        self.events: list[Event] = []
        self.names: set[str] = set()
        self._call: Any = call
        self._contract = contract
        self._is_reading = threading.Event()
        if is_reading:
            self._is_reading.set()
        self._is_left = threading.Event()
        self._pause_s = pause_s
        self._is_ready = False
        self._ending: Ending | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def ready(self) -> Self:
        """Return when the server has sent its initial metadata: what changes from now on is reported."""
        assert not self.has_ended_before_it_was_ready(), self._ending
        return self

    def has_ended_before_it_was_ready(self) -> bool:
        """Wait until the stream is ready or has ended, and tell whether it has ended."""
        self._wait(
            lambda: self._is_ready or self._ending is not None, "the stream is ready, or ends"
        )
        return self._ending is not None

    def wait_for(
        self,
        predicate: Callable[[list[Event]], bool],
        what: str = "the events are there",
        deadline_s: float = DEADLINE_S,
    ) -> list[Event]:
        """Wait until the events so far satisfy a predicate, and return them."""
        self._wait(lambda: predicate(self.events) or self._ending is not None, what, deadline_s)
        assert predicate(self.events), (
            f"{self._ending} after {len(self.events)} events: {self.events[-10:]}"
        )
        return list(self.events)

    def wait_some(self, predicate: Callable[[list[Event]], bool], deadline_s: float) -> bool:
        """Wait until the events so far satisfy a predicate or the deadline has come; tell whether they do."""
        with self._news:
            return self._news.wait_for(lambda: predicate(self.events), deadline_s)

    def wait_count(self, count: int, deadline_s: float = DEADLINE_S) -> list[Event]:
        """Wait until so many events have come, and return all that have."""
        return self.wait_for(lambda events: len(events) >= count, f"{count} events", deadline_s)

    def wait_path(self, path: str, kind: str = "created") -> list[Event]:
        """Wait for an event of a type at a path, and return all events that have come."""
        return self.wait_for(
            lambda events: any((e["type"], e["path"]) == (kind, path) for e in events),
            f"{kind} {path}",
        )

    def wait_end(self) -> Ending:
        """Wait until the stream has ended, and return how."""
        self._wait(lambda: self._ending is not None, "the stream ends")
        assert self._ending is not None
        return self._ending

    @property
    def is_open(self) -> bool:
        """Whether the stream has not ended."""
        return self._ending is None

    def read(self) -> None:
        """Read from now on."""
        self._is_reading.set()

    def cancel(self) -> None:
        """Leave, and wait until nothing more can come."""
        self._is_left.set()
        self._call.cancel()
        self._thread.join(DEADLINE_S)

    def _wait(self, is_met: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        with self._news:
            assert self._news.wait_for(is_met, deadline_s), (
                f"waited {deadline_s} s until {what}; last events: {self.events[-10:]}"
            )

    def _read(self) -> None:
        self._call.initial_metadata()
        with self._news:
            self._is_ready = self._call.is_active()
            self._news.notify_all()
        # What has not read yet goes on when the call is over, to note how it ended.
        if self._call.add_callback(self._is_reading.set):
            self._is_reading.wait()
        try:
            for answer in self._call:
                self._take(answer)
                self._is_left.wait(self._pause_s)
        except grpc.RpcError:
            pass  # the ending has its code
        ending = Ending(self._call.code(), self._call.details())
        with self._news:
            self._ending = ending
            self._news.notify_all()

    def _take(self, answer: bytes) -> None:
        fields = self._contract.event(answer)
        event = json.loads(fields["payload"])
        with self._news:
            self.names.add(fields["name"])
            self.payloads.append(fields["payload"])
            self.events.append(event)
            self._news.notify_all()


class Client:
    """A connection to one server.

    Args:
        address: ``host:port`` or ``unix:/path``.
        contract: What is spoken.
        credentials: For TLS; None for none.
        has_fixed_window: Whether flow control lets 64 KiB through to a stream that does not read, or as many megabytes as the
            connection seems to be good for.
        token: Sent with streams that have none of their own; empty for none.

    Attributes:
        token: Likewise.
    """

    def __init__(
        self,
        address: str,
        contract: Contract,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        has_fixed_window: bool = False,
        token: str = "",
    ) -> None:
        # Without the first all clients of one process would share a connection to one address.
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.http2.bdp_probe", int(not has_fixed_window)),
        )
        self.channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self.token = token
        self._contract = contract
        self._streams: list[Stream] = []

    def start(
        self,
        name: str,
        config: str | Event,
        *,
        token: str = "",
        is_reading: bool = True,
        pause_s: float = 0.0,
    ) -> Stream:
        """Start a stream.

        Args:
            name: Of the event source.
            config: Text, or a mapping that is sent as JSON.
            token: Sent as the real client does; empty for that of the client.
            is_reading: See ``Stream``.
            pause_s: Likewise.
        """
        text = config if isinstance(config, str) else json.dumps(config)
        token = token or self.token
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        method: Any = self.channel.unary_stream(self._contract.path)
        call = method(self._contract.request(name, text.encode()), metadata=metadata)
        stream = Stream(call, self._contract, is_reading=is_reading, pause_s=pause_s)
        self._streams.append(stream)
        return stream

    def watch(self, name: str, config: str | Event, *, token: str = "") -> Stream:
        """Start a stream and wait until it is ready."""
        return self.start(name, config, token=token).ready()

    def refusal(self, name: str, config: str | Event, *, token: str = "") -> Ending:
        """Start a stream that must be refused, and return how."""
        ending = self.start(name, config, token=token).wait_end()
        assert ending.details
        assert "\n" not in ending.details
        return ending

    def close(self) -> None:
        """Leave all streams and disconnect."""
        for stream in self._streams:
            stream.cancel()
        self.channel.close()


def wait_until(
    is_met: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S, *, pause_s: float = 0.02
) -> None:
    """Return when a condition is met that nobody signals, looking again after each pause; fail at the deadline."""
    end_s = time.monotonic() + deadline_s
    while not is_met():
        assert time.monotonic() < end_s, f"waited {deadline_s} s until {what}"
        time.sleep(pause_s)
