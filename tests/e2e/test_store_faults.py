"""Lets stores fail in every way that a store can: nothing is told that did not happen, all is seen, and what happened meanwhile is told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.client import wait_until
from s3_store import run_store
from s3_store_faults import Fault, always

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.client import Client, Stream
    from e2e.server import ServerProcess
    from s3_store import Store

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
    Fault.OTHER_BUCKET: "a page of bucket",
    Fault.OTHER_PREFIX: "a page of prefix",
    Fault.EMPTY: "lacks keys that are there",
}
"""What the status says of each. Not of an endless listing, which is only stopped, nor of a slow one, which only takes long."""

KEYS = [f"in/{number:04}" for number in range(1500)]
"""Two pages."""


@pytest.fixture
def stores() -> Iterator[dict[Fault, Store]]:
    """Run a store for each fault."""
    with ExitStack() as stack:
        stores = {fault: stack.enter_context(run_store()) for fault in SEEN}
        for store in stores.values():
            store.put_many(*KEYS)
        yield stores


def test_a_store_that_fails(server: ServerProcess, client: Client, stores: dict[Fault, Store], name: str) -> None:
    """In no fault is a deletion invented or a change lost; status and log name each, and the stream stays open."""
    streams: dict[Fault, Stream] = {}
    for fault, store in stores.items():
        where = {"bucket": store.bucket, "prefix": "in/", "endpoint_url": store.endpoint_url, "poll_interval": "1s"}
        streams[fault] = client.watch(f"{name} {fault}", {"s3": where})
    for fault, store in stores.items():
        store.before_page = always(fault)
    for fault, text in SEEN.items():
        watch = f"{name} {fault}"
        wait_until(lambda: text in server.watches()[watch]["error"], f"the status says {text!r} of {fault}")  # noqa: B023 - called here
        assert any(line["watch"] == watch and text in line["error"] for line in server.lines("watch.unavailable"))
    for store in stores.values():
        store.put("in/new")
        store.delete("in/0007")
        store.before_page = None
    for fault, stream in streams.items():
        events = stream.wait_count(2)
        assert sorted((event["type"], event["path"]) for event in events) == [("created", "in/new"), ("deleted", "in/0007")], fault
        assert stream.is_open
        stream.cancel()
