"""Servers for a Sensor's triggers: a Kubernetes API as far as they use it, and an HTTP service."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from support.client import Event, wait_until

CREATED, CONFLICT = 201, 409


class Posted(NamedTuple):
    """A request: the path of its URL, and its JSON object."""

    path: str
    body: Any


class Recorder:
    """An HTTP server on 127.0.0.1 that records requests; use it as a context manager.

    Attributes:
        posted: All requests, also refused ones.
    """

    def __init__(self) -> None:
        self.posted: list[Posted] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805 - the recorder is self here
                posted = Posted(
                    handler.path,
                    json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))),
                )
                status, answer = self.answer(posted)
                self.posted.append(posted)
                text = json.dumps(answer).encode()
                handler.send_response(status)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(text)))
                handler.end_headers()
                handler.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, posted: Posted) -> tuple[int, Event]:  # noqa: ARG002 - used by subclasses
        """Return status and body of the answer to a request."""
        return CREATED, {}

    def wait_count(self, count: int) -> list[Posted]:
        """Wait for a number of requests, and return all."""
        wait_until(lambda: len(self.posted) >= count, f"{count} requests; there are {self.posted}")
        return list(self.posted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class KubernetesApi(Recorder):
    """Creates objects, and refuses a name that is taken.

    Attributes:
        objects: The created objects, in order.
    """

    def __init__(self) -> None:
        self.objects: list[Event] = []
        self._lock = threading.Lock()
        super().__init__()

    def answer(self, posted: Posted) -> tuple[int, Event]:
        name = posted.body["metadata"]["name"]
        with self._lock:
            if any(there["metadata"]["name"] == name for there in self.objects):
                refusal = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "reason": "AlreadyExists",
                    "code": CONFLICT,
                }
                return CONFLICT, refusal | {"message": f"{name} already exists"}
            self.objects.append(posted.body)
        return CREATED, posted.body
