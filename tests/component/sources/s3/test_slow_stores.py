"""Reads stores that are slow, or that throttle."""

import threading
import time

import pytest

from support.client import wait_until
from support.s3.faults import RETRY_AFTER_S, Failing, Fault, Request, always
from support.s3.simulated import Store
from support.s3.watched import AT_ONCE, PAGE_KEYS, Begin
from watcher.errors import UnavailableError
from watcher.sources.s3 import connections
from watcher.sources.s3.strategy import AUTO_WORKERS


def threads(name: str) -> list[threading.Thread]:
    """Return the threads with this in their name."""
    return [thread for thread in threading.enumerate() if name in thread.name]


@pytest.mark.usefixtures("_once")
def test_a_trickle_is_left(store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses that trickle are left when their time is over; no connection or thread stays."""
    watched = begin()
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT_S", 0.3)
    store.trickle_bytes_per_s = 10
    store.on_list = always(Fault.TRICKLE)
    start_s = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer in time"):
        watched.scan()
    # A response would take minutes.
    assert time.monotonic() - start_s < 30
    assert len(watched.asked) <= AT_ONCE + 1
    wait_until(lambda: not threads("s3 worker"), "no thread reads any more")
    # Idle connections are closed with the source; one that trickles would stay open for minutes.
    watched.source.close()
    wait_until(lambda: not threads("process_request"), "no connection is open")
    assert watched.reported == []


@pytest.mark.usefixtures("_once")
def test_a_slow_answer_is_waited_for(store: Store, begin: Begin) -> None:
    watched = begin()
    store.trickle_bytes_per_s = 20_000
    store.put("in/new")
    store.on_list = slow = Failing(Fault.TRICKLE, lambda request: request.begins_range, most=2)
    watched.scan()
    assert (len(slow.hits), watched.listings) == (2, 1)
    assert watched.reported == [("created", "in/new")]


def test_a_store_that_throttles_gets_less(store: Store, begin: Begin) -> None:
    """After a 503 nothing is sent for its Retry-After, then less at once; the listing goes on."""
    store.put_many(*(f"in/more/{number:03}" for number in range(20 * PAGE_KEYS)))
    watched = begin()
    times_s: dict[int, float] = {}
    allowed: dict[int, int] = {}
    refused: list[Request] = []
    lock = threading.Lock()

    def refuse_one(request: Request) -> Fault | None:
        with lock:
            times_s[request.number] = time.monotonic()
            allowed[request.number] = watched.source._api.limit._allowed
            if refused or not request.begins_range:
                return None
            refused.append(request)
            return Fault.SLOW_DOWN

    store.put("in/new")
    store.on_list = refuse_one
    watched.scan()
    first, retry = (r.number for r in watched.asked if r.target == refused[0].target)
    again_s = times_s[first] + RETRY_AFTER_S
    assert (first, times_s[retry] >= again_s) == (refused[0].number, True)
    # Until then only requests arrive that were sent before, and none of the many pages left.
    early = [number for number, at_s in times_s.items() if number > first and at_s < again_s]
    assert len(early) <= 2 * AT_ONCE
    assert allowed[retry] < allowed[first] == AUTO_WORKERS
    assert watched.reported == [("created", "in/new")]


@pytest.mark.usefixtures("_once")
def test_a_store_that_always_throttles_is_unavailable(store: Store, begin: Begin) -> None:
    """A store that goes on to throttle is unavailable, with its own words, and listed nothing."""
    watched = begin()
    store.on_list = Failing(Fault.SLOW_DOWN, lambda request: request.continues)
    with pytest.raises(UnavailableError, match="SlowDown: Please reduce your request rate"):
        watched.scan()
    assert watched.source._api.limit._allowed <= AUTO_WORKERS // 2
    assert watched.reported == []
