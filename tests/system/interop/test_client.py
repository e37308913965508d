"""The client of Argo Events with a server: what it dispatches and logs, also after failures."""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from support.client import Event, wait_until
from support.config import config
from support.events import replay
from support.files import burst, fill, read_files
from support.fixtures import StartServer
from support.ports import free_ports
from support.server import ServerProcess
from system.interop.pods import TOKENS, Listener, auth, event_source, secret

MANY = 20_000
KIB = 1024
WINDOW = "7s"
"""Redelivery window; the client may open a stream that it never reads, and the next 5 s later."""

Listen: TypeAlias = Callable[..., Listener]


@pytest.fixture
def listen(
    run: Callable[[AbstractContextManager[Listener]], Listener], name: str, tmp_path: Path
) -> Listen:
    """Return a function that starts a client, and by default waits for its watch.

    It takes the server, the configuration, a directory of secrets, whether to wait, and fields of
    the event source.
    """

    def start(
        server: ServerProcess,
        asked: Event | str,
        secrets: Path | None = None,
        *,
        is_waiting: bool = True,
        **fields: object,
    ) -> Listener:
        event = {"url": server.address, "config": asked} | fields
        client = run(Listener(event_source("files", **{name: event}), name, tmp_path, secrets))
        if is_waiting:
            server.wait_watch(name, state="watching")
        return client

    return start


def test_a_directory(server: ServerProcess, listen: Listen, root: Path) -> None:
    """Each change is dispatched as JSON, with the payload below ``body``."""
    client = listen(server, config(root, metadata={"team": "data"}))
    (root / "a.csv").write_text("1")
    client.wait_path("a.csv")
    (root / "a.csv").write_text("22")
    client.wait_path("a.csv", "modified")
    (root / "a.csv").rename(root / "b.csv")
    client.wait_path("b.csv", "moved")
    (root / "b.csv").unlink()
    bodies = client.wait_path("b.csv", "deleted")
    found = [(body["seq"], body["type"], body["size"]) for body in bodies]
    assert found == [(1, "created", 1), (2, "modified", 2), (3, "moved", 2), (4, "deleted", 2)]
    assert {body["metadata"]["team"] for body in bodies} == {"data"}


def test_without_json_body(server: ServerProcess, listen: Listen, root: Path) -> None:
    """With ``jsonBody: false`` the body is the payload in base64."""
    client = listen(server, config(root), jsonBody=False)
    fill(root, "a.csv")
    [body] = client.wait_count(1)
    assert json.loads(base64.b64decode(body))["path"] == "a.csv"


def test_the_largest_payload(server: ServerProcess, listen: Listen, root: Path) -> None:
    """A batch of nearly 512 KiB, the largest there is, arrives complete."""
    number, metadata = 120, {"text": "x" * 3900}
    batch = {"max_events": number + 1, "max_wait": "1s"}
    client = listen(server, config(root, metadata=metadata, batch=batch))
    burst(root, number)
    bodies = client.wait_count(1)
    client.wait_for(lambda _: sum(body["count"] for body in client.bodies()) == number)
    assert 496 * KIB < len(client.stdout[0]) <= 512 * KIB + len(b'{"body":}\n')
    assert all(event["metadata"] == metadata for event in bodies[0]["events"])


def test_twenty_thousand_at_once(server: ServerProcess, listen: Listen, root: Path) -> None:
    client = listen(server, config(root))
    paths = burst(root, MANY)
    bodies = client.wait_count(MANY)
    assert [body["seq"] for body in bodies] == list(range(1, MANY + 1))
    assert {body["path"] for body in bodies} == set(paths)


@pytest.mark.parametrize("shown", ["wrong", None])
def test_a_wrong_token(
    start_server: StartServer, listen: Listen, root: Path, tmp_path: Path, shown: str | None
) -> None:
    """A wrong or missing token is in the client's log, with what to do."""
    server = start_server(tokens=TOKENS)
    secrets, fields = (secret(tmp_path, shown), auth()) if shown else (None, {})
    client = listen(server, config(root), secrets, is_waiting=False, **fields)
    wait_until(lambda: "Unauthenticated" in client.stderr, "the client is refused")
    assert "authSecret" in client.stderr


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("directory: /data\nincluded: ['*']\n", "line 2, included: unknown key"),
        ("directory: /is/not/there\n", "NotFound"),
        ("directory: [", "InvalidArgument"),
    ],
)
def test_a_wrong_configuration(
    server: ServerProcess, listen: Listen, asked: str, message: str
) -> None:
    """The error of a configuration is one line of the client's log."""
    client = listen(server, asked, is_waiting=False)
    wait_until(lambda: "failed to receive events" in client.stderr, "the client is refused")
    [line, *_] = [line for line in client.stderr.splitlines() if "failed to receive events" in line]
    assert message in json.loads(line)["error"]


def test_insecure_false(server: ServerProcess, listen: Listen, root: Path) -> None:
    """Without ``insecure: true`` the client never connects, and logs why."""
    client = listen(server, config(root), is_waiting=False, insecure=False)
    wait_until(lambda: "no transport security set" in client.stderr, "the client complains")


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_server_restarts(
    start_server: StartServer, listen: Listen, root: Path, name: str, tmp_path: Path, ending: str
) -> None:
    """Nothing is lost, and only what was not confirmed comes twice, with the same id."""
    (port,) = free_ports(1)
    flags = ("--redelivery-window", WINDOW, "--listen", f"127.0.0.1:{port}")
    server = start_server(*flags, directory=tmp_path)
    client = listen(server, config(root))
    fill(root, *(f"before{number}" for number in range(100)))
    client.wait_count(100)
    confirmed = server.wait_confirmed(name, 100)
    (root / "before0").write_text("22")
    client.wait_count(101)
    getattr(server, ending)()
    (root / "before1").unlink()
    (root / "while").write_text("333")
    server = start_server(*flags, directory=tmp_path)
    server.wait_watch(name, state="watching")
    (root / "after").write_text("4")
    bodies = client.wait_path("after")
    by_id: dict[str, Event] = {}
    for body in bodies:
        assert by_id.setdefault(body["id"], body) == body
    assert [body["seq"] for body in by_id.values()] == list(range(1, len(by_id) + 1))
    assert replay(by_id.values()) == read_files(root)
    assert bodies[101]["seq"] > confirmed
