"""Lets stores fail in every way that a store can: nothing is told that did not happen, all is seen, and what happened meanwhile is told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode
from prometheus_client.parser import text_string_to_metric_families

from support.client import wait_until
from support.s3.faults import Failing, Fault, always, edited
from support.s3.simulated import BUCKET, run_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.client import Client, Stream
    from support.s3.simulated import Store
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
"""What the status says of each. Not of a slow one, which only takes long; see ``tests/component/sources/s3/faults``."""

TWO_PAGES = 1500
TRIES = 2
"""A place that is tried again is not there before it has been read as a whole."""

MANY_PAGES = 8000
"""So many keys that a listing is read in parts, side by side, but for the first one."""
TRIED_IN_PARTS = [
    Fault.INTERNAL_ERROR,
    Fault.NO_TOKEN,
    Fault.REPEATED_TOKEN,
    Fault.ENDLESS,
    Fault.EMPTY,
]
"""All the others are in ``tests/component/sources/s3/faults``."""


@pytest.fixture
def stores(count: int) -> Iterator[dict[Fault, Store]]:
    """Run a store for each fault."""
    with ExitStack() as stack:
        stores = {
            fault: stack.enter_context(run_store())
            for fault in (SEEN if count == TWO_PAGES else TRIED_IN_PARTS)
        }
        for store in stores.values():
            store.put_many(*(f"in/{number:04}" for number in range(count)))
        yield stores


def place_errors(server: ServerProcess) -> float:
    """Return what the metrics say of failures to read a place."""
    families = text_string_to_metric_families(server.get("/metrics")[1])
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "watcher_place_errors_total"
    )


@pytest.mark.parametrize("count", [TWO_PAGES, MANY_PAGES], ids=["in one chain", "in parts"])
def test_a_store_that_fails(
    server: ServerProcess, client: Client, stores: dict[Fault, Store], name: str, count: int
) -> None:
    """In no fault is a deletion invented or a change lost; status, metrics and log tell of each, and the stream stays open."""
    streams: dict[Fault, Stream] = {}
    for fault, store in stores.items():
        where = {
            "bucket": store.bucket,
            "prefix": "in/",
            "endpoint_url": store.endpoint_url,
            "poll_interval": "1s",
        }
        streams[fault] = client.start(f"{name} {fault}", {"s3": where})
    for stream in streams.values():
        stream.ready()
    counted = place_errors(server)
    for fault, store in stores.items():
        in_mid_listing = Failing(fault, lambda request: request.begins_range or request.continues)
        store.on_list = always(fault) if count == TWO_PAGES else in_mid_listing
    for fault, store in stores.items():
        watch, text = f"{name} {fault}", SEEN[fault]
        wait_until(
            lambda: text in server.watches()[watch]["error"],  # noqa: B023 - called here
            f"the status says {text!r} of {fault}",
        )
        wait_until(
            lambda: server.watches()[watch]["errors"] >= TRIES,  # noqa: B023 - called here
            f"it is tried again after {fault}",
        )
        assert server.watches()[watch]["state"] == "unavailable"
        for event in ("watch.available", "scan.held"):
            assert watch not in [line["watch"] for line in server.lines(event)]
        assert any(
            line["watch"] == watch and text in line["error"]
            for line in server.lines("watch.unavailable")
        )
        store.put("in/new")
        store.delete("in/0007")
        store.on_list = None
    assert place_errors(server) >= counted + len(stores)
    for fault, stream in streams.items():
        events = stream.wait_count(2)
        assert sorted((event["type"], event["path"]) for event in events) == [
            ("created", "in/new"),
            ("deleted", "in/0007"),
        ], fault
        assert stream.is_open
        server.wait_watch(f"{name} {fault}", error="", state="watching")
        assert f"{name} {fault}" in [line["watch"] for line in server.lines("watch.available")]
        stream.cancel()
    if count == MANY_PAGES:
        assert all(
            any(request.begins_range for request in store.lists) for store in stores.values()
        )


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Fault.NO_BUCKET, (StatusCode.NOT_FOUND, "there is no such bucket")),
        (Fault.DENIED, (StatusCode.PERMISSION_DENIED, "allow s3:ListBucket")),
        (Fault.EXPIRED_TOKEN, (StatusCode.PERMISSION_DENIED, "renew them")),
    ],
)
def test_a_store_that_refuses_at_the_start(
    server: ServerProcess, client: Client, name: str, fault: Fault, ending: tuple[StatusCode, str]
) -> None:
    """What waiting does not mend ends the stream at the start, with a status of its own and with what to do; log and metrics have it."""
    counted = place_errors(server)
    with run_store() as store:
        store.on_list = always(fault)
        code, details = client.refusal(
            name, {"s3": {"bucket": store.bucket, "endpoint_url": store.endpoint_url}}
        )
    assert code is ending[0]
    assert ending[1] in details
    assert [line["error"] for line in server.lines("stream.ended") if line["name"] == name] == [
        details
    ]
    assert name not in server.watches()
    assert place_errors(server) > counted


def test_a_store_that_says_too_much(server: ServerProcess, client: Client, name: str) -> None:
    """However long the name on a page is, the client gets the status of the error, with its hint at the end, and the log a short line."""
    with run_store() as store:
        store.on_list = always(edited(f"<Name>{BUCKET}", f"<Name>{'B' * 300_000}"))
        code, details = client.refusal(
            name, {"s3": {"bucket": BUCKET, "endpoint_url": store.endpoint_url}}
        )
    assert code is StatusCode.UNAVAILABLE
    assert "a page of bucket 'BBB" in details
    assert details.endswith("check endpoint_url and the proxies on the way to the store")
    assert len(details) < 4096
    assert [line["error"] for line in server.lines("stream.ended") if line["name"] == name] == [
        details
    ]
    assert "B" * 4096 not in server.log
