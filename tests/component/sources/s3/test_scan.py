"""Lets a store fail in the middle of a parallel listing, or list in parallel what cannot be.

The listing goes on or is not believed, no deletion is invented, and no change is lost.
"""

import threading
from collections import Counter
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest

from support.logs import captured_logs
from support.s3.faults import EVERY, Failing, Fault, IsMeant, Request, once_in_ranges
from support.s3.pages import StartAfter
from support.s3.simulated import Store
from support.s3.watched import KEYS, PAGE_KEYS, Begin, Watched
from watcher.errors import WatcherError
from watcher.sources.s3.strategy import MAX_FAILURES

ROUNDS: list[tuple[IsMeant, int]] = [
    (lambda request: request.begins_range, EVERY),
    (lambda request: request.continues, 1),
    (lambda request: request.continues, EVERY),
]
"""Requests that fail, and how many of them."""


@pytest.mark.sampled
@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.TRICKLE])
def test_a_fault_in_a_parallel_listing(fault: Fault, store: Store, begin: Begin) -> None:
    """Whatever fails in a range ends soon; only real changes are reported, and later all, once."""
    watched = begin()
    changes: set[tuple[str, str]] = set()
    for number, (is_meant, most) in enumerate(ROUNDS):
        created, modified, deleted = f"in/{number}-new", KEYS[50 + number], KEYS[90 + number]
        store.put_many(created, modified)
        store.delete(deleted)
        changes |= {("created", created), ("modified", modified), ("deleted", deleted)}
        # A store that throttled or refused in the last round is read sequentially in this one.
        is_parallel = fault not in {Fault.SLOW_DOWN, Fault.DENIED} or not number
        meant = once_in_ranges(is_meant) if is_parallel else is_meant
        store.on_list = failing = Failing(fault, meant, most=most)
        with suppress(WatcherError):
            watched.scan()
        assert failing.hits
        assert watched.is_parallel or not is_parallel
        assert len(watched.asked) < 5 * len(KEYS) / PAGE_KEYS
        assert set(watched.reported) <= changes
        store.on_list = None
        watched.scan()
        assert watched.reported == sorted(changes)
    assert watched.entries == len(store.keys)


def test_passing_faults_are_overcome(store: Store, begin: Begin) -> None:
    """Pages that fail once, each in another way, are requested again; the listing is complete."""
    watched = begin()
    faults = [Fault.INTERNAL_ERROR, Fault.RESET, Fault.ERROR_IN_200, Fault.CUT_BODY, Fault.TORN_XML]
    failed: list[str] = []
    lock = threading.Lock()

    def fail_once(request: Request) -> Fault | None:
        with lock:
            if request.target in failed or len(failed) == len(faults):
                return None
            failed.append(request.target)
            return faults[len(failed) - 1]

    store.on_list = fail_once
    store.put("in/new")
    with captured_logs() as log:
        watched.scan()
    assert (watched.reported, log) == ([("created", "in/new")], [])
    assert watched.is_parallel
    times = Counter(request.target for request in watched.asked)
    assert [times[target] for target in failed] == [2] * len(faults)


# StartAfter


def assert_read_sequentially(
    watched: Watched, log: list[MutableMapping[str, Any]], text: str
) -> None:
    """Check that the last scan turned to a sequential listing, and said why."""
    assert [line["event"] for line in log] == ["scan.in_one_chain"]
    assert text in log[0]["reason"]
    assert (watched.is_parallel, watched.listings) == (True, 2)


@pytest.mark.parametrize("store", [StartAfter.REJECTED], indirect=True)
def test_start_after_is_rejected(store: Store, begin: Begin) -> None:
    """A store without StartAfter is read sequentially with a warning, and not asked again."""
    watched = begin()
    store.put("in/0-new")
    with captured_logs() as log:
        watched.scan()
    assert_read_sequentially(watched, log, "StartAfter is not supported")
    store.put("in/1-new")
    with captured_logs() as log:
        watched.scan()
    assert (log, watched.is_parallel) == ([], False)
    assert watched.reported == [("created", "in/0-new"), ("created", "in/1-new")]


@pytest.mark.usefixtures("_once")
def test_start_after_fails(store: Store, begin: Begin) -> None:
    """Where only requests with StartAfter fail, listings are read sequentially, and exact."""
    watched = begin()
    store.on_list = Failing(Fault.INTERNAL_ERROR, lambda request: request.begins_range)
    store.put("in/new")
    store.delete("in/0100")
    with captured_logs() as log:
        watched.scan()
    assert_read_sequentially(watched, log, "StartAfter is not answered")
    assert watched.reported == [("created", "in/new"), ("deleted", "in/0100")]
    with captured_logs() as log:
        for _ in range(MAX_FAILURES - 1):
            watched.scan()
            assert (watched.is_parallel, watched.listings) == (True, 2)
        watched.scan()
    assert (log, watched.is_parallel) == ([], False)


@pytest.mark.parametrize("store", [StartAfter.WRONG, StartAfter.IGNORED], indirect=True)
def test_start_after_is_wrong(store: Store, begin: Begin) -> None:
    """A store that begins elsewhere is noticed: every key is met, and only changes are reported."""
    store.delete(*KEYS)
    # In a tree `07/` comes before `07-a/`: a listing that begins behind the latter misses the
    # former, which is next by bytes. Batches have ten keys; two keys ahead move their ends there.
    names = [
        f"in/{number:02}{tail}"
        for number in range(12)
        for tail in (*(f"-a/{file}" for file in range(8)), "/0", "/1")
    ]
    names += ["in/!0", "in/!1"]
    store.put_many(*names)
    watched = begin()
    for number in range(MAX_FAILURES):
        assert set(watched.list_keys()) == set(names)
        store.put(f"in/{number}-new")
        store.delete(names.pop(3))
        watched.scan()
        names.append(f"in/{number}-new")
    assert any(request.begins_range for request in store.lists)
    assert watched.reported == [
        *(("created", f"in/{number}-new") for number in range(MAX_FAILURES)),
        *(("deleted", name) for name in ("in/00-a/3", "in/00-a/4", "in/00-a/5")),
    ]
    assert watched.entries == len(store.keys)
