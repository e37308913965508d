"""The servers that a Sensor's triggers talk to: the Kubernetes API as far as they use it, and any other HTTP service."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from support.client import wait_until

if TYPE_CHECKING:
    from support.client import Event

CREATED, CONFLICT = 201, 409


class Posted(NamedTuple):
    """A request as it came.

    Attributes:
        path: Of the URL.
        body: The JSON object.
    """

    path: str
    body: Any


class Recorder:
    """An HTTP server on a free port of 127.0.0.1 that keeps what is posted to it; use it as a context manager.

    Attributes:
        posted: All requests, also those that were refused.
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
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, posted: Posted) -> tuple[int, Event]:  # noqa: ARG002 - for those who answer otherwise
        """Return status and body of the answer to a request."""
        return CREATED, {}

    def wait_count(self, count: int) -> list[Posted]:
        """Wait until so many requests have come, and return all that have."""
        wait_until(lambda: len(self.posted) >= count, f"{count} requests; there are {self.posted}")
        return list(self.posted)

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class KubernetesApi(Recorder):
    """Creates objects; a name that is taken is refused as Kubernetes does.

    Attributes:
        objects: What was created, in order.
    """

    def __init__(self) -> None:
        self.objects: list[Event] = []
        self._lock = threading.Lock()
        super().__init__()

    def answer(self, posted: Posted) -> tuple[int, Event]:
        """Create the object, or say that it is there."""
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
