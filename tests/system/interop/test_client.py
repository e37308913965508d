"""The client of Argo Events before a server: what it dispatches, what it says, and what it gets after somebody failed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.client import wait_until
from support.writing import contents, fill, replayed
from system.interop.pods import Listener, event_source, place_of, secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.client import Event
    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

MANY = 20_000
KIB = 1024
WINDOW = "7s"
"""Now and then the client opens a stream that it never reads, and the one that it does read 5 s later: all of it must come again then."""


@pytest.fixture
def listen(
    run: Callable[[AbstractContextManager[Listener]], Listener], name: str, tmp_path: Path
) -> Callable[..., Listener]:
    """Return what starts a client of a server; it takes the server, the configuration, and fields of the event source."""

    def start(
        server: ServerProcess | None,
        config: Event | str,
        secrets: Path | None = None,
        **fields: object,
    ) -> Listener:
        event = {"url": server.address if server else "", "config": config} | fields
        return run(Listener(event_source("files", **{name: event}), name, tmp_path, secrets))

    return start


def test_a_directory(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """Each change of a directory is dispatched as JSON, with the payload below ``body``."""
    client = listen(server, {"directory": str(root), "metadata": {"team": "data"}})
    server.wait_watch(name, state="watching")
    (root / "a.csv").write_text("1")
    client.wait_path("a.csv")
    (root / "a.csv").write_text("22")
    client.wait_path("a.csv", "modified")
    (root / "a.csv").rename(root / "b.csv")
    client.wait_path("b.csv", "moved")
    (root / "b.csv").unlink()
    bodies = client.wait_path("b.csv", "deleted")
    assert [(body["seq"], body["type"], body["size"]) for body in bodies] == [
        (1, "created", 1),
        (2, "modified", 2),
        (3, "moved", 2),
        (4, "deleted", 2),
    ]
    assert {body["metadata"]["team"] for body in bodies} == {"data"}


def test_a_bucket(
    server: ServerProcess, listen: Callable[..., Listener], s3_server: S3Server, name: str
) -> None:
    """Each change of a bucket is dispatched, whatever the store."""
    bucket = s3_server.make_bucket()
    client = listen(server, {"s3": place_of(s3_server, bucket)})
    server.wait_watch(name, state="watching")
    store = s3_server.client()
    store.put_object(Bucket=bucket, Key="in/a b.csv", Body=b"1")
    client.wait_path("in/a b.csv")
    store.delete_object(Bucket=bucket, Key="in/a b.csv")
    bodies = client.wait_path("in/a b.csv", "deleted")
    store.close()
    assert [(body["type"], body["uri"]) for body in (bodies[0], bodies[-1])] == [
        ("created", f"s3://{bucket}/in/a%20b.csv"),
        ("deleted", f"s3://{bucket}/in/a%20b.csv"),
    ]


def test_without_json_body(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """With ``jsonBody: false`` the body is the payload in base64."""
    client = listen(server, {"directory": str(root)}, jsonBody=False)
    server.wait_watch(name, state="watching")
    (root / "a.csv").write_text("1")
    [body] = client.wait_count(1)
    assert json.loads(base64.b64decode(body))["path"] == "a.csv"


@pytest.mark.parametrize(
    ("format_", "path"),
    [("cloudevents", ("data", "path")), ("s3", ("Records", 0, "s3", "object", "key"))],
)
def test_formats(
    server: ServerProcess,
    listen: Callable[..., Listener],
    moto_server: S3Server,
    name: str,
    format_: str,
    path: tuple[str | int, ...],
) -> None:
    """The other formats arrive below ``body`` as well."""
    bucket = moto_server.make_bucket()
    client = listen(server, {"s3": place_of(moto_server, bucket), "format": format_})
    server.wait_watch(name, state="watching")
    moto_server.put_many(bucket, ["a.csv"])
    [found] = client.wait_count(1)
    for key in path:
        found = found[key]
    assert found == "a.csv"


def test_a_batch(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """A batch arrives as one body."""
    client = listen(server, {"directory": str(root), "batch": {"max_events": 3, "max_wait": "1m"}})
    server.wait_watch(name, state="watching")
    for file in ("a", "b", "c"):
        (root / file).write_text("1")
    [body] = client.wait_count(1)
    assert body["count"] == 3
    assert [event["path"] for event in body["events"]] == ["a", "b", "c"]


def test_the_largest_payload(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """A batch of nearly 512 KiB, the most there is, arrives whole."""
    number, metadata = 117, {"text": "x" * 4000}
    client = listen(
        server,
        {
            "directory": str(root),
            "metadata": metadata,
            "batch": {"max_events": number + 1, "max_wait": "1s"},
        },
    )
    server.wait_watch(name, state="watching")
    fill(root, number)
    bodies = client.wait_count(1)
    client.wait_for(
        lambda _: sum(body["count"] for body in client.bodies()) == number, "all events are there"
    )
    assert 496 * KIB < len(client.lines[0]) <= 512 * KIB + len(b'{"body":}\n')
    assert all(event["metadata"] == metadata for event in bodies[0]["events"])


def test_twenty_thousand_at_once(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """A burst of 20,000 files arrives, each once and in order."""
    client = listen(server, {"directory": str(root)})
    server.wait_watch(name, state="watching")
    fill(root, MANY)
    bodies = client.wait_count(MANY)
    assert [body["seq"] for body in bodies] == list(range(1, MANY + 1))
    assert {body["path"] for body in bodies} == {f"in/{number}" for number in range(MANY)}


def test_a_token(
    start_server: Callable[..., ServerProcess],
    listen: Callable[..., Listener],
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """The token of ``authSecret`` opens a stream, and its name is the principal."""
    tokens = tmp_path / "tokens"
    tokens.write_text("orders:s3cret\n")
    server = start_server("--token-file", str(tokens))
    server.token = "s3cret"  # noqa: S105 - not a secret
    # Who writes a secret with an editor has a line end in it.
    client = listen(
        server,
        {"directory": str(root)},
        secret(tmp_path, {"token": "s3cret\n"}),
        authSecret={"name": "watcher-token", "key": "token"},
    )
    server.wait_streams(1)
    server.wait_watch(name, principal="orders")
    assert "Unauthenticated" not in client.log


@pytest.mark.parametrize("shown", ["wrong", None])
def test_a_wrong_token(
    start_server: Callable[..., ServerProcess],
    listen: Callable[..., Listener],
    root: Path,
    tmp_path: Path,
    shown: str | None,
) -> None:
    """A wrong token and none at all are told in the client's log, with what to do."""
    tokens = tmp_path / "tokens"
    tokens.write_text("orders:s3cret\n")
    server = start_server("--token-file", str(tokens))
    if shown:
        secrets = secret(tmp_path, {"token": shown})
        client = listen(
            server,
            {"directory": str(root)},
            secrets,
            authSecret={"name": "watcher-token", "key": "token"},
        )
    else:
        client = listen(server, {"directory": str(root)})
    wait_until(lambda: "Unauthenticated" in client.log, "the client is refused")
    assert "authSecret" in client.log


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("directory: /data\nincluded: ['*']\n", "line 2, included: unknown key"),
        ("directory: /is/not/there\n", "NotFound"),
        ("directory: [", "InvalidArgument"),
    ],
)
def test_a_wrong_configuration(
    server: ServerProcess, listen: Callable[..., Listener], config: str, message: str
) -> None:
    """What is wrong with a configuration stands in the client's log, on one line."""
    client = listen(server, config)
    wait_until(lambda: "failed to receive events" in client.log, "the client is refused")
    [line, *_] = [line for line in client.log.splitlines() if "failed to receive events" in line]
    assert message in json.loads(line)["error"]


def test_insecure_false(server: ServerProcess, listen: Callable[..., Listener], root: Path) -> None:
    """Without ``insecure: true`` the client never connects, and says that it has no transport security."""
    client = listen(server, {"directory": str(root)}, insecure=False)
    wait_until(lambda: "no transport security set" in client.log, "the client complains")


def test_a_server_that_comes_late(
    start_server: Callable[..., ServerProcess],
    listen: Callable[..., Listener],
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A client that was there before its server connects when there is one."""
    first = start_server(directory=tmp_path)
    first.stop()
    client = listen(first, {"directory": str(root)})
    wait_until(lambda: "connection refused" in client.log, "the client finds nobody")
    second = start_server("--listen", first.address, directory=tmp_path)
    second.wait_watch(name, state="watching")
    (root / "a.csv").write_text("1")
    client.wait_path("a.csv")


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_server_restarts(
    start_server: Callable[..., ServerProcess],
    listen: Callable[..., Listener],
    root: Path,
    name: str,
    tmp_path: Path,
    ending: str,
) -> None:
    """When the server ends, in order or not, nothing is lost, and only what was not confirmed comes twice, with the same id."""
    server = start_server("--redelivery-window", WINDOW, directory=tmp_path)
    client = listen(server, {"directory": str(root)})
    server.wait_watch(name, state="watching")
    for number in range(100):
        (root / f"before{number}").write_text("1")
    client.wait_count(100)
    confirmed = server.wait_confirmed(name, 100)
    (root / "before0").write_text("22")
    client.wait_count(101)
    getattr(server, ending)()
    (root / "before1").unlink()
    (root / "while").write_text("333")
    server = start_server(
        "--redelivery-window", WINDOW, "--listen", server.address, directory=tmp_path
    )
    server.wait_watch(name, state="watching")
    (root / "after").write_text("4")
    bodies = client.wait_path("after")
    assert _restored(bodies) == contents(root)
    assert bodies[101]["seq"] > confirmed


def test_client_restarts(
    start_server: Callable[..., ServerProcess],
    listen: Callable[..., Listener],
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """When the client is killed, its successor gets everything that was not confirmed, and what came meanwhile."""
    server = start_server("--redelivery-window", WINDOW, directory=tmp_path)
    first = listen(server, {"directory": str(root)})
    server.wait_watch(name, state="watching")
    for number in range(100):
        (root / f"before{number}").write_text("1")
    first.wait_count(100)
    confirmed = server.wait_confirmed(name, 100)
    (root / "before0").write_text("22")
    first.wait_count(101)
    first.kill()
    (root / "while").write_text("333")
    second = listen(server, {"directory": str(root)})
    second.wait_path("while")
    (root / "after").write_text("4")
    bodies = second.wait_path("after")
    assert bodies[0]["seq"] > confirmed
    assert _restored([*first.bodies(), *bodies]) == contents(root)


def test_two_clients(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """During a rolling update both clients get everything, byte for byte the same."""
    clients = [listen(server, {"directory": str(root)}) for _ in range(2)]
    wait_until(
        lambda: clients[0].log.count("started event stream") == 2,
        "both have a stream; they share a log",
    )
    server.wait_watch(name, state="watching")
    fill(root, 100)
    first, second = [client.wait_count(100) for client in clients]
    assert first == second


def test_acknowledgement(
    server: ServerProcess, listen: Callable[..., Listener], root: Path, name: str
) -> None:
    """With ``confirm: ack`` an event comes again until its id is acknowledged."""
    client = listen(server, {"directory": str(root), "confirm": "ack", "ack_timeout": "1s"})
    server.wait_watch(name, state="watching")
    (root / "a.csv").write_text("1")
    bodies = client.wait_count(3)
    assert len({body["id"] for body in bodies}) == 1
    assert server.post("/ack", {"id": bodies[0]["id"]})[0] == 200
    server.wait_watch(name, unconfirmed=0)


def _restored(bodies: list[Any]) -> dict[str, int]:
    """Return the files with sizes that the events make, each id counted once; the same id must mean the same event."""
    by_id: dict[str, Event] = {}
    for body in bodies:
        assert by_id.setdefault(body["id"], body) == body
    assert [body["seq"] for body in by_id.values()] == list(range(1, len(by_id) + 1))
    return replayed(by_id.values())
