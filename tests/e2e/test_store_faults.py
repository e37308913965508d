"""Stores that fail in every way: nothing is invented, nothing lost, and each fault reported."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from grpc import StatusCode

from support.client import Client, wait_until
from support.config import config
from support.events import told
from support.fixtures import Connect, StartServer
from support.relay import Relay
from support.s3.faults import REFUSALS, Failing, Fault, always, edited, other_prefix
from support.s3.simulated import BUCKET, Store, run_store
from support.server import ServerProcess

SEEN = {
    Fault.DENIED: "refuses access",
    Fault.RESET: "connection broke",
    Fault.SLOW_DOWN: "SlowDown",
    Fault.REPEATED_TOKEN: "runs in a circle",
    Fault.EMPTY: "lacks keys that are there",
}
"""A fault of each kind with a part of the status; ``tests/component/sources/s3`` has the others."""

TWO_PAGES = 1500
"""Number of keys."""

TRIES = 2
"""Failed scans to wait for: the place is unavailable until one has completed."""

ERRORS = "watcher_place_errors_total"
FORGOTTEN_S = 4.0
"""Seconds after which a gateway forgets a connection: later than the 2 s for which it is used,
sooner than the next poll."""

REQUESTS = "watcher_list_requests_total"


@pytest.fixture
def stores() -> Iterator[dict[Fault, Store]]:
    """Run a store for each fault."""
    with ExitStack() as stack:
        stores = {fault: stack.enter_context(run_store()) for fault in SEEN}
        for store in stores.values():
            store.put_many(*(f"in/{number:04}" for number in range(TWO_PAGES)))
        yield stores


def assert_reported(server: ServerProcess, watch: str, fault: Fault) -> None:
    """Wait until status and log have a fault, and the place is unavailable."""
    server.wait_reason(watch, "error", SEEN[fault])
    wait_until(lambda: server.watches()[watch]["errors"] >= TRIES, f"{watch} is tried again")
    report = server.watches()[watch]
    assert report["state"] == "unavailable"
    assert report["note"].startswith(f"{report['error']} (next try ")
    assert f"; failed tries took {report['failed_requests']:,} LIST requests)" in report["note"]
    assert 0 < report["failed_requests"] <= report["requests"]
    assert report["next_scan_at"] > report["since"]
    assert not server.lines("watch.available", watch=watch)
    assert not server.lines("scan.held", watch=watch)
    lines = server.wait_logged("watch.unavailable", watch=watch)
    assert any(SEEN[fault] in line["error"] for line in lines)


def test_a_store_that_fails(
    server: ServerProcess, client: Client, stores: dict[Fault, Store], name: str
) -> None:
    """The stream stays open, and afterwards gets what changed during the fault."""
    watches = {fault: f"{name} {fault}" for fault in stores}
    streams = {
        fault: client.start(watches[fault], config(store, prefix="in/"))
        for fault, store in stores.items()
    }
    for stream in streams.values():
        stream.ready()
    counted = server.metric(ERRORS)
    for fault, store in stores.items():
        store.on_list = always(fault)
    for fault, store in stores.items():
        assert_reported(server, watches[fault], fault)
        store.put("in/new")
        store.delete("in/0007")
        store.on_list = None
    assert server.metric(ERRORS) >= counted + len(stores)
    for fault, stream in streams.items():
        expected = [("created", "in/new"), ("deleted", "in/0007")]
        assert told(stream.wait_count(2)) == expected, fault
        assert stream.is_open
        server.wait_watch(watches[fault], error="", state="watching")
        server.wait_logged("watch.available", watch=watches[fault])
        stream.cancel()


def test_a_policy_that_allows_one_prefix_alone(
    server: ServerProcess, client: Client, name: str
) -> None:
    """Every change is reported; while HEAD fails, deletions alone wait, and the status says so."""
    with run_store() as store:
        store.put_many(*(f"in/{place}/{number:04}" for place in "ab" for number in range(3000)))
        store.on_list = Failing(REFUSALS["403"], other_prefix("in/"))
        stream = client.start(name, config(store, prefix="in/"))
        stream.ready()
        expected = [("created", "in/b/new"), ("deleted", "in/a/0007")]
        store.put("in/b/new")
        store.delete("in/a/0007")
        assert told(stream.wait_count(2)) == expected
        store.on_head = always(Fault.INTERNAL_ERROR)
        store.put("in/b/later")
        store.delete("in/a/0008")
        server.wait_reason(name, "degraded", "deletions are not reported for now")
        expected.append(("created", "in/b/later"))
        assert told(stream.wait_count(3)) == sorted(expected)
        assert server.watches()[name]["state"] == "watching"
        store.on_head = None
        expected.append(("deleted", "in/a/0008"))
        assert told(stream.wait_count(4)) == sorted(expected)
        server.wait_watch(name, degraded="")
        stream.cancel()


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (Fault.NO_BUCKET, StatusCode.NOT_FOUND, "there is no such bucket"),
        (Fault.DENIED, StatusCode.PERMISSION_DENIED, "allow s3:ListBucket"),
        (Fault.EXPIRED_TOKEN, StatusCode.PERMISSION_DENIED, "renew them"),
    ],
)
def test_a_store_that_refuses_at_the_start(
    server: ServerProcess, client: Client, name: str, fault: Fault, code: StatusCode, text: str
) -> None:
    """An error that waiting does not cure ends the stream, with what to do."""
    counted = server.metric(ERRORS)
    with run_store() as store:
        store.on_list = always(fault)
        ending = client.refusal(name, config(store))
    assert ending.code is code
    assert text in ending.details
    lines = server.lines("stream.ended", name=name)
    assert [line["error"] for line in lines] == [ending.details]
    wait_until(lambda: name not in server.watches(), "the watch has ended")
    assert server.metric(ERRORS) > counted


def test_a_client_that_connects_again_and_again(
    server: ServerProcess, client: Client, name: str
) -> None:
    """It is refused with the same error, and the store is not asked each time."""
    with run_store() as store:
        store.on_list = always(Fault.DENIED)
        endings = [client.refusal(name, config(store)) for _ in range(10)]
        assert {ending.code for ending in endings} == {StatusCode.PERMISSION_DENIED}
        assert "the store is asked again in" in endings[1].details
        assert len(store.lists) < len(endings) / 2
        store.on_list = None
        stream = client.start(name, config(store, region="eu-west-1"))
        stream.ready()
        stream.cancel()
    assert server.metric("watcher_failed_list_requests_total") > 0


def test_a_store_that_says_too_much(server: ServerProcess, client: Client, name: str) -> None:
    """A name of any length on a page leaves the status its hint, and the log a short line."""
    with run_store() as store:
        store.on_list = always(edited(f"<Name>{BUCKET}", f"<Name>{'B' * 300_000}"))
        code, details = client.refusal(name, config(store, bucket=BUCKET))
    assert code is StatusCode.UNAVAILABLE
    assert "a page of bucket 'BBB" in details
    assert details.endswith("check endpoint_url and the proxies on the way to the store")
    assert len(details) < 4096
    lines = server.lines("stream.ended", name=name)
    assert [line["error"] for line in lines] == [details]
    assert "B" * 4096 not in server.log


def test_a_gateway_that_forgets_idle_connections(
    start_server: StartServer, connect: Connect, name: str
) -> None:
    """No poll sends a request through a connection that was forgotten since the one before."""
    server = start_server()
    with run_store() as store, Relay(store.endpoint_url, idle_max_s=FORGOTTEN_S) as relay:
        asked = config(store, endpoint_url=relay.url, poll_interval="5s")
        stream = connect(server).watch(name, asked)
        for key in ("first", "second"):
            store.put(key)
            stream.wait_path(key)
        assert len(relay.forgotten) >= 2
        wait_until(lambda: server.metric(REQUESTS) == len(store.lists), "each request arrived")
        stream.cancel()
