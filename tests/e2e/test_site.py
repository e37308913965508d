"""The HTTP port: who may see the status page and press its button; what the probes report."""

import json
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.client import DEADLINE_S, Client, Contract, wait_until
from support.config import config
from support.files import fill
from support.fixtures import Connect, Serve, StartServer
from support.server import ServerProcess

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}


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
    """A browser is asked for a token, and shown that name's watches, changes and streams alone."""
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
    wait_until(
        lambda: json.loads(strict.ask("/status.json", headers=basic("first")).text)["streams"] == 1,
        "streams of former tests have ended",
    )
    for headers in (basic("first"), {"Authorization": "Bearer first"}):
        status, body, answered = strict.ask(path, headers=headers)
        assert status == 200
        assert f"{root}/one" in body
        assert "file of one" in body
        assert "other" not in body.replace(name, "")
        assert path == "/" or json.loads(body)["streams"] == 1
        assert "default-src 'none'" in answered["Content-Security-Policy"]
    for open_path in ("/healthz", "/readyz", "/metrics", "/page.css", "/page.js"):
        assert strict.ask(open_path).status == 200
    assert strict.ask("/none").status == 404


def test_answers_at_the_same_time(
    strict: ServerProcess, connect: Connect, root: Path, name: str
) -> None:
    """However many ask at once, each gets an answer to what it asked, about its own watches."""
    client = connect(strict)
    for token in ("first", "second"):
        (root / token).mkdir()
        client.watch(f"{name} of {token}", config(root / token), token=token)

    def ask(token: str, path: str) -> str:
        return strict.ask(path, headers=basic(token)).text

    asked = [
        (token, path)
        for path in ("/status.json", "/", f"/?q={name}", "/?q=none-such")
        for token in ("first", "second")
    ] * 5
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(ask, *zip(*asked, strict=True)))
    for (token, path), answer in zip(asked, answers, strict=True):
        shown = {each for each in ("first", "second") if f"{root}/{each}" in answer}
        assert shown == (set() if "none-such" in path else {token})
        assert answer.startswith("{" if "json" in path else "<!doctype html>")


def test_the_last_hour(serve: Serve, root: Path, name: str) -> None:
    """The page draws what the status has as numbers; a watch without changes has none."""
    server, client = serve("--redelivery-window", "1s")
    stream = client.watch(name, config(root))
    before = server.watches()[name]
    assert (before["changes_per_minute"], before["lag_per_minute_s"]) == ([], [])
    assert "<svg" not in server.get("/")[1]
    fill(root, "a", "b", "c")
    stream.wait_count(3)
    server.wait_watch(name, unconfirmed=0)
    after = server.watches()[name]
    assert [len(after[key]) for key in ("changes_per_minute", "lag_per_minute_s")] == [60, 60]
    assert sum(after["changes_per_minute"][-2:]) == sum(after["changes_per_minute"]) == 3
    assert max(after["lag_per_minute_s"][-2:]) >= 1.0
    assert "The last hour: 3 changes, up to " in server.get("/")[1]


def test_a_script_gets_403_for_a_wrong_token(strict: ServerProcess) -> None:
    """The page's script gets 403, for which no browser asks its user or forgets a token."""
    fetch = {"X-Requested-With": "fetch"}
    for headers in ({}, basic("wrong")):
        status, body, answered = strict.ask("/", headers=headers | fetch)
        assert (status, "token" in body, answered["WWW-Authenticate"]) == (403, True, None)
    assert strict.ask("/", headers=basic("first") | fetch).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((f"{name}evil.example:8081", 421) for name in ("", "127.0.0.1.", "localhost.")),
        *(("evil.example", 421), ("[::1", 421), ("127.0.0.1", 200), ("[::1]:8081", 200)),
        *(("10.0.0.7:8081", 200), ("LocalHost:1", 200)),
    ],
)
def test_host_names(server: ServerProcess, host: str, status: int) -> None:
    """A name that was rebound to this machine reads probes and metrics alone; no address is one."""
    headers = {"Host": host}
    assert server.ask("/status.json", headers=headers).status == status
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.ask(path, headers=headers).status == 200
    if status != 200:
        for path, body in (("/", None), ("/page.js", None), ("/ack", b"{}"), ("/release", b"{}")):
            answer = server.ask(path, body, headers)
            assert answer.status == status
            assert "use 127.0.0.1 or localhost, or start the server with" in answer.text


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
        (basic("first") | TEXT, {"name": "mine"}, 400, JSON["Content-Type"]),
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


def test_a_server_that_cannot_write_its_state_is_not_ready(serve: Serve) -> None:
    """Probe, gRPC health, metric, status and log report it, and its end; the server stays alive."""
    server, client = serve()
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
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
