"""Servers for a Sensor's triggers: a Kubernetes API as far as they use it, and an HTTP service."""

import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from support.client import Event, wait_until
from support.s3.endpoint import serve
from support.s3.faults import Answer

CREATED, CONFLICT = 201, 409


class Posted(NamedTuple):
    """A request: the path of its URL, and its JSON object."""

    path: str
    body: Any


class Recorder:
    """An HTTP server that records all requests; use it as a context manager."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self._lock = threading.Lock()
        self._serving = serve(self._respond)

    def __enter__(self) -> Self:
        self.url = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def answer(self, posted: Posted) -> tuple[int, Event]:  # noqa: ARG002 - used by subclasses
        """Return status and body of the answer to a request."""
        return CREATED, {}

    def wait_count(self, count: int) -> list[Posted]:
        """Wait for a number of requests, and return all."""
        wait_until(lambda: len(self.posted) >= count, f"{count} requests; there are {self.posted}")
        return list(self.posted)

    def _respond(self, _method: str, path: str, _headers: Mapping[str, str], body: bytes) -> Answer:
        posted = Posted(path, json.loads(body))
        with self._lock:
            status, answer = self.answer(posted)
            self.posted.append(posted)
        return Answer(json.dumps(answer).encode(), status, {"Content-Type": "application/json"})


class KubernetesApi(Recorder):
    """Creates objects, and refuses a name that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: list[Event] = []

    def answer(self, posted: Posted) -> tuple[int, Event]:
        name = posted.body["metadata"]["name"]
        if any(there["metadata"]["name"] == name for there in self.objects):
            refusal = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
            refusal |= {"reason": "AlreadyExists", "message": f"{name} already exists"}
            return CONFLICT, refusal | {"code": CONFLICT}
        self.objects.append(posted.body)
        self.created(posted.body)
        return CREATED, posted.body

    def wait_objects(self, count: int) -> list[Event]:
        """Wait for a number of objects, and return all; events that come again make none."""
        wait_until(lambda: len(self.objects) >= count, f"{count} objects; {self.objects}")
        return list(self.objects)

    def created(self, resource: Event) -> None:
        """Do what the cluster does with a new object; here nothing."""
