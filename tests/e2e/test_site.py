"""Who may see the operator's page, and press its button; and what the probes say of a server that cannot work."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S, Client, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message
    from pathlib import Path

    from support.client import Contract
    from support.server import ServerProcess

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def strict(
    start_server: Callable[..., ServerProcess], tmp_path_factory: pytest.TempPathFactory
) -> ServerProcess:
    """Start a server that asks for tokens."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("one:first\nother:second\n")
    return start_server("--token-file", str(tokens))


@pytest.fixture(scope="module")
def mine(
    strict: ServerProcess, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> ServerProcess:
    """Have the first token's watch running, which goes on without its stream; return the server."""
    with closing(Client(strict.address, contract)) as client:
        client.watch("mine", {"directory": str(tmp_path_factory.mktemp("mine"))}, token="first")  # noqa: S106 - not a secret
    return strict


def basic(token: str) -> dict[str, str]:
    """Return what a browser sends."""
    return {"Authorization": f"Basic {b64encode(f'anyone:{token}'.encode()).decode()}"}


def ask(
    server: ServerProcess, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, str, Message]:
    """Send a request, and return status, body and headers of the answer."""
    try:
        with urlopen(  # noqa: S310 - our own server
            Request(server.http + path, body, dict(headers)),  # noqa: S310 - our own server
            timeout=DEADLINE_S,
        ) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


@pytest.mark.parametrize("path", ["/", "/status.json"])
def test_a_token_shows_its_own(
    strict: ServerProcess, connect: Callable[..., Client], root: Path, name: str, path: str
) -> None:
    """Without a token nothing is shown, and a browser is asked for one; with it, a name's own watches and changes alone."""
    client = connect(strict)
    for token, owner in (("first", "one"), ("second", "other")):
        (root / owner).mkdir()
        stream = client.watch(f"{owner}'s", {"directory": f"{root}/{owner}"}, token=token)
        (root / owner / f"file of {owner}").touch()
        stream.wait_count(1)
    for headers in (
        {},
        basic("wrong"),
        {"Authorization": "Basic %"},
        {"Authorization": "Basic /w=="},
    ):
        status, body, answered = ask(strict, path, headers)
        assert (status, answered["WWW-Authenticate"].startswith("Basic ")) == (401, True)
        assert str(root) not in body
    for headers in (basic("first"), {"Authorization": "Bearer first"}):
        status, body, answered = ask(strict, path, headers)
        assert status == 200
        assert f"{root}/one" in body
        assert "file of one" in body
        assert "other" not in body.replace(name, "")
        assert "default-src 'none'" in answered["Content-Security-Policy"]
    for open_path in ("/healthz", "/readyz", "/metrics", "/page.css", "/page.js"):
        assert ask(strict, open_path, {})[0] == 200


def test_a_script_is_told_that_its_token_is_not_good(strict: ServerProcess) -> None:
    """What the script of a page sends is answered with 403, for which no browser asks its user or forgets a token."""
    for headers in ({}, basic("wrong")):
        status, body, answered = ask(strict, "/", headers | {"X-Requested-With": "fetch"})
        assert (status, "token" in body, answered["WWW-Authenticate"]) == (403, True, None)
    assert ask(strict, "/", basic("first") | {"X-Requested-With": "fetch"})[0] == 200


def test_a_token_counts_its_own_streams(
    strict: ServerProcess, connect: Callable[..., Client], root: Path
) -> None:
    """A token is told the number of its own streams, not that of all."""
    client = connect(strict)
    for number, token in enumerate(("first", "first", "second")):
        client.watch(str(number), {"directory": str(root)}, token=token)

    def streams(token: str) -> int:
        return int(json.loads(ask(strict, "/status.json", basic(token))[1])["streams"])

    wait_until(lambda: (streams("first"), streams("second")) == (2, 1), "each is told of its own")


STRANGERS = [
    "evil.example",
    "evil.example:8081",
    "127.0.0.1.evil.example:8081",
    "localhost.evil.example",
    "[::1",
]


@pytest.mark.parametrize("host", STRANGERS)
def test_a_strangers_name(server: ServerProcess, host: str) -> None:
    """Without tokens a page whose name was made to lead to this machine reads nothing but probes and metrics, and changes nothing."""
    for path, body in (
        ("/", None),
        ("/status.json", None),
        ("/page.js", None),
        ("/ack", b"{}"),
        ("/release", b"{}"),
    ):
        status, text, _ = ask(server, path, {"Host": host}, body)
        assert (
            status,
            "use 127.0.0.1 or localhost, or start the server with --token-file" in text,
        ) == (
            421,
            True,
        )
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(server, path, {"Host": host})[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:8081", "10.0.0.7:8081", "LocalHost:1"])
def test_a_name_that_no_stranger_has(server: ServerProcess, host: str) -> None:
    """What leads to this machine alone, or is no name, is answered with or without a port, whichever it is: it may be forwarded."""
    assert ask(server, "/status.json", {"Host": host})[0] == 200


def test_where_names_are_free(
    strict: ServerProcess, start_server: Callable[..., ServerProcess], root: Path
) -> None:
    """Where a token is asked for, or more than this machine reaches the port, the server goes by any name."""
    wide = start_server("--http", "0.0.0.0:0", "--allow-directory", str(root))
    for server in (strict, wide):
        assert ask(server, "/status.json", basic("first") | {"Host": "watcher.example"})[0] == 200


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({}, b'{"name": "x"}', 401, "no token"),
        (
            basic("first"),
            urlencode({"name": "mine", "csrf_token": "forged"}).encode(),
            403,
            "CSRF token",
        ),
        (basic("first"), urlencode({"name": "mine"}).encode(), 403, "CSRF token"),
        (
            basic("first") | {"Content-Type": "text/plain"},
            b'{"name": "mine"}',
            400,
            "application/json",
        ),
        (basic("first") | JSON, b"{}", 400, "not a release request"),
        (basic("second") | JSON, b'{"name": "mine"}', 404, "no watch"),
        (basic("first") | JSON, b'{"name": "mine"}', 200, '"released": 0'),
    ],
)
def test_who_may_release(
    mine: ServerProcess, headers: dict[str, str], body: bytes, status: int, text: str
) -> None:
    """The button takes a form of our own page or JSON, from who watches: nobody else, and no other site through a browser."""
    answer = ask(mine, "/release", headers, body)
    assert answer[0] == status
    assert text in answer[1]


def test_a_server_that_cannot_write_its_state_is_not_ready(
    start_server: Callable[..., ServerProcess], connect: Callable[..., Client]
) -> None:
    """Probe, gRPC health, metric and log tell that the state directory cannot be written, and that it can be again; it stays alive."""
    server = start_server()
    stub: Any = health_pb2_grpc.HealthStub(connect(server).channel)

    def is_serving() -> bool:
        answer = stub.Check(
            health_pb2.HealthCheckRequest(service="generic.Eventing"), timeout=DEADLINE_S
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    assert is_serving()
    aside = server.state.rename(server.state.with_name("aside"))
    wait_until(lambda: server.get("/readyz")[0] == 503, "it is not ready")
    assert "cannot be written: No such file or directory" in server.get("/readyz")[1]
    assert "cannot be written" in json.loads(server.get("/status.json")[1])["problem"]
    assert "\nwatcher_ready 0.0\n" in server.get("/metrics")[1]
    assert server.get("/healthz")[0] == 200
    wait_until(lambda: not is_serving(), "health says so")
    aside.rename(server.state)
    wait_until(lambda: server.get("/readyz")[0] == 200, "it is ready again")
    wait_until(is_serving, "health says so")
    assert len(server.lines("server.unready")) == 1
