"""What operators and their tools ask a server: health, reflection, probes, metrics, status; and TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from e2e.certificates import Authority
from e2e.client import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.client import Client
    from e2e.server import ServerProcess


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
    assert (method.name, method.input_type, method.output_type) == ("StartEventSource", ".generic.EventSource", ".generic.Event")
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
    assert (watch["place"], watch["state"], watch["mode"]) == (f"file://{root}", "watching", "notify")
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


def test_markup_in_names_is_shown_as_text(server: ServerProcess, client: Client, root: Path) -> None:
    """A name that is HTML does not become part of the status page."""
    client.watch("<script>alert(1)</script>", {"directory": str(root)})
    page = server.get("/")[1]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_tls(start_server: Callable[..., ServerProcess], connect: Callable[..., Client], tmp_path: Path, root: Path, name: str) -> None:
    """With a certificate and its key the server speaks TLS, to clients that trust its authority, and nothing else."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    server = start_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    trusting = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    stream = connect(server, credentials=trusting).watch(name, {"directory": str(root)})
    (root / "a").write_text("1")
    stream.wait_count(1)
    assert connect(server).refusal(name, {"directory": str(root)}).code is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls(
    start_server: Callable[..., ServerProcess], connect: Callable[..., Client], tmp_path: Path, root: Path, name: str
) -> None:
    """With an authority for clients, one with its certificate is let in, and one without or with another's is not."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    pair = authority.issue("server")
    flags = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), "--tls-client-ca", str(authority.certificate)]
    server = start_server(*flags)

    def credentials(issuer: Authority | None) -> grpc.ChannelCredentials:
        own = issuer.issue("client") if issuer else None
        key, chain = (own.key.read_bytes(), own.certificate.read_bytes()) if own else (None, None)
        return grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, chain)

    connect(server, credentials=credentials(authority)).watch(name, {"directory": str(root)})
    for issuer in (None, stranger):
        ending = connect(server, credentials=credentials(issuer)).refusal(name, {"directory": str(root)})
        assert ending.code is grpc.StatusCode.UNAVAILABLE
