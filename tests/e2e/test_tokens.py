"""Who is let in, while the token file changes below the server; the file is mounted as a Secret of Kubernetes is."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from support.client import DEADLINE_S, wait_until
from support.raw_http2 import RawClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Contract, Event
    from support.server import ServerProcess

LARGE = {"padding": "x" * 4000}
OUTDATED = 'watcher_outdated_files{kind="tokens"} '


class Secret:
    """A mounted Secret with a token file.

    Args:
        directory: Where it is mounted.
        lines: Of the file.
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
        """Replace the tokens, and wait until the server has taken them."""
        before = len(self.server.lines("files.reloaded"))
        self.secret.write(*lines)
        wait_until(
            lambda: len(self.server.lines("files.reloaded")) > before, "the tokens are taken"
        )

    def outdated(self) -> str:
        """Return the metric that says whether the file cannot be used."""
        return next(
            line.removeprefix(OUTDATED)
            for line in self.server.get("/metrics")[1].splitlines()
            if line.startswith(OUTDATED)
        )


@pytest.fixture
def guarded(start_server: Callable[..., ServerProcess], tmp_path: Path) -> Guarded:
    """Start a server with tokens of two names."""
    secret = Secret(tmp_path / "secret", "alice:one", "bob:two")
    return Guarded(start_server("--token-file", str(secret.file)), secret)


@pytest.fixture
def guest(guarded: Guarded, connect: Callable[..., Client]) -> Client:
    """Connect to it."""
    return connect(guarded.server)


def config(root: Path, **more: object) -> Event:
    """Return a configuration for a directory."""
    return {"directory": {"path": str(root), "settle": "100ms"}, **more}


def test_tokens_come_and_go(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """A token that is taken back ends its stream with UNAUTHENTICATED, and no other; its successor has the same watch."""
    alice = guest.watch(name, config(root), token="one")  # noqa: S106 - not a secret
    bob = guest.watch(name, config(root), token="two")  # noqa: S106 - likewise
    guarded.replace("alice:one", "alice:three", "bob:two")
    successor = guest.watch(name, config(root), token="three")  # noqa: S106 - likewise
    for token in ("three", "two"):
        guarded.server.token = token
        assert list(guarded.server.watches()) == [name]
    guarded.replace("alice:three", "bob:two")
    code, details = alice.wait_end()
    assert code is StatusCode.UNAUTHENTICATED
    assert "authSecret" in details
    assert guest.refusal(name, config(root), token="one").code is StatusCode.UNAUTHENTICATED  # noqa: S106 - likewise
    (root / "a").write_text("1")
    for stream in (bob, successor):
        assert [event["path"] for event in stream.wait_count(1)] == ["a"]
        assert stream.is_open


def test_a_token_that_changes_hands(guarded: Guarded, guest: Client, root: Path, name: str) -> None:
    """A token that belongs to another name now ends the streams that it opened before."""
    stream = guest.watch(name, config(root), token="one")  # noqa: S106 - not a secret
    guarded.replace("carol:one", "bob:two")
    assert stream.wait_end().code is StatusCode.UNAUTHENTICATED
    guest.watch(name, config(root), token="one")  # noqa: S106 - likewise


def test_a_stream_that_is_blocked_ends_too(
    guarded: Guarded, contract: Contract, root: Path, name: str
) -> None:
    """A client that takes nothing does not keep its stream when its token is taken back."""
    with RawClient(guarded.server.address, contract, is_acknowledging=False) as raw:
        text = json.dumps(config(root, existing="report", metadata=LARGE))
        for number in range(20):
            (root / f"{number}").touch()
        stream = raw.start(name, text, authorization="Bearer one")
        raw.wait_until(lambda: len(stream.data) == 65_535, "all has come that the client lets")
        guarded.server.wait_streams(1)
        guarded.replace("bob:two")
        guarded.server.wait_streams(0)


def test_a_broken_file_changes_nothing(
    guarded: Guarded, guest: Client, root: Path, name: str
) -> None:
    """With a file that cannot be used the tokens of before hold; log and metric say so until it is mended."""
    stream = guest.watch(name, config(root), token="one")  # noqa: S106 - not a secret
    assert guarded.outdated() == "0.0"
    guarded.secret.write("carol:four", "no token")
    wait_until(lambda: guarded.outdated() == "1.0", "the metric says that the file is broken")
    (line,) = guarded.server.lines("files.unusable")
    assert line["level"] == "error"
    assert "line 2" in line["error"]
    assert guest.refusal(name, config(root), token="four").code is StatusCode.UNAUTHENTICATED  # noqa: S106 - likewise
    guest.watch(name, config(root), token="one")  # noqa: S106 - likewise
    guarded.replace("alice:one", "carol:four")
    assert guarded.outdated() == "0.0"
    assert stream.is_open
    guest.watch(name, config(root), token="four")  # noqa: S106 - likewise


def test_health_and_reflection_need_no_token(guest: Client) -> None:
    """Probes and tools are answered without a token, since that tells nothing of what is watched."""
    stub: Any = health_pb2_grpc.HealthStub(guest.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert "generic.Eventing" in ProtoReflectionDescriptorDatabase(guest.channel).get_services()
