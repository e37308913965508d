"""Stores that fail in every way: nothing is invented, nothing lost, and each fault reported."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from grpc import StatusCode

from support.client import Client, wait_until
from support.config import config
from support.events import told
from support.s3.faults import Failing, Fault, always, edited
from support.s3.simulated import BUCKET, Store, run_store
from support.server import ServerProcess

SEEN = {
    Fault.DENIED: "refuses access",
    Fault.NO_BUCKET: "no such bucket",
    Fault.INTERNAL_ERROR: "cannot answer now",
    Fault.SLOW_DOWN: "SlowDown",
    Fault.EXPIRED_TOKEN: "renew them",
    Fault.REDIRECT: "set region: eu-west-3",
    Fault.ERROR_IN_200: "cannot answer now",
    Fault.TORN_XML: "cannot answer now",
    Fault.CUT_BODY: "cannot answer now",
    Fault.RESET: "connection broke",
    Fault.NO_TOKEN: "no token for the next",
    Fault.REPEATED_TOKEN: "runs in a circle",
    Fault.ENDLESS: "runs in a circle",
    Fault.OTHER_BUCKET: "a page of bucket",
    Fault.OTHER_PREFIX: "a page of prefix",
    Fault.EMPTY: "lacks keys that are there",
}
"""Part of the status for each fault; ``tests/component/sources/s3/faults`` has the slow one."""

TWO_PAGES = 1500
MANY_PAGES = 8000
"""Number of keys: enough for every listing but the first to be read in ranges side by side."""

IN_RANGES = [
    Fault.INTERNAL_ERROR,
    Fault.NO_TOKEN,
    Fault.REPEATED_TOKEN,
    Fault.ENDLESS,
    Fault.EMPTY,
]
"""Faults in a range; the others are in ``tests/component/sources/s3/faults``."""

TRIES = 2
"""Failed scans to wait for: the place is unavailable until one has completed."""

ERRORS = "watcher_place_errors_total"


@pytest.fixture
def stores(count: int) -> Iterator[dict[Fault, Store]]:
    """Run a store for each fault."""
    with ExitStack() as stack:
        faults = SEEN if count == TWO_PAGES else IN_RANGES
        stores = {fault: stack.enter_context(run_store()) for fault in faults}
        for store in stores.values():
            store.put_many(*(f"in/{number:04}" for number in range(count)))
        yield stores


def assert_reported(server: ServerProcess, watch: str, fault: Fault) -> None:
    """Wait until status and log have a fault, and the place is unavailable."""
    server.wait_reason(watch, "error", SEEN[fault])
    wait_until(lambda: server.watches()[watch]["errors"] >= TRIES, f"{watch} is tried again")
    assert server.watches()[watch]["state"] == "unavailable"
    assert not server.lines("watch.available", watch=watch)
    assert not server.lines("scan.held", watch=watch)
    lines = server.lines("watch.unavailable", watch=watch)
    assert any(SEEN[fault] in line["error"] for line in lines)


@pytest.mark.parametrize("count", [TWO_PAGES, MANY_PAGES], ids=["in one chain", "in ranges"])
def test_a_store_that_fails(
    server: ServerProcess, client: Client, stores: dict[Fault, Store], name: str, count: int
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
        in_mid_listing = Failing(fault, lambda request: request.begins_range or request.continues)
        store.on_list = always(fault) if count == TWO_PAGES else in_mid_listing
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
        assert server.lines("watch.available", watch=watches[fault])
        stream.cancel()
    if count == MANY_PAGES:
        for store in stores.values():
            assert any(request.begins_range for request in store.lists)


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
    assert name not in server.watches()
    assert server.metric(ERRORS) > counted


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
