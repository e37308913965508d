"""The token file changes while the server runs; ``tests/component/security`` has Secrets."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from support.client import DEADLINE_S, Client, Contract, wait_until
from support.config import config
from support.files import fill, touch
from support.fixtures import Connect, Serve
from support.raw_http2 import RawClient
from support.server import ServerProcess

LARGE = {"padding": "x" * 4000}


class Guarded(NamedTuple):
    """A server and its file of tokens."""

    server: ServerProcess
    file: Path

    def write(self, *lines: str) -> None:
        """Replace the file by a rename."""
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.file)

    def replace(self, *lines: str) -> None:
        """Replace the tokens, and wait until the server uses them."""
        before = len(self.server.lines("files.reloaded"))
        self.write(*lines)
        self.server.wait_logged("files.reloaded", before + 1)

    def is_outdated(self) -> bool:
        return self.server.metric("watcher_outdated_files", kind="tokens") == 1


@pytest.fixture
def guarded(serve: Serve, tmp_path: Path) -> Guarded:
    """Start a server with tokens of two names."""
    server, _ = serve(tokens="alice:one bob:two")
    return Guarded(server, tmp_path / "tokens")


@pytest.fixture
def guest(guarded: Guarded, connect: Connect) -> Client:
    return connect(guarded.server)


def test_tokens_come_and_go(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """A removed token, or one of another name now, ends its streams; its successor goes on."""
    code, details = guest.refusal(name, config(root))
    assert (code, "one" in details.split()) == (StatusCode.UNAUTHENTICATED, False)
    alice = guest.watch(name, config(root), token="one")
    bob = guest.watch(name, config(root), token="two")
    guarded.replace("alice:one", "alice:three", "bob:two")
    successor = guest.watch(name, config(root), token="three")
    for token in ("three", "two"):
        guarded.server.token = token
        assert list(guarded.server.watches()) == [name]
    guarded.replace("alice:three", "bob:two")
    code, details = alice.wait_end()
    assert code is StatusCode.UNAUTHENTICATED
    assert "authSecret" in details
    assert guest.refusal(name, config(root), token="one").code is StatusCode.UNAUTHENTICATED
    fill(root, "a")
    for stream in (bob, successor):
        assert [event["path"] for event in stream.wait_count(1)] == ["a"]
        assert stream.is_open
    guarded.replace("carol:two")
    assert bob.wait_end().code is StatusCode.UNAUTHENTICATED
    guest.watch(name, config(root), token="two")


def test_blocked_stream(guarded: Guarded, contract: Contract, root: Path, name: str) -> None:
    """A client that reads nothing does not keep its stream when its token is removed."""
    touch(root, 20)
    with RawClient(guarded.server.address, contract, is_acknowledging=False) as raw:
        asked = config(root, existing="report", metadata=LARGE)
        stream = raw.start(name, asked, authorization="Bearer one")
        raw.wait_until(lambda: len(stream.data) == 65_535, "the window is used up")
        guarded.server.wait_streams(1)
        guarded.replace("bob:two")
        guarded.server.wait_streams(0)


def test_broken_file(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """The former tokens stay valid; log and metric report the file until it is mended."""
    stream = guest.watch(name, config(root), token="one")
    assert not guarded.is_outdated()
    guarded.write("carol:four", "no token")
    wait_until(guarded.is_outdated, "the metric reports it")
    (line,) = guarded.server.wait_logged("files.unusable")
    assert line["level"] == "error"
    assert "line 2" in line["error"]
    assert guest.refusal(name, config(root), token="four").code is StatusCode.UNAUTHENTICATED
    guest.watch(name, config(root), token="one")
    guarded.replace("alice:one", "carol:four")
    wait_until(lambda: not guarded.is_outdated(), "the metric reports it")
    assert stream.is_open
    guest.watch(name, config(root), token="four")


@pytest.mark.parametrize("service", ["", "generic.Eventing"])
def test_health_and_reflection_need_no_token(guest: Client, service: str) -> None:
    """Probes and tools are answered, since that reveals nothing of what is watched."""
    stub: Any = health_pb2_grpc.HealthStub(guest.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflected = ProtoReflectionDescriptorDatabase(guest.channel)
    assert "generic.Eventing" in reflected.get_services()
    assert reflected.FindFileContainingSymbol("generic.Eventing").package == "generic"
