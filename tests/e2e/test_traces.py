"""Traces: what a collector gets from a server whose environment names one, and what it costs where none is named."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.client import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess


class Collector(ThreadingHTTPServer):
    """Takes spans as OpenTelemetry's collector does.

    Attributes:
        requests: What has come.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Connection)

    def spans(self) -> dict[str, dict[str, object]]:
        """Return the attributes of the last span of each name."""
        scopes = [
            scope
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
        ]
        return {
            span.name: {
                each.key: getattr(each.value, str(each.value.WhichOneof("value")))
                for each in span.attributes
            }
            for scope in scopes
            for span in scope.spans
        }


class _Connection(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Keep what comes."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of no interest
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_spans(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """A scan and a delivery are a span each, with the watch, its place and what they were about; the last ones are sent at the stop."""
    with collecting() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        server = start_server(environment=variables)
        stream = connect(server).watch(name, {"directory": str(root)})
        wait_until(lambda: "scan" in collector.spans(), "the scan is traced")
        (root / "a").touch()
        stream.wait_count(1)
        assert server.stop() == 0
        place = {"watch": name, "place": f"file://{root}"}
        assert collector.spans() == {
            "scan": place | {"reason": ""},
            "deliver": place | {"payloads": 1},
        }
        resource = collector.requests[0].resource_spans[0].resource
        assert {each.key: each.value.string_value for each in resource.attributes}[
            "service.name"
        ] == "watcher"


def test_a_collector_that_hangs(tmp_path: Path) -> None:
    """The end of a process waits for the last spans, but not for a collector that takes them and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        program = "from watcher.telemetry.tracing import configure_traces, span\nend = configure_traces()\nwith span('x'): pass\nend(); print('ended')"
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_nothing_is_imported_where_nothing_is_wanted() -> None:
    """A server whose environment names no collector loads nothing of OpenTelemetry."""
    program = "import sys, watcher.server as s; s.configure_traces()(); sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], env={}, check=False).returncode == 0


def test_a_missing_extra_is_told(tmp_path: Path) -> None:
    """Where traces are wanted and not installed, the server says so and goes on."""
    absence = "import sys; sys.modules['opentelemetry'] = None"
    program = f"{absence}\nfrom watcher.telemetry.tracing import configure_traces, span\nconfigure_traces()()\nwith span('x'): pass"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "watcher-eventsource[otel]" in done.stdout
