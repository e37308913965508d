"""Events that are confirmed by id: they come again on the living stream until somebody acknowledges them, and then never again."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from support.client import DEADLINE_S
from watcher._proto import watcher_pb2, watcher_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client, Event, Stream
    from support.server import ServerProcess

SOON = "1s"
LATE = "10m"


def config(root: Path, ack_timeout: str = LATE, **options: object) -> Event:
    """Return a configuration whose events are to be acknowledged."""
    return {
        "directory": {"path": str(root), "settle": "100ms"},
        "confirm": "ack",
        "ack_timeout": ack_timeout,
        **options,
    }


def ids(stream: Stream) -> list[str]:
    """Return the ids that have come, in order."""
    return [event["id"] for event in stream.events]


def redelivered(server: ServerProcess) -> float:
    """Return how many payloads were written that had been written before."""
    (line,) = re.findall(
        r"^watcher_redelivered_payloads_total (.+)$", server.get("/metrics")[1], re.MULTILINE
    )
    return float(line)


def make(root: Path, *names: str) -> None:
    """Write files."""
    for name in names:
        (root / name).write_text("1")


def test_what_is_not_acknowledged_comes_again(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """On the living stream an event comes again, byte for byte the same, until it is acknowledged; one that was does not."""
    before = redelivered(server)
    stream = client.watch(name, config(root, SOON))
    make(root, "a")
    first = stream.wait_count(1)[0]["id"]
    assert server.post("/ack", {"id": first}) == (200, {"acknowledged": 1, "unknown": []})
    make(root, "b")
    stream.wait_count(4)
    assert ids(stream)[0] == first
    assert set(ids(stream)[1:]) == {stream.events[1]["id"]} != {first}
    assert len(set(stream.payloads[1:])) == 1
    server.wait_watch(name, unconfirmed=1)
    assert server.post("/ack", {"ids": [stream.events[1]["id"]]})[0] == 200
    server.wait_watch(name, unconfirmed=0)
    assert redelivered(server) - before == len(stream.events) - 2


def test_time_confirms_nothing(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """Whatever the redelivery window, after a kill -9 the next stream is sent what was not acknowledged, and nothing that was."""
    make(root, "before")
    first = start_server("--redelivery-window", "0s", directory=tmp_path)
    stream = connect(first).watch(name, config(root))
    make(root, "a", "b", "c", "d")
    stream.wait_count(4)
    said = {event["path"]: event["id"] for event in stream.events}
    assert first.post("/ack", {"ids": [said["a"], said["c"]]})[0] == 200
    kept = [
        payload
        for payload, event in zip(stream.payloads, stream.events, strict=True)
        if event["path"] in {"b", "d"}
    ]
    first.kill()

    second = start_server("--redelivery-window", "0s", directory=tmp_path)
    stream = connect(second).watch(name, config(root))
    make(root, "e")
    stream.wait_path("e")
    assert stream.payloads[:2] == kept
    assert len(stream.payloads) == 3


def test_over_grpc(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """The same by the service of our own, for those who speak gRPC; what is no event of ours is said."""
    stream = client.watch(name, config(root))
    make(root, "a", "b")
    stream.wait_count(2)
    stub: Any = watcher_pb2_grpc.DeliveryStub(client.channel)  # type: ignore[arg-type]  # the stubs are for asyncio
    nobody = "0123456789abcdef-1"
    answer = stub.Acknowledge(
        watcher_pb2.AcknowledgeRequest(ids=[*ids(stream), nobody, "nonsense"]), timeout=DEADLINE_S
    )
    assert list(answer.unknown_ids) == [nobody, "nonsense"]
    server.wait_watch(name, unconfirmed=0)


def test_batches_are_acknowledged_as_a_whole(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """The id of a batch, or that of any event in it, confirms the payload that was delivered."""
    stream = client.watch(name, config(root, batch={"max_events": 2}))
    make(root, "a", "b", "c", "d")
    batches = stream.wait_for(lambda batches: sum(batch["count"] for batch in batches) == 4)
    assert server.post("/ack", {"id": batches[0]["id"]})[0] == 200
    server.wait_watch(name, unconfirmed=4 - batches[0]["count"])
    assert (
        server.post("/ack", {"ids": [batch["events"][0]["id"] for batch in batches[1:]]})[0] == 200
    )
    server.wait_watch(name, unconfirmed=0)


def test_many_consumers_acknowledge_at_once(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """Acknowledgements of many events in any order, several at the same time, all count."""
    stream = client.watch(name, config(root))
    make(root, *(f"{number:03}" for number in range(300)))
    stream.wait_count(300)
    with ThreadPoolExecutor(8) as pool:
        answers = set(
            pool.map(
                lambda event_id: server.post("/ack", {"id": event_id})[0], reversed(ids(stream))
            )
        )
    assert answers == {200}
    server.wait_watch(name, unconfirmed=0)
    assert len(stream.events) == 300


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "not an acknowledgement"),
        (b"[]", 400, "not an acknowledgement"),
        ({"id": 1}, 400, "not an acknowledgement"),
        ({}, 400, "names no event"),
        ({"id": "0123456789abcdef-1"}, 404, "0123456789abcdef-1"),
    ],
)
def test_wrong_acknowledgements(
    server: ServerProcess, body: object, status: int, text: str
) -> None:
    """What is no acknowledgement, or is for nobody, is answered with what is wrong."""
    code, answer = server.post("/ack", body)
    assert (code, text in json.dumps(answer)) == (status, True)


def test_events_that_time_confirms_take_none(
    server: ServerProcess, client: Client, root: Path, name: str
) -> None:
    """An acknowledgement for an event source without confirm: ack is refused, with what to do."""
    stream = client.watch(name, {"directory": str(root)})
    make(root, "a")
    event_id = stream.wait_count(1)[0]["id"]
    code, answer = server.post("/ack", {"id": event_id})
    assert (code, "set confirm: ack" in answer["error"]) == (400, True)


def test_tokens_keep_consumers_apart(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """Where tokens are asked for, only that of the stream acknowledges its events."""
    tokens = tmp_path / "tokens"
    tokens.write_text("one:first\nother:second\n")
    server = start_server("--token-file", str(tokens))
    stream = connect(server).watch(name, config(root), token="first")  # noqa: S106 - not a secret
    make(root, "a")
    event_id = stream.wait_count(1)[0]["id"]
    assert [
        server.post("/ack", {"id": event_id}, token)[0]
        for token in ("", "third", "second", "first", "first")
    ] == [
        401,
        401,
        404,
        200,
        200,
    ]
    server.token = "first"  # noqa: S105 - not a secret
    server.wait_watch(name, unconfirmed=0)


def test_an_event_of_a_server_that_was_restarted(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    tmp_path: Path,
    root: Path,
    name: str,
) -> None:
    """An acknowledgement that comes before the stream is back finds nobody; it is taken once the stream is there, and nothing is sent."""
    first = start_server(directory=tmp_path)
    stream = connect(first).watch(name, config(root))
    make(root, "a")
    event_id = stream.wait_count(1)[0]["id"]
    assert first.stop() == 0
    second = start_server(directory=tmp_path)
    assert second.post("/ack", {"id": event_id})[0] == 404
    stream = connect(second).watch(name, config(root))
    stream.wait_count(1)
    assert second.post("/ack", {"id": event_id})[0] == 200
    second.wait_watch(name, unconfirmed=0)


def test_refused_over_grpc(
    start_server: Callable[..., ServerProcess], connect: Callable[..., Client], tmp_path: Path
) -> None:
    """The service of our own asks for the token too, and says what a request lacks."""
    tokens = tmp_path / "tokens"
    tokens.write_text("one:first\n")
    client = connect(start_server("--token-file", str(tokens)))
    stub: Any = watcher_pb2_grpc.DeliveryStub(client.channel)  # type: ignore[arg-type]  # as above
    mine = (("authorization", "Bearer first"),)
    acknowledge, replay = (
        watcher_pb2.AcknowledgeRequest(ids=["x"]),
        watcher_pb2.ReplayRequest(name="x", seq=1),
    )
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
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """Where nobody acknowledges, the journal fills up and the watch stops looking; with the first acknowledgements it goes on."""
    server = start_server("--journal-cap", "10")
    stream = connect(server).watch(name, config(root))
    make(root, *(f"{number:02}" for number in range(10)))
    stream.wait_count(10)
    server.wait_watch(name, state="paused")
    make(root, *(f"{number:02}" for number in range(10, 30)))
    acknowledged: set[str] = set()
    while len({event["path"] for event in stream.events}) < 30:
        stream.wait_count(len(acknowledged) + 1)
        news = set(ids(stream)) - acknowledged
        assert server.post("/ack", {"ids": sorted(news)})[0] == 200
        acknowledged |= news
    assert len(stream.events) == 30
