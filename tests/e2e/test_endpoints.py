"""What operators and their tools ask a server: health, reflection, probes, metrics, status."""

from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from support.client import DEADLINE_S, Client
from support.config import config
from support.files import fill
from support.fixtures import StartServer
from support.server import ServerProcess


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    """Start a server whose metrics are those of this module alone."""
    return start_server()


@pytest.mark.parametrize("service", ["", "generic.Eventing"])
def test_health(client: Client, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(client: Client) -> None:
    """Reflection lists the service and describes its method as the contract has it."""
    reflected = ProtoReflectionDescriptorDatabase(client.channel)
    assert "generic.Eventing" in reflected.get_services()
    (service,) = reflected.FindFileContainingSymbol("generic.Eventing").service
    (method,) = service.method
    described = (method.name, method.input_type, method.output_type)
    assert described == ("StartEventSource", ".generic.EventSource", ".generic.Event")
    assert (method.client_streaming, method.server_streaming) == (False, True)


def test_probes(server: ServerProcess) -> None:
    paths = ("/healthz", "/readyz", "/none")
    assert [server.get(path)[0] for path in paths] == [200, 200, 404]


def test_status_and_metrics(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """Status, status page and metrics agree about a watch; no metric names a place."""
    stream = client.watch(name, config(root))
    fill(root, "a")
    stream.wait_count(1)
    watch = server.watches()[name]
    described = (watch["place"], watch["state"], watch["mode"])
    assert described == (f"file://{root}", "watching", "notify")
    assert (watch["streams"], watch["entries"], watch["events"]) == (1, 1, {"created": 1})
    assert server.status()["streams"] == 1
    assert name in server.get("/")[1]
    assert str(root) not in server.get("/metrics")[1]
    assert server.metric("watcher_streams") == 1
    assert server.metric("watcher_entries") == 1
    assert server.metric("watcher_events_total", type="created") == 1
    assert server.metric("watcher_watches", mode="notify", state="watching") == 1


def test_markup_in_names_is_shown_as_text(
    server: ServerProcess, client: Client, root: Path
) -> None:
    client.watch("<script>alert(1)</script>", config(root))
    page = server.get("/")[1]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
