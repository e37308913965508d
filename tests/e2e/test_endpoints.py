"""What operators and their tools ask a server: health, reflection, probes, metrics, status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from prometheus_client.parser import text_string_to_metric_families

from support.client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Start a server whose numbers are those of this module alone."""
    return start_server()


@pytest.mark.parametrize("service", ["", "generic.Eventing"])
def test_health(client: Client, service: str) -> None:
    """The server and its service are SERVING."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(client: Client) -> None:
    """Reflection lists the service and describes its method as the contract has it."""
    reflected = ProtoReflectionDescriptorDatabase(client.channel)
    assert "generic.Eventing" in reflected.get_services()
    (service,) = reflected.FindFileContainingSymbol("generic.Eventing").service
    (method,) = service.method
    assert (method.name, method.input_type, method.output_type) == (
        "StartEventSource",
        ".generic.EventSource",
        ".generic.Event",
    )
    assert method.server_streaming
    assert not method.client_streaming


def test_probes(server: ServerProcess) -> None:
    """The probes answer 200, and an unknown page 404."""
    assert server.get("/healthz")[0] == 200
    assert server.get("/readyz")[0] == 200
    assert server.get("/none")[0] == 404


def test_status_and_metrics(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """Status, status page and metrics tell the same of a watch with a stream and an event; no metric names a place."""
    stream = client.watch(name, {"directory": str(root)})
    (root / "a").write_text("1")
    stream.wait_count(1)
    watch = server.watches()[name]
    assert (watch["place"], watch["state"], watch["mode"]) == (
        f"file://{root}",
        "watching",
        "notify",
    )
    assert (watch["streams"], watch["entries"], watch["events"]) == (1, 1, {"created": 1})
    assert json.loads(server.get("/status.json")[1])["streams"] == 1
    assert name in server.get("/")[1]

    text = server.get("/metrics")[1]
    assert str(root) not in text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["watcher_streams",] == 1
    assert samples["watcher_entries",] == 1
    assert samples["watcher_events_total", "created"] == 1
    assert samples["watcher_watches", "notify", "watching"] == 1


def test_markup_in_names_is_shown_as_text(
    server: ServerProcess, client: Client, root: Path
) -> None:
    """A name that is HTML does not become part of the status page."""
    client.watch("<script>alert(1)</script>", {"directory": str(root)})
    page = server.get("/")[1]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
