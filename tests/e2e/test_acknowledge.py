"""``confirm: ack``: an event comes again on the open stream until its id is acknowledged."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.client import DEADLINE_S, Client, Event, Stream
from support.config import config
from support.files import fill
from support.fixtures import Connect, StartServer
from support.server import ServerProcess
from watcher._proto import watcher_pb2, watcher_pb2_grpc

SOON = "1s"
NOBODY = "0123456789abcdef-1"
"""An id that no server has given."""


def acknowledged(root: Path, ack_timeout: str = "10m", **keys: object) -> Event:
    return config(root, confirm="ack", ack_timeout=ack_timeout, **keys)


def ids(stream: Stream) -> list[str]:
    return [event["id"] for event in stream.events]


def test_what_is_not_acknowledged_comes_again(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """It comes with the same bytes each time; an acknowledged event does not come again."""
    before = server.metric("watcher_redelivered_payloads_total")
    stream = client.watch(name, acknowledged(root, SOON))
    fill(root, "a")
    first = stream.wait_count(1)[0]["id"]
    assert server.post("/ack", {"id": first}) == (200, {"acknowledged": 1, "unknown": []})
    fill(root, "b")
    stream.wait_count(4)
    assert ids(stream)[0] == first
    assert set(ids(stream)[1:]) == {stream.events[1]["id"]} != {first}
    assert len(set(stream.payloads[1:])) == 1
    server.wait_watch(name, unconfirmed=1)
    assert server.post("/ack", {"ids": [stream.events[1]["id"]]})[0] == 200
    server.wait_watch(name, unconfirmed=0)
    redelivered = server.metric("watcher_redelivered_payloads_total") - before
    assert redelivered == len(stream.events) - 2


def test_time_confirms_nothing(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """After kill -9 the next stream gets what was not acknowledged, whatever the window is."""
    fill(root, "before")
    first = start_server("--redelivery-window", "0s", directory=tmp_path)
    stream = connect(first).watch(name, acknowledged(root))
    fill(root, "a", "b", "c", "d")
    stream.wait_count(4)
    by_path = {event["path"]: event["id"] for event in stream.events}
    assert first.post("/ack", {"ids": [by_path["a"], by_path["c"]]})[0] == 200
    delivered = zip(stream.payloads, stream.events, strict=True)
    kept = [payload for payload, event in delivered if event["path"] in {"b", "d"}]
    first.kill()

    second = start_server("--redelivery-window", "0s", directory=tmp_path)
    stream = connect(second).watch(name, acknowledged(root))
    fill(root, "e")
    stream.wait_path("e")
    assert stream.payloads[:2] == kept
    assert len(stream.payloads) == 3


def test_over_grpc(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """The service ``Delivery`` takes ids as well, and returns those that no event has."""
    stream = client.watch(name, acknowledged(root))
    fill(root, "a", "b")
    stream.wait_count(2)
    stub: Any = watcher_pb2_grpc.DeliveryStub(client.channel)  # type: ignore[arg-type]  # the stubs are for asyncio
    request = watcher_pb2.AcknowledgeRequest(ids=[*ids(stream), NOBODY, "nonsense"])
    answer = stub.Acknowledge(request, timeout=DEADLINE_S)
    assert list(answer.unknown_ids) == [NOBODY, "nonsense"]
    server.wait_watch(name, unconfirmed=0)


def test_batches_are_acknowledged_as_a_whole(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """The id of a batch, or of any event in it, confirms the payload that was delivered."""
    stream = client.watch(name, acknowledged(root, batch={"max_events": 2}))
    fill(root, "a", "b", "c", "d")
    batches = stream.wait_for(lambda batches: sum(batch["count"] for batch in batches) == 4)
    assert server.post("/ack", {"id": batches[0]["id"]})[0] == 200
    server.wait_watch(name, unconfirmed=4 - batches[0]["count"])
    rest = [batch["events"][0]["id"] for batch in batches[1:]]
    assert server.post("/ack", {"ids": rest})[0] == 200
    server.wait_watch(name, unconfirmed=0)


def test_many_consumers_acknowledge_at_once(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    stream = client.watch(name, acknowledged(root))
    fill(root, *(f"{number:03}" for number in range(300)))
    stream.wait_count(300)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda one: server.post("/ack", {"id": one})[0], reversed(ids(stream)))
    assert set(answers) == {200}
    server.wait_watch(name, unconfirmed=0)
    assert len(stream.events) == 300


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "not an acknowledgement"),
        (b"[]", 400, "not an acknowledgement"),
        ({"id": 1}, 400, "not an acknowledgement"),
        ({}, 400, "names no event"),
        ({"id": NOBODY}, 404, NOBODY),
    ],
)
def test_wrong_acknowledgements(
    server: ServerProcess, body: object, status: int, text: str
) -> None:
    code, answer = server.post("/ack", body)
    assert (code, text in json.dumps(answer)) == (status, True)


def test_events_that_time_confirms_take_none(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    stream = client.watch(name, config(root))
    fill(root, "a")
    code, answer = server.post("/ack", {"id": stream.wait_count(1)[0]["id"]})
    assert (code, "set confirm: ack" in answer["error"]) == (400, True)


def test_tokens_keep_consumers_apart(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """Where tokens are required, only those of the stream's name acknowledge its events."""
    server = start_server(tokens="one:first other:second")
    stream = connect(server).watch(name, acknowledged(root), token="first")
    fill(root, "a")
    body = {"id": stream.wait_count(1)[0]["id"]}
    tokens = ("", "third", "second", "first", "first")
    assert [server.post("/ack", body, token)[0] for token in tokens] == [401, 401, 404, 200, 200]
    server.wait_watch(name, unconfirmed=0)


def test_an_event_of_a_server_that_was_restarted(
    start_server: StartServer, connect: Connect, tmp_path: Path, root: Path, name: str
) -> None:
    """Its id is unknown until a stream is back, and accepted then."""
    first = start_server(directory=tmp_path)
    stream = connect(first).watch(name, acknowledged(root))
    fill(root, "a")
    body = {"id": stream.wait_count(1)[0]["id"]}
    assert first.stop() == 0
    second = start_server(directory=tmp_path)
    assert second.post("/ack", body)[0] == 404
    connect(second).watch(name, acknowledged(root)).wait_count(1)
    assert second.post("/ack", body)[0] == 200
    second.wait_watch(name, unconfirmed=0)


def test_refused_over_grpc(start_server: StartServer, connect: Connect) -> None:
    """The service ``Delivery`` requires the token too, and names what a request lacks."""
    client = connect(start_server(tokens="one:first"))
    stub: Any = watcher_pb2_grpc.DeliveryStub(client.channel)  # type: ignore[arg-type]  # the stubs are for asyncio
    mine = (("authorization", "Bearer first"),)
    acknowledge = watcher_pb2.AcknowledgeRequest(ids=["x"])
    replay = watcher_pb2.ReplayRequest(name="x", seq=1)
    calls: list[tuple[Any, object, Any, grpc.StatusCode]] = [
        (stub.Acknowledge, acknowledge, (), grpc.StatusCode.UNAUTHENTICATED),
        (stub.Replay, replay, (), grpc.StatusCode.UNAUTHENTICATED),
        (stub.Replay, watcher_pb2.ReplayRequest(name="x"), mine, grpc.StatusCode.INVALID_ARGUMENT),
        (stub.Replay, replay, mine, grpc.StatusCode.NOT_FOUND),
    ]
    for call, request, metadata, code in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call(request, metadata=metadata, timeout=DEADLINE_S)
        error: Any = refused.value
        assert error.code() is code


def test_a_watch_without_acknowledgements_pauses(
    start_server: StartServer, connect: Connect, root: Path, name: str
) -> None:
    """A full journal pauses the watch, and acknowledgements resume it; nothing is lost."""
    server = start_server("--journal-cap", "10")
    stream = connect(server).watch(name, acknowledged(root))
    fill(root, *(f"{number:02}" for number in range(10)))
    stream.wait_count(10)
    server.wait_watch(name, state="paused")
    fill(root, *(f"{number:02}" for number in range(10, 30)))
    done: set[str] = set()
    while len({event["path"] for event in stream.events}) < 30:
        stream.wait_count(len(done) + 1)
        news = set(ids(stream)) - done
        assert server.post("/ack", {"ids": sorted(news)})[0] == 200
        done |= news
    assert len(stream.events) == 30
