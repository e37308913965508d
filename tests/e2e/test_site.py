"""The HTTP port: who may see the status page and press its button; what the probes report."""

import json
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S, Client, Contract, wait_until
from support.config import config
from support.fixtures import Connect, StartServer
from support.server import ServerProcess

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def strict(start_server: StartServer) -> ServerProcess:
    return start_server(tokens="one:first other:second")


@pytest.fixture(scope="module")
def mine(
    strict: ServerProcess, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> ServerProcess:
    """Leave a watch of the first token running without a stream; return the server."""
    with closing(Client(strict.address, contract, token="first")) as client:
        client.watch("mine", config(tmp_path_factory.mktemp("mine")))
    return strict


def basic(token: str) -> dict[str, str]:
    """Return the headers of a browser that has asked its user."""
    return {"Authorization": f"Basic {b64encode(f'anyone:{token}'.encode()).decode()}"}


@pytest.mark.parametrize("path", ["/", "/status.json"])
def test_a_token_shows_its_own(
    strict: ServerProcess, connect: Connect, root: Path, name: str, path: str
) -> None:
    """A browser is asked for a token, and shown that name's watches and changes alone."""
    client = connect(strict)
    for token, owner in (("first", "one"), ("second", "other")):
        (root / owner).mkdir()
        stream = client.watch(f"{owner}'s", config(root / owner), token=token)
        (root / owner / f"file of {owner}").touch()
        stream.wait_count(1)
    broken = [{"Authorization": f"Basic {text}"} for text in ("%", "/w==")]
    for headers in ({}, basic("wrong"), *broken):
        status, body, answered = strict.ask(path, headers=headers)
        assert (status, answered["WWW-Authenticate"].startswith("Basic ")) == (401, True)
        assert str(root) not in body
    for headers in (basic("first"), {"Authorization": "Bearer first"}):
        status, body, answered = strict.ask(path, headers=headers)
        assert status == 200
        assert f"{root}/one" in body
        assert "file of one" in body
        assert "other" not in body.replace(name, "")
        assert "default-src 'none'" in answered["Content-Security-Policy"]
    for open_path in ("/healthz", "/readyz", "/metrics", "/page.css", "/page.js"):
        assert strict.ask(open_path).status == 200


def test_a_script_is_told_that_its_token_is_not_good(strict: ServerProcess) -> None:
    """The page's script gets 403, for which no browser asks its user or forgets a token."""
    fetch = {"X-Requested-With": "fetch"}
    for headers in ({}, basic("wrong")):
        status, body, answered = strict.ask("/", headers=headers | fetch)
        assert (status, "token" in body, answered["WWW-Authenticate"]) == (403, True, None)
    assert strict.ask("/", headers=basic("first") | fetch).status == 200


def test_a_token_counts_its_own_streams(
    strict: ServerProcess, connect: Connect, root: Path
) -> None:
    client = connect(strict)
    for number, token in enumerate(("first", "first", "second")):
        client.watch(str(number), config(root), token=token)

    def streams(token: str) -> int:
        return int(json.loads(strict.ask("/status.json", headers=basic(token)).text)["streams"])

    wait_until(lambda: (streams("first"), streams("second")) == (2, 1), "each sees its own")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8081",
        "127.0.0.1.evil.example:8081",
        "localhost.evil.example",
        "[::1",
    ],
)
def test_a_strangers_name(server: ServerProcess, host: str) -> None:
    """A page whose host name was rebound to this machine reads probes and metrics alone."""
    paths: list[tuple[str, bytes | None]] = [
        (path, None) for path in ("/", "/status.json", "/page.js")
    ]
    for path, body in [*paths, ("/ack", b"{}"), ("/release", b"{}")]:
        status, text, _ = server.ask(path, body, {"Host": host})
        hint = "use 127.0.0.1 or localhost, or start the server with --token-file"
        assert (status, hint in text) == (421, True)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.ask(path, headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8081", "10.0.0.7:8081", "LocalHost:1"])
def test_a_name_that_no_stranger_has(server: ServerProcess, host: str) -> None:
    """Loopback names and addresses are accepted with any port, since it may be forwarded."""
    assert server.ask("/status.json", headers={"Host": host}).status == 200


def test_where_names_are_free(strict: ServerProcess, start_server: StartServer, root: Path) -> None:
    """A server that requires tokens, or listens beyond loopback, has any name."""
    wide = start_server("--http", "0.0.0.0:0", "--allow-directory", str(root))
    headers = basic("first") | {"Host": "watcher.example"}
    for server in (strict, wide):
        assert server.ask("/status.json", headers=headers).status == 200


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({}, {"name": "x"}, 401, "no token"),
        (basic("first"), urlencode({"name": "mine", "csrf_token": "forged"}), 403, "CSRF token"),
        (basic("first"), urlencode({"name": "mine"}), 403, "CSRF token"),
        (
            basic("first") | {"Content-Type": "text/plain"},
            {"name": "mine"},
            400,
            JSON["Content-Type"],
        ),
        (basic("first") | JSON, {}, 400, "not a release request"),
        (basic("second") | JSON, {"name": "mine"}, 404, "no watch"),
        (basic("first") | JSON, {"name": "mine"}, 200, '"released": 0'),
    ],
)
def test_who_may_release(
    mine: ServerProcess, headers: dict[str, str], body: object, status: int, text: str
) -> None:
    """Only the owner, by the page's own form or by JSON, which no other site can send."""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    answer = mine.ask("/release", data, headers)
    assert answer.status == status
    assert text in answer.text


def test_a_server_that_cannot_write_its_state_is_not_ready(
    start_server: StartServer, connect: Connect
) -> None:
    """Probe, gRPC health, metric, status and log report it, and its end; the server stays alive."""
    server = start_server()
    stub: Any = health_pb2_grpc.HealthStub(connect(server).channel)
    request = health_pb2.HealthCheckRequest(service="generic.Eventing")

    def is_serving() -> bool:
        answer = stub.Check(request, timeout=DEADLINE_S)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    assert is_serving()
    aside = server.state.rename(server.state.with_name("aside"))
    wait_until(lambda: server.get("/readyz")[0] == 503, "it is not ready")
    assert "cannot be written: No such file or directory" in server.get("/readyz")[1]
    assert "cannot be written" in server.status()["problem"]
    assert server.metric("watcher_ready") == 0
    assert server.get("/healthz")[0] == 200
    wait_until(lambda: not is_serving(), "health reports it")
    aside.rename(server.state)
    wait_until(lambda: server.get("/readyz")[0] == 200, "it is ready again")
    wait_until(is_serving, "health reports it")
    assert len(server.lines("server.unready")) == 1
