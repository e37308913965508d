"""Traces: what a collector receives that the environment names, and their cost without one."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.client import wait_until
from support.config import config
from support.files import fill
from support.fixtures import Serve

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector(ThreadingHTTPServer):
    """Receives spans as OpenTelemetry's collector does.

    Attributes:
        requests: The received requests.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Connection)

    def spans(self) -> dict[str, dict[str, object]]:
        """Return the attributes of the last span of each name."""
        return {
            span.name: {
                each.key: getattr(each.value, str(each.value.WhichOneof("value")))
                for each in span.attributes
            }
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


class _Connection(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of no interest
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def run_python(program: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python that must succeed, with these variables alone."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=variables, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_spans(serve: Serve, root: Path, name: str) -> None:
    """A scan and a delivery are a span each; the last ones are sent at the stop."""
    with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        variables = {ENDPOINT: endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        server, client = serve(environment=variables)
        stream = client.watch(name, config(root))
        wait_until(lambda: "scan" in collector.spans(), "the scan is traced")
        fill(root, "a")
        stream.wait_count(1)
        assert server.stop() == 0
        place = {"watch": name, "place": f"file://{root}"}
        expected = {"scan": place | {"reason": ""}, "deliver": place | {"payloads": 1}}
        assert collector.spans() == expected
        resource = collector.requests[0].resource_spans[0].resource
        values = {each.key: each.value.string_value for each in resource.attributes}
        assert values["service.name"] == "watcher"


def test_a_collector_that_hangs(tmp_path: Path) -> None:
    """The end of a process waits for the last spans only as long as the exporter's timeout."""
    program = """
from watcher.telemetry.tracing import configure_traces, span
end = configure_traces()
with span('x'): pass
end(); print('ended')
"""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        endpoint = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        variables = {ENDPOINT: endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1000"}
        assert run_python(program, tmp_path, **variables).stdout == "ended\n"


def test_nothing_is_imported_where_nothing_is_wanted(tmp_path: Path) -> None:
    """Without a collector in the environment, no module of OpenTelemetry is loaded."""
    program = """
import sys, watcher.server
watcher.server.configure_traces()()
sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))
"""
    run_python(program, tmp_path)


def test_a_missing_extra_is_logged(tmp_path: Path) -> None:
    """A server whose environment names a collector logs that the extra is missing, and goes on."""
    program = """
import sys; sys.modules['opentelemetry'] = None
from watcher.telemetry.tracing import configure_traces, span
configure_traces()()
with span('x'): pass
"""
    done = run_python(program, tmp_path, **{ENDPOINT: "http://127.0.0.1:9"})
    assert "watcher-eventsource[otel]" in done.stdout
