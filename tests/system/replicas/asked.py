"""Everything that a server may be asked, asked at the same time, and what it answers."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S
from support.config import config
from support.files import touch
from support.s3.simulated import BUCKET
from watcher._proto import watcher_pb2, watcher_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support.client import Client, Stream
    from support.s3.simulated import Store
    from system.replicas.shared import Shared

EVENTS = 2_000
"""Events of each watch: more than are acknowledged."""

CROWD = 40
"""Acknowledgements at the same time: more than a server has threads that wait for its state."""

_HEALTH = health_pb2.HealthCheckRequest(service="generic.Eventing")

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE

Status: TypeAlias = "int | grpc.StatusCode"

SERVING: Mapping[str, Status] = {
    "page": 200,
    "status": 200,
    "metrics": 200,
    "live": 200,
    "ready": 200,
    "ack": 200,
    "hint": 202,
    "release": 200,
    "acknowledge": OK,
    "health": OK,
    "stream": OK,
}
"""What a server answers whose database is there, by question."""

AWAY: Mapping[str, Status] = {
    **SERVING,
    "ack": 503,
    "hint": 503,
    "release": 503,
    "acknowledge": UNAVAILABLE,
    "stream": UNAVAILABLE,
}
"""The same while the database is away, until that ends streams."""

CUT_OFF: Mapping[str, Status] = {**AWAY, "ready": 503, "health": UNAVAILABLE}
"""The same from then on."""


class Answer(NamedTuple):
    """One answer.

    Attributes:
        question: A key of ``SERVING``.
        status: Of HTTP or gRPC.
        text: The body, or the details of an error.
        seconds: How long it took.
    """

    question: str
    status: Status
    text: str
    seconds: float


class _Acknowledged:
    """A watch whose events are acknowledged one by one.

    Attributes:
        stream: Receives them.
        sent: Sequence numbers of those that a server was asked to acknowledge.
        done: Those among them of which it said that they are.
    """

    def __init__(self, client: Client, name: str, place: Path) -> None:
        place.mkdir()
        self.stream = client.watch(name, config(place, confirm="ack", ack_timeout="10m"))
        touch(place, EVENTS)
        self.sent: set[int] = set()
        self.done: set[int] = set()
        self._events = iter(self.stream.wait_count(EVENTS))

    def acknowledge(self, ask: Callable[[str], tuple[Status, str]]) -> tuple[Status, str]:
        """Acknowledge the next event; ``ask`` takes its id."""
        event = next(self._events)
        self.sent.add(event["seq"])
        status, text = ask(event["id"])
        if status in {200, OK}:
            self.done.add(event["seq"])
        return status, text


class Asked:
    """The first of some servers, which is asked about its watches and those of the second one.

    Args:
        shared: The servers.
        root: An empty directory; others are made in it and watched.
        store: A bucket, which the second server watches.
    """

    def __init__(self, shared: Shared, root: Path, store: Store) -> None:
        self._shared = shared
        self._watches = {
            name: _Acknowledged(shared.client(number), name, root / name)
            for number, name in enumerate(("mine", "theirs"))
        }
        hinted = config(store, poll_interval="6h", notifications={"webhook": True})
        shared.client(1).watch("bucket", hinted)
        self._new_place = root / "new"
        self._new_place.mkdir()
        self._numbers = count()

    @property
    def streams(self) -> list[Stream]:
        """The streams of both watches whose events are acknowledged."""
        return [each.stream for each in self._watches.values()]

    def ask(self) -> list[Answer]:
        """Ask everything at the same time, and return all answers."""
        mine, theirs = self._watches.values()
        hint = {"bucket": BUCKET, "keys": ["a.csv"]}
        questions: list[tuple[str, Callable[[], tuple[Status, str]]]] = [
            ("page", lambda: self._get("/")),
            ("status", lambda: self._get("/status.json")),
            ("metrics", lambda: self._get("/metrics")),
            ("live", lambda: self._get("/healthz")),
            ("ready", lambda: self._get("/readyz")),
            ("health", self._check_health),
            ("stream", self._start_stream),
            ("hint", lambda: self._post("/hint", hint)),
            ("release", lambda: self._post("/release", {"name": "theirs"})),
            ("acknowledge", lambda: mine.acknowledge(self._acknowledge)),
            ("acknowledge", lambda: theirs.acknowledge(self._acknowledge)),
            ("ack", lambda: mine.acknowledge(self._ack)),
            *[("ack", lambda: theirs.acknowledge(self._ack))] * CROWD,
        ]
        with ThreadPoolExecutor(len(questions)) as pool:
            asked = [pool.submit(_timed, *question) for question in questions]
            return [each.result() for each in asked]

    def check_written(self) -> None:
        """Check that the database has what was acknowledged, and nothing that was not."""
        for name, watch in self._watches.items():
            written = self._shared.acknowledged(name)
            assert watch.done <= written <= watch.sent

    def watch_health(self) -> Iterator[int]:
        """Return what gRPC health reports from now on, until the port is closed."""
        stub: Any = health_pb2_grpc.HealthStub(self._shared.client(0).channel)
        answers = stub.Watch(_HEALTH, timeout=DEADLINE_S)
        return (answer.status for answer in answers)

    def _get(self, path: str) -> tuple[Status, str]:
        return self._shared.server(0).get(path)

    def _post(self, path: str, body: object) -> tuple[Status, str]:
        header = {"Content-Type": "application/json"}
        answer = self._shared.server(0).ask(path, json.dumps(body).encode(), header)
        return answer.status, answer.text

    def _ack(self, event_id: str) -> tuple[Status, str]:
        return self._post("/ack", {"id": event_id})

    def _acknowledge(self, event_id: str) -> tuple[Status, str]:
        request = watcher_pb2.AcknowledgeRequest(ids=[event_id])
        with closing(self._shared.client(0)) as client:
            channel: Any = client.channel
            stub: Any = watcher_pb2_grpc.DeliveryStub(channel)
            return _called(lambda: stub.Acknowledge(request, timeout=DEADLINE_S))

    def _check_health(self) -> tuple[Status, str]:
        with closing(self._shared.client(0)) as client:
            stub: Any = health_pb2_grpc.HealthStub(client.channel)
            return _called(lambda: stub.Check(_HEALTH, timeout=DEADLINE_S))

    def _start_stream(self) -> tuple[Status, str]:
        with closing(self._shared.client(0)) as client:
            stream = client.start(f"new{next(self._numbers)}", config(self._new_place))
            return stream.wait_end() if stream.has_ended_before_it_was_ready() else (OK, "")


def _timed(question: str, ask: Callable[[], tuple[Status, str]]) -> Answer:
    start_s = time.monotonic()
    status, text = ask()
    return Answer(question, status, text, time.monotonic() - start_s)


def _called(call: Callable[[], object]) -> tuple[Status, str]:
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), str(error.details())
    return OK, ""
