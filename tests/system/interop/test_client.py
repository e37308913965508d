"""The client of Argo Events with a server: what it dispatches and logs, also after failures."""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from support.client import Event, wait_until
from support.config import config
from support.events import replay
from support.files import BURST_NAME, burst, fill, read_files
from support.fixtures import StartServer
from support.s3.real_servers import S3Server
from support.server import ServerProcess
from system.interop.pods import TOKEN, TOKENS, Listener, auth, event_source, secret

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


def test_a_bucket(server: ServerProcess, listen: Listen, s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket()
    client = listen(server, config(s3_server, bucket=bucket, addressing_style="path"))
    store = s3_server.client()
    store.put_object(Bucket=bucket, Key="in/a b.csv", Body=b"1")
    client.wait_path("in/a b.csv")
    store.delete_object(Bucket=bucket, Key="in/a b.csv")
    bodies = client.wait_path("in/a b.csv", "deleted")
    store.close()
    uri = f"s3://{bucket}/in/a%20b.csv"
    found = [(body["type"], body["uri"]) for body in (bodies[0], bodies[-1])]
    assert found == [("created", uri), ("deleted", uri)]


def test_without_json_body(server: ServerProcess, listen: Listen, root: Path) -> None:
    """With ``jsonBody: false`` the body is the payload in base64."""
    client = listen(server, config(root), jsonBody=False)
    fill(root, "a.csv")
    [body] = client.wait_count(1)
    assert json.loads(base64.b64decode(body))["path"] == "a.csv"


@pytest.mark.parametrize(
    ("format_", "path"),
    [("cloudevents", ("data", "path")), ("s3", ("Records", 0, "s3", "object", "key"))],
)
def test_formats(
    server: ServerProcess,
    listen: Listen,
    moto_server: S3Server,
    format_: str,
    path: tuple[str | int, ...],
) -> None:
    """The other formats come below ``body`` as well."""
    bucket = moto_server.make_bucket()
    client = listen(server, config(moto_server, bucket=bucket, format=format_))
    moto_server.put_many(bucket, ["a.csv"])
    [found] = client.wait_count(1)
    for key in path:
        found = found[key]
    assert found == "a.csv"


def test_a_batch(server: ServerProcess, listen: Listen, root: Path) -> None:
    client = listen(server, config(root, batch={"max_events": 3, "max_wait": "1m"}))
    fill(root, "a", "b", "c")
    [body] = client.wait_count(1)
    assert body["count"] == 3
    assert [event["path"] for event in body["events"]] == ["a", "b", "c"]


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
    burst(root, MANY)
    bodies = client.wait_count(MANY)
    assert [body["seq"] for body in bodies] == list(range(1, MANY + 1))
    assert {body["path"] for body in bodies} == {f"{BURST_NAME}/{one}" for one in range(MANY)}


def test_a_token(
    start_server: StartServer, listen: Listen, root: Path, name: str, tmp_path: Path
) -> None:
    """The token of ``authSecret``, with the line end of an editor, opens a stream of its name."""
    server = start_server(tokens=TOKENS)
    client = listen(server, config(root), secret(tmp_path, f"{TOKEN}\n"), **auth())
    server.wait_watch(name, principal="orders")
    assert "Unauthenticated" not in client.stderr


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


def test_a_server_that_comes_late(
    start_server: StartServer, listen: Listen, root: Path, name: str, tmp_path: Path
) -> None:
    """A client that was there before its server connects when there is one."""
    first = start_server(directory=tmp_path)
    first.stop()
    client = listen(first, config(root), is_waiting=False)
    wait_until(lambda: "connection refused" in client.stderr, "the client finds no server")
    second = start_server("--listen", first.address, directory=tmp_path)
    second.wait_watch(name, state="watching")
    fill(root, "a.csv")
    client.wait_path("a.csv")


def confirm_hundred(server: ServerProcess, client: Listener, root: Path, name: str) -> int:
    """Have a hundred events confirmed, and one more delivered; return what is confirmed."""
    fill(root, *(f"before{number}" for number in range(100)))
    client.wait_count(100)
    confirmed = server.wait_confirmed(name, 100)
    (root / "before0").write_text("22")
    client.wait_count(101)
    return confirmed


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_server_restarts(
    start_server: StartServer, listen: Listen, root: Path, name: str, tmp_path: Path, ending: str
) -> None:
    """Nothing is lost, and only what was not confirmed comes twice, with the same id."""
    window = ("--redelivery-window", WINDOW)
    server = start_server(*window, directory=tmp_path)
    client = listen(server, config(root))
    confirmed = confirm_hundred(server, client, root, name)
    getattr(server, ending)()
    (root / "before1").unlink()
    (root / "while").write_text("333")
    server = start_server(*window, "--listen", server.address, directory=tmp_path)
    server.wait_watch(name, state="watching")
    (root / "after").write_text("4")
    bodies = client.wait_path("after")
    assert_complete(bodies, root)
    assert bodies[101]["seq"] > confirmed


def test_client_restarts(
    start_server: StartServer, listen: Listen, root: Path, name: str, tmp_path: Path
) -> None:
    """The successor of a killed client gets what was not confirmed, and what came meanwhile."""
    server = start_server("--redelivery-window", WINDOW, directory=tmp_path)
    first = listen(server, config(root))
    confirmed = confirm_hundred(server, first, root, name)
    first.close()
    (root / "while").write_text("333")
    second = listen(server, config(root), is_waiting=False)
    second.wait_path("while")
    (root / "after").write_text("4")
    bodies = second.wait_path("after")
    assert bodies[0]["seq"] > confirmed
    assert_complete([*first.bodies(), *bodies], root)


def test_two_clients(server: ServerProcess, listen: Listen, root: Path) -> None:
    """During a rolling update both clients get everything."""
    clients = [listen(server, config(root)) for _ in range(2)]
    for client in clients:
        client.wait_for(lambda client: "started event stream" in client.stderr)
    burst(root, 100)
    first, second = (client.wait_count(100) for client in clients)
    assert first == second


def test_acknowledgement(server: ServerProcess, listen: Listen, root: Path, name: str) -> None:
    """With ``confirm: ack`` an event comes again until its id is acknowledged."""
    client = listen(server, config(root, confirm="ack", ack_timeout="1s"))
    fill(root, "a.csv")
    bodies = client.wait_count(3)
    assert len({body["id"] for body in bodies}) == 1
    assert server.post("/ack", {"id": bodies[0]["id"]})[0] == 200
    server.wait_watch(name, unconfirmed=0)


def assert_complete(bodies: list[Any], root: Path) -> None:
    """Check that the events make the tree; the same id must mean the same event."""
    by_id: dict[str, Event] = {}
    for body in bodies:
        assert by_id.setdefault(body["id"], body) == body
    assert [body["seq"] for body in by_id.values()] == list(range(1, len(by_id) + 1))
    assert replay(by_id.values()) == read_files(root)
