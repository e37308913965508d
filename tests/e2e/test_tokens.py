"""The token file changes while the server runs; it is mounted as Kubernetes mounts a Secret."""

import shutil
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
from support.fixtures import Connect, StartServer
from support.raw_http2 import RawClient
from support.server import ServerProcess

LARGE = {"padding": "x" * 4000}


class Secret:
    """A mounted Secret with a token file.

    Args:
        directory: The mount point, which is made.
        lines: Lines of the file.
    """

    def __init__(self, directory: Path, *lines: str) -> None:
        self._directory = directory
        self._version = 0
        directory.mkdir()
        self.file = directory / "tokens"
        self.file.symlink_to("..data/tokens")
        self.write(*lines)

    def write(self, *lines: str) -> None:
        """Replace the content, as the kubelet does."""
        former, self._version = self._version, self._version + 1
        version = self._directory / f"..{self._version}"
        version.mkdir()
        (version / "tokens").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")
        shutil.rmtree(self._directory / f"..{former}", ignore_errors=not former)


class Guarded(NamedTuple):
    """A server and its tokens."""

    server: ServerProcess
    secret: Secret

    def replace(self, *lines: str) -> None:
        """Replace the tokens, and wait until the server uses them."""
        before = len(self.server.lines("files.reloaded"))
        self.secret.write(*lines)
        self.server.wait_logged("files.reloaded", before + 1)

    def is_outdated(self) -> bool:
        return self.server.metric("watcher_outdated_files", kind="tokens") == 1


@pytest.fixture
def guarded(start_server: StartServer, tmp_path: Path) -> Guarded:
    """Start a server with tokens of two names."""
    secret = Secret(tmp_path / "secret", "alice:one", "bob:two")
    return Guarded(start_server("--token-file", str(secret.file)), secret)


@pytest.fixture
def guest(guarded: Guarded, connect: Connect) -> Client:
    return connect(guarded.server)


def test_tokens_are_required(guest: Client, root: Path, name: str) -> None:
    for token in ("", "three"):
        code, details = guest.refusal(name, config(root), token=token)
        assert code is StatusCode.UNAUTHENTICATED
        assert "one" not in details.split()
    guest.watch(name, config(root), token="one")


def test_tokens_come_and_go(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """A removed token ends its streams and no other; its successor has the same watch."""
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


def test_a_token_that_changes_hands(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """A token that belongs to another name now ends the streams that it opened before."""
    stream = guest.watch(name, config(root), token="one")
    guarded.replace("carol:one", "bob:two")
    assert stream.wait_end().code is StatusCode.UNAUTHENTICATED
    guest.watch(name, config(root), token="one")


def test_a_stream_that_is_blocked_ends_too(
    guarded: Guarded, contract: Contract, root: Path, name: str
) -> None:
    """A client that reads nothing does not keep its stream when its token is removed."""
    touch(root, 20)
    with RawClient(guarded.server.address, contract, is_acknowledging=False) as raw:
        asked = config(root, existing="report", metadata=LARGE)
        stream = raw.start(name, asked, authorization="Bearer one")
        raw.wait_until(lambda: len(stream.data) == 65_535, "the window is used up")
        guarded.server.wait_streams(1)
        guarded.replace("bob:two")
        guarded.server.wait_streams(0)


def test_a_broken_file_changes_nothing(
    guarded: Guarded, guest: Client, root: Path, name: str
) -> None:
    """The former tokens stay valid; log and metric report the file until it is mended."""
    stream = guest.watch(name, config(root), token="one")
    assert not guarded.is_outdated()
    guarded.secret.write("carol:four", "no token")
    wait_until(guarded.is_outdated, "the metric reports it")
    (line,) = guarded.server.lines("files.unusable")
    assert line["level"] == "error"
    assert "line 2" in line["error"]
    assert guest.refusal(name, config(root), token="four").code is StatusCode.UNAUTHENTICATED
    guest.watch(name, config(root), token="one")
    guarded.replace("alice:one", "carol:four")
    assert not guarded.is_outdated()
    assert stream.is_open
    guest.watch(name, config(root), token="four")


def test_health_and_reflection_need_no_token(guest: Client) -> None:
    """Probes and tools are answered, since that reveals nothing of what is watched."""
    stub: Any = health_pb2_grpc.HealthStub(guest.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert "generic.Eventing" in ProtoReflectionDescriptorDatabase(guest.channel).get_services()
