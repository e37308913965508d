"""Lets a store fail in the middle of a listing: the listing goes on or is not believed, no deletion is invented, and no change is lost."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from component.sources.s3.faults.watched import (
    KEYS,
    MANY,
    begins_part,
    continues,
    hit,
    lists,
)
from support.s3.faults import Fault
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from component.sources.s3.faults.watched import Begin
    from support.s3.simulated import Store as Bucket


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.TRICKLE])
def test_a_fault_in_a_listing_in_parts(fault: Fault, store: Bucket, begin: Begin) -> None:
    """Whatever goes wrong with any page of a part, nothing is told but what happened; once the store is well again all of it is, once."""
    watched = begin()
    changes: set[tuple[str, str]] = set()
    for number, (is_meant, most) in enumerate(
        [(begins_part, MANY), (continues, 1), (continues, MANY)]
    ):
        created, modified, deleted = f"in/{number}-new", KEYS[50 + number], KEYS[90 + number]
        store.put_many(created, modified)
        store.delete(deleted)
        changes |= {("created", created), ("modified", modified), ("deleted", deleted)}
        hits = hit(store, fault, is_meant, most)
        with suppress(WatcherError):
            watched.scan()
        assert hits
        # A store that asked for less in the last round is asked for one page at a time in this one.
        assert fault is Fault.SLOW_DOWN or any(map(begins_part, watched.asked))
        assert set(watched.told) <= changes
        store.before_page = None
        watched.scan()
        assert watched.told == sorted(changes)
    assert watched.entries == len(store.keys)


def test_passing_faults_are_overcome(store: Bucket, begin: Begin) -> None:
    """Where pages fail once, each in another way, the listing goes on: it is complete, in parts, and each page is asked for once more."""
    watched = begin()
    former = len(lists(store))
    faults = [Fault.INTERNAL_ERROR, Fault.RESET, Fault.ERROR_IN_200, Fault.CUT_BODY, Fault.TORN_XML]
    failed: list[str] = []
    lock = threading.Lock()

    def fail_once(number: int) -> Fault | None:
        target = lists(store)[number - 1].target
        with lock:
            if target in failed or len(failed) == len(faults):
                return None
            failed.append(target)
            return faults[len(failed) - 1]

    store.before_page = fail_once
    store.put("in/new")
    with capture_logs() as log:
        watched.scan()
    assert (watched.told, log) == ([("created", "in/new")], [])
    assert any(map(begins_part, watched.asked))
    times = Counter(request.target for request in lists(store)[former:])
    assert [times[target] for target in failed] == [2] * len(faults)
