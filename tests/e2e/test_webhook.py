"""``notifications: {webhook: true}``: a message to ``/hint`` brings an event before any listing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import hint_messages as sent
from support.client import Event
from support.config import config
from support.fixtures import Connect, StartServer
from support.s3.simulated import BUCKET, CREDENTIALS, Store, run_store

TOPIC = "arn:aws:sns:eu-west-1:111122223333:landing"
CONFIRM = "https://sns.eu-west-1.amazonaws.com/"
CONFIRM += f"?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
REQUESTS = "watcher_hint_requests_total"


@pytest.fixture
def store() -> Iterator[Store]:
    with run_store() as store:
        store.put("in/before")
        yield store


def hinted(store: Store) -> Event:
    """Return a configuration that would list the bucket again after six hours."""
    return config(store, prefix="in/", poll_interval="6h", notifications={"webhook": True})


def listings_of(store: Store) -> int:
    """Return the number of listings; what confirms that a key is gone asks for one key alone."""
    return sum("max-keys=1&" not in request.target for request in store.lists)


def test_messages_bring_events(
    start_server: StartServer, connect: Connect, tmp_path: Path, store: Store, name: str
) -> None:
    """Each change that a message names is an event, for the watches of the token's name alone."""
    environment = CREDENTIALS | {"HTTPS_PROXY": "http://127.0.0.1:1"}
    server = start_server(
        "--confirm-subscriptions",
        directory=tmp_path,
        tokens="alice:one bob:two",
        environment=environment,
    )
    stream = connect(server, token="one").watch(name, hinted(store))
    server.wait_watch(name, state="watching")
    listings = listings_of(store)

    def hint(key: str) -> tuple[int, Event]:
        return server.post("/hint", sent.s3_message(BUCKET, key), token="one")

    store.put("in/a b.csv")
    assert hint("in/a+b.csv") == (202, {"watches": 1})
    stream.wait_path("in/a b.csv")
    store.put("in/a b.csv", size=2)
    assert hint("in/a+b.csv") == (202, {"watches": 1})
    stream.wait_path("in/a b.csv", "modified")
    store.delete("in/a b.csv")
    # Twice, of a key that never was, and of one that has not changed: no event more.
    for key in ("in/a+b.csv", "in/a+b.csv", "in/nothing", "in/before", "outside"):
        assert hint(key) == (202, {"watches": 1})
    stream.wait_path("in/a b.csv", "deleted")
    store.put("in/last.csv")
    message = {"bucket": BUCKET, "keys": ["in/last.csv"]}
    assert server.post("/hint", message, token="two") == (202, {"watches": 0})
    assert server.post("/hint", message, token="three")[0] == 401
    assert server.post("/hint", sent.s3_test_event(), token="one") == (202, {"watches": 0})
    assert server.post("/hint", b"{}", token="one")[0] == 400
    # SNS would be asked to confirm, by way of a proxy that is not there.
    status, answer = server.post("/hint", sent.sns_handshake(CONFIRM), token="one")
    assert status == 503
    assert "SNS cannot be reached" in answer["error"]
    assert server.post("/hint", message, token="one") == (202, {"watches": 1})
    events = stream.wait_path("in/last.csv")
    assert [event["type"] for event in events] == ["created", "modified", "deleted", "created"]
    assert listings_of(store) == listings
    for outcome, count in {
        "accepted": 8, "unwatched": 1, "test": 1, "unreadable": 1, "unauthenticated": 1,
        "handshake": 0, "refused": 1,
    }.items():  # fmt: skip
        assert server.metric(REQUESTS, outcome=outcome) == count
