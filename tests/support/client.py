"""A client that knows the contract from ``proto/generic.proto`` alone. Imports no watcher.

Each stream is read by a thread of its own, which keeps everything that comes, or hands it on.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from support.project import PROJECT

Event: TypeAlias = dict[str, Any]

Sink: TypeAlias = Callable[[bytes], None]
"""Takes the payloads of a stream, which keeps none then, in its thread."""

PROTO = PROJECT / "proto" / "generic.proto"
DEADLINE_S = 150.0
"""Seconds that a test waits for a condition; machines that run tests may be slow."""

LONG_PAUSE_S = 0.1
PAUSES_IN_WAIT = 20
"""Longest pause in seconds that a long wait gives itself, and its share of the wait until then."""


class Ending(NamedTuple):
    """The status with which a stream ended."""

    code: grpc.StatusCode
    details: str


class Contract:
    """The method and the messages of a proto file, which is compiled into a directory."""

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

    def request(self, name: str, config: str | Event) -> bytes:
        """Return a serialized EventSource; a mapping is sent as JSON."""
        text = config if isinstance(config, str) else json.dumps(config)
        return self._request(name=name, config=text.encode()).SerializeToString()

    def event(self, data: bytes) -> dict[str, Any]:
        """Return the fields that a serialized Event sets."""
        event: Message = self._event.FromString(data)
        return {field.name: value for field, value in event.ListFields()}


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call with a token; none for an empty one."""
    return (("authorization", f"Bearer {token}"),) if token else ()


class Stream:
    """One call. Nothing that it receives is sorted or dropped.

    Flow control holds back a stream that is not reading before ``read`` is called. The pause is in
    seconds, after each event. With a sink it keeps no payloads and no events.
    """

    def __init__(
        self,
        call: object,
        contract: Contract,
        *,
        is_reading: bool,
        pause_s: float,
        sink: Sink | None = None,
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
        self._sink = sink
        self._is_ready = False
        self._ending: Ending | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def ready(self) -> Self:
        """Wait for the initial metadata: changes from now on are reported."""
        assert not self.has_ended_before_it_was_ready(), self._ending
        return self

    def has_ended_before_it_was_ready(self) -> bool:
        """Wait until the stream is ready or has ended; return whether it has ended."""
        self._wait(
            lambda: self._is_ready or self._ending is not None, "the stream is ready, or ends"
        )
        return self._ending is not None

    def wait_for(
        self, predicate: Callable[[list[Event]], bool], what: str = "the events are there"
    ) -> list[Event]:
        """Wait until the events satisfy a predicate, and return them."""
        self._wait(lambda: predicate(self.events) or self._ending is not None, what)
        assert predicate(self.events), (
            f"{self._ending} after {len(self.events)} events: {self.events[-10:]}"
        )
        return list(self.events)

    def wait_some(self, predicate: Callable[[list[Event]], bool], deadline_s: float) -> bool:
        """Wait until the events satisfy a predicate, or for a time; return whether they do."""
        with self._news:
            return self._news.wait_for(lambda: predicate(self.events), deadline_s)

    def wait_count(self, count: int) -> list[Event]:
        """Wait for a number of events, and return all."""
        return self.wait_for(lambda events: len(events) >= count, f"{count} events")

    def wait_path(self, path: str, kind: str = "created") -> list[Event]:
        """Wait for an event of a type at a path, and return all."""
        return self.wait_for(
            lambda events: any((e["type"], e["path"]) == (kind, path) for e in events),
            f"{kind} {path}",
        )

    def wait_end(self, deadline_s: float | None = DEADLINE_S) -> Ending:
        """Wait until the stream has ended; without a deadline for as long as it takes."""
        self._wait(lambda: self._ending is not None, "the stream ends", deadline_s)
        assert self._ending is not None
        return self._ending

    @property
    def is_ready(self) -> bool:
        """Whether it has been ready, though it may have ended since."""
        return self._is_ready

    @property
    def is_open(self) -> bool:
        return self._ending is None

    def read(self) -> None:
        """Read from now on."""
        self._is_reading.set()

    def cancel(self) -> None:
        """Cancel the call, and wait until nothing more can come."""
        self._is_left.set()
        self._call.cancel()
        self._thread.join(DEADLINE_S)

    def _wait(
        self, is_met: Callable[[], bool], what: str, deadline_s: float | None = DEADLINE_S
    ) -> None:
        """Wait until a condition is met, for as long as events come, and for a time without one."""
        with self._news:
            while not is_met():
                assert self._news.wait(deadline_s), (
                    f"waited {deadline_s} s until {what}; "
                    f"{len(self.events)} events, last {self.events[-10:]}"
                )

    def _read(self) -> None:
        self._call.initial_metadata()
        with self._news:
            self._is_ready = self._call.is_active()
            self._news.notify_all()
        # A stream that has not read yet goes on when the call is over, to note its status.
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
        if self._sink is not None:
            self._sink(fields["payload"])
            return
        event = json.loads(fields["payload"])
        with self._news:
            self.names.add(fields["name"])
            self.payloads.append(fields["payload"])
            self.events.append(event)
            self._news.notify_all()


class Client:
    """A connection to one server, ``host:port`` or ``unix:/path``.

    With a fixed window flow control lets 64 KiB through to a stream that does not read, and
    otherwise several megabytes, as on a fast connection.
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
        # Without the first, all clients of one process would share a connection to one address.
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
        sink: Sink | None = None,
    ) -> Stream:
        """Start a stream; see ``Stream``. An empty token is that of the client."""
        method: Any = self.channel.unary_stream(self._contract.path)
        request = self._contract.request(name, config)
        call = method(request, metadata=bearer(token or self.token))
        stream = Stream(call, self._contract, is_reading=is_reading, pause_s=pause_s, sink=sink)
        self._streams.append(stream)
        return stream

    def watch(self, name: str, config: str | Event, *, token: str = "") -> Stream:
        """Start a stream and wait until it is ready."""
        return self.start(name, config, token=token).ready()

    def refusal(self, name: str, config: str | Event, *, token: str = "") -> Ending:
        """Start a stream that must be refused, and return its status, whose text is one line."""
        ending = self.start(name, config, token=token).wait_end()
        assert ending.details
        assert "\n" not in ending.details
        return ending

    def is_admitted(self, name: str, config: str | Event, *, token: str = "") -> bool:
        """Try a stream once, and return whether the server has admitted it."""
        stream = self.start(name, config, token=token)
        is_refused = stream.has_ended_before_it_was_ready()
        stream.cancel()
        return not is_refused

    def close(self) -> None:
        """Cancel all streams and disconnect."""
        for stream in self._streams:
            stream.cancel()
        self.channel.close()


def wait_until(
    is_met: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S, *, pause_s: float = 0.02
) -> None:
    """Poll a condition after each pause until it is met.

    A condition about what is not there yet, as a watch that is missing in a status, is not met;
    at the deadline the message has what was missing.

    A wait that lasts polls less often, since polls load the machine: its pauses grow to a part of
    the time that has passed, and no further than ``LONG_PAUSE_S``.
    """
    start_s = time.monotonic()
    while True:
        missing: Exception | None = None
        try:
            if is_met():
                return
        except (LookupError, TypeError, ValueError) as error:
            missing = error
        waited_s = time.monotonic() - start_s
        if waited_s >= deadline_s:
            raise AssertionError(f"waited {deadline_s} s until {what}") from missing
        time.sleep(max(pause_s, min(waited_s / PAUSES_IN_WAIT, LONG_PAUSE_S)))
