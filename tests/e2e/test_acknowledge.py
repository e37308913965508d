"""``confirm: ack``: an event comes again on the open stream until its id is acknowledged."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.client import DEADLINE_S, Client, Event, Stream, wait_until
from support.config import config
from support.files import fill
from support.fixtures import Serve
from support.server import ServerProcess
from watcher._proto import watcher_pb2, watcher_pb2_grpc

SOON = "1s"
NOBODY = "0123456789abcdef-1"
"""An id that no server has given."""


def acknowledged(root: Path, ack_timeout: str = "10m", **keys: object) -> Event:
    return config(root, confirm="ack", ack_timeout=ack_timeout, **keys)


def ids(stream: Stream) -> list[str]:
    return [event["id"] for event in stream.events]


def test_redelivery(server: ServerProcess, client: Client, root: Path, name: str) -> None:
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
    # What was written last may still be on its way.
    wait_until(
        lambda: (
            server.metric("watcher_redelivered_payloads_total") - before == len(stream.events) - 2
        ),
        "all that was redelivered is counted",
    )


def test_time_confirms_nothing(serve: Serve, root: Path, name: str) -> None:
    """After kill -9 the next stream gets what was not acknowledged; until then ids are unknown."""
    fill(root, "before")
    first, client = serve("--redelivery-window", "0s")
    stream = client.watch(name, acknowledged(root))
    fill(root, "a", "b", "c", "d")
    stream.wait_count(4)
    by_path = {event["path"]: event["id"] for event in stream.events}
    assert first.post("/ack", {"ids": [by_path["a"], by_path["c"]]})[0] == 200
    delivered = zip(stream.payloads, stream.events, strict=True)
    kept = [payload for payload, event in delivered if event["path"] in {"b", "d"}]
    first.kill()

    second, client = serve("--redelivery-window", "0s")
    assert second.post("/ack", {"id": by_path["b"]})[0] == 404
    stream = client.watch(name, acknowledged(root))
    fill(root, "e")
    stream.wait_path("e")
    assert stream.payloads[:2] == kept
    assert len(stream.payloads) == 3
    assert second.post("/ack", {"ids": ids(stream)})[0] == 200
    second.wait_watch(name, unconfirmed=0)


def test_over_grpc(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """The service ``Delivery`` takes ids as well, and returns those that no event has."""
    stream = client.watch(name, acknowledged(root))
    fill(root, "a", "b")
    stream.wait_count(2)
    request = watcher_pb2.AcknowledgeRequest(ids=[*ids(stream), NOBODY, "nonsense"])
    answer = delivery(client).Acknowledge(request, timeout=DEADLINE_S)
    assert list(answer.unknown_ids) == [NOBODY, "nonsense"]
    server.wait_watch(name, unconfirmed=0)


def test_acknowledged_batches(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """The id of a batch, or of any event in it, confirms the payload that was delivered."""
    stream = client.watch(name, acknowledged(root, batch={"max_events": 2}))
    fill(root, "a", "b", "c", "d")
    batches = stream.wait_for(lambda batches: sum(batch["count"] for batch in batches) == 4)
    assert server.post("/ack", {"id": batches[0]["id"]})[0] == 200
    server.wait_watch(name, unconfirmed=4 - batches[0]["count"])
    rest = [batch["events"][0]["id"] for batch in batches[1:]]
    assert server.post("/ack", {"ids": rest})[0] == 200
    server.wait_watch(name, unconfirmed=0)


def test_an_acknowledgement_shows_that_a_backup_was_restored(
    serve: Serve, root: Path, name: str
) -> None:
    """An id that is yet to be given was given before the restore: further events have other ids.

    Those in the journal are acknowledged by the ids that they have.
    """
    server, client = serve()
    server.expected = {"state.restored"}
    stream = client.watch(name, acknowledged(root))
    fill(root, "a")
    (first,) = stream.wait_count(1)
    uid = first["id"].partition("-")[0]
    lost = f"{uid}-3"
    assert server.post("/ack", {"id": lost}) == (404, {"acknowledged": 0, "unknown": [lost]})
    server.wait_logged("state.restored")
    fill(root, "b", "c", "d")
    stream.wait_count(4)
    assert uid not in "".join(ids(stream)[1:])
    assert [event["seq"] for event in stream.events] == sorted(e["seq"] for e in stream.events)
    assert server.post("/ack", {"ids": [*ids(stream)[:3], lost]})[1]["unknown"] == [lost]
    server.wait_watch(name, unconfirmed=1)
    assert server.post("/ack", {"id": ids(stream)[3]})[0] == 200
    server.wait_watch(name, unconfirmed=0)
    assert len(server.lines("state.restored")) == 1


def test_wrong_requests(server: ServerProcess, client: Client, root: Path, name: str) -> None:
    """A body that is none, an unknown id, and an event that time confirms are refused."""
    stream = client.watch(name, config(root))
    fill(root, "a")
    for body, status, text in (
        (b"", 400, "not an acknowledgement"),
        ({"id": 1}, 400, "not an acknowledgement"),
        ({}, 400, "names no event"),
        ({"id": NOBODY}, 404, NOBODY),
        ({"id": stream.wait_count(1)[0]["id"]}, 400, "set confirm: ack"),
    ):
        code, answer = server.post("/ack", body)
        assert (code, text in json.dumps(answer)) == (status, True)


def delivery(client: Client) -> Any:  # noqa: ANN401 - the stubs are for asyncio
    """Return the methods of the service ``Delivery``."""
    return watcher_pb2_grpc.DeliveryStub(client.channel)  # type: ignore[arg-type]


def test_tokens_keep_consumers_apart(serve: Serve, root: Path, name: str) -> None:
    """Where tokens are required, only those of the stream's name acknowledge its events."""
    server, client = serve(tokens="one:first other:second")
    stream = client.watch(name, acknowledged(root))
    fill(root, "a")
    body = {"id": stream.wait_count(1)[0]["id"]}
    tokens = ("", "third", "second", "first", "first")
    assert [server.post("/ack", body, token)[0] for token in tokens] == [401, 401, 404, 200, 200]
    server.wait_watch(name, unconfirmed=0)


def test_refused_over_grpc(serve: Serve) -> None:
    """The service ``Delivery`` requires the token too, and names what a request lacks."""
    stub = delivery(serve(tokens="one:first")[1])
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


def test_a_watch_without_acknowledgements_pauses(serve: Serve, root: Path, name: str) -> None:
    """A full journal pauses the watch, and acknowledgements resume it; nothing is lost."""
    server, client = serve("--journal-cap", "10")
    stream = client.watch(name, acknowledged(root))
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
