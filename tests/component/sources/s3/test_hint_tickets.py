"""When a message is done, and what becomes of keys that cannot be looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain

import pytest

from support.clock import FakeClock
from support.s3.faults import Answer, Fault, Kind, always
from support.s3.simulated import Store
from support.s3.tickets import NotedTicket
from support.s3.watched import BACKSTOP_S, DEADLINE_S, KEYS, Begin, Watched
from watcher.errors import UnavailableError
from watcher.sources.observations import Observation
from watcher.sources.s3.inspection_failures import PAUSE_MAX_S, RETRY_MAX_S, RETRY_MIN_S
from watcher.spec import HintKind, Notifications

pytestmark = pytest.mark.usefixtures("_once")

NEW, OLD = "in/0042-new", KEYS[42]
WEBHOOK = Notifications(HintKind.WEBHOOK)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watched(begin: Begin, clock: FakeClock) -> Watched:
    """Watch a bucket that sends hints, once all of it was listed."""
    watched = begin(notifications=WEBHOOK, clock=clock)
    watched.observe()
    return watched


@pytest.fixture
def ticket() -> NotedTicket:
    return NotedTicket()


def first_observation(watched: Watched) -> Iterator[Observation]:
    """Return what is observed, once that is something, from the first observation on."""
    while True:
        watched._woken.clear()
        observations = iter(watched.source.observe())
        if (first := next(observations, None)) is not None:
            return chain([first], observations)
        assert watched._woken.wait(DEADLINE_S)


def test_a_message_is_done_once_its_comparison_is_committed(
    store: Store, watched: Watched, ticket: NotedTicket
) -> None:
    store.put(NEW)
    watched.send_hint(NEW, ticket=ticket)
    for observation in first_observation(watched):
        watched._reconciler.apply(observation)
        assert watched.reported == [("created", NEW)]
        assert ticket.outcomes == []
    assert ticket.outcomes == ["done"]


def test_what_was_not_committed_is_looked_at_again(
    store: Store, watched: Watched, ticket: NotedTicket
) -> None:
    """A full disk or journal leaves the comparison half-way."""
    store.put(NEW)
    watched.send_hint(NEW, ticket=ticket)
    next(first_observation(watched))
    assert ticket.outcomes == []
    assert list(watched.source.unsettled()) == [NEW.encode()]
    watched.observe()
    assert watched.reported == [("created", NEW)]
    assert ticket.outcomes == ["done"]


def test_a_watch_does_not_turn_while_more_keys_are_due_than_requests_may_run(
    store: Store, begin: Begin, clock: FakeClock
) -> None:
    """The responses wake it."""
    watched = begin(notifications=WEBHOOK, clock=clock, quiet_s=60.0, workers=1)
    keys = [f"in/new{number}" for number in range(3)]
    answered, release = threading.Event(), threading.Event()

    def hold(answer: Answer) -> Answer:
        answered.set()
        assert release.wait(DEADLINE_S)
        return answer

    store.put_many(*keys)
    watched.hint(*keys)
    store.on_head = lambda _: hold
    clock.advance(60.0)
    assert watched.source.due_in_s() == 0.0
    assert list(watched.source.observe()) == []
    assert answered.wait(DEADLINE_S)
    assert watched.source.due_in_s() is None
    release.set()
    watched.observe()
    assert watched.reported == [("created", key) for key in keys]


def test_a_key_is_looked_at_again_after_a_failure_and_its_message_is_left(
    store: Store, watched: Watched, ticket: NotedTicket, clock: FakeClock
) -> None:
    """The watch goes on, nothing is listed, and what is amiss is said until it is over."""
    store.put(NEW)
    store.on_head = always(Fault.INTERNAL_ERROR)
    lists = len(store.lists)
    watched.hint(NEW, ticket=ticket)
    assert ticket.outcomes == ["failed"]
    assert "hinted keys cannot be inspected: " in watched.source.degraded
    assert list(watched.source.unsettled()) == [NEW.encode()]
    waits_s = []
    for _ in range(8):
        due_in_s = watched.source.due_in_s()
        assert due_in_s is not None
        waits_s.append(due_in_s)
        clock.advance(due_in_s)
        watched.observe()
    assert (waits_s[0], waits_s[-1]) == (RETRY_MIN_S, RETRY_MAX_S)
    store.on_head = None
    clock.advance(RETRY_MAX_S)
    watched.observe()
    assert watched.reported == [("created", NEW)]
    assert (watched.source.degraded, watched.rescan_reason) == ("", None)
    assert (len(store.lists), watched.source.scan_interval_s) == (lists, BACKSTOP_S)
    status = watched.source.hint_status
    assert status is not None
    assert status.errors == status.heads - 1 == 9


def test_while_all_keys_fail_no_further_one_is_tried_before_a_pause(
    store: Store, watched: Watched, clock: FakeClock
) -> None:
    keys = [f"in/new{number}" for number in range(100)]
    store.put_many(*keys)
    store.on_head = always(Fault.INTERNAL_ERROR)
    watched.hint(*keys)
    # One failure says nothing about others.
    most = watched.source._api.limit.maximum + 1
    assert store.requests[Kind.HEAD] <= most
    for rounds in range(2, 9):
        clock.advance(PAUSE_MAX_S)
        watched.observe()
        assert most < store.requests[Kind.HEAD] <= most * rounds
        watched.observe()
    store.on_head = None
    clock.advance(RETRY_MAX_S)
    watched.observe()
    assert len(watched.reported) == 100


def test_one_key_that_always_fails_delays_no_other(
    store: Store, watched: Watched, clock: FakeClock
) -> None:
    """Neither is another one kept from being looked at, nor the failing one forgotten."""
    store.put_many(NEW, f"{NEW}er")
    store.on_head = lambda request: Fault.INTERNAL_ERROR if request.key == NEW else None
    watched.hint(NEW)
    for _ in range(8):
        clock.advance(RETRY_MAX_S)
        watched.observe()
    watched.hint(f"{NEW}er")
    assert watched.reported == [("created", f"{NEW}er")]
    store.on_head = None
    clock.advance(RETRY_MAX_S)
    watched.observe()
    assert watched.reported == [("created", NEW), ("created", f"{NEW}er")]


@pytest.mark.parametrize("fault", [Fault.NO_BUCKET, Fault.INTERNAL_ERROR, Fault.RESET])
def test_a_key_is_not_gone_while_the_bucket_cannot_be_listed(
    fault: Fault, store: Store, watched: Watched, ticket: NotedTicket
) -> None:
    store.on_head = always(Fault.NO_BUCKET)
    store.on_list = always(fault)
    watched.hint(OLD, ticket=ticket)
    assert (watched.reported, ticket.outcomes) == ([], ["failed"])


def test_where_head_is_refused_a_hint_says_that_a_listing_is_due(
    store: Store, watched: Watched, ticket: NotedTicket
) -> None:
    """Its message is done when that is compared, and not after one that fails."""
    store.put(NEW)
    store.on_head = always(Fault.DENIED)
    watched.hint(NEW, ticket=ticket)
    assert watched.rescan_reason == "head_refused"
    assert "shows keys that are hinted by listings alone: the store" in watched.source.degraded
    assert (watched.reported, ticket.outcomes) == ([], [])
    assert list(watched.source.unsettled()) == [NEW.encode()]
    store.on_list = always(Fault.TORN_XML)
    with pytest.raises(UnavailableError):
        watched.scan()
    watched.observe()
    assert ticket.outcomes == []
    store.on_list = None
    watched.scan()
    assert (watched.reported, ticket.outcomes) == ([("created", NEW)], [])
    assert watched.source.due_in_s() == 0.0
    watched.observe()
    assert ticket.outcomes == ["done"]
    store.on_head = None
    watched.hint(NEW)
    assert watched.source.degraded == ""


def test_where_head_is_refused_for_missing_keys_alone_deletions_are_listed(
    store: Store, begin: Begin, clock: FakeClock
) -> None:
    """As Amazon S3 answers where a policy allows nothing but one prefix; nothing is amiss then."""
    store.on_head = lambda request: None if store.get(request.key) else Fault.DENIED
    watched = begin(notifications=WEBHOOK, clock=clock)
    watched.scan()
    store.put(NEW)
    watched.hint(NEW)
    assert (watched.reported, watched.rescan_reason) == ([("created", NEW)], None)
    store.delete(OLD)
    watched.hint(OLD)
    assert (watched.source.degraded, watched.rescan_reason) == ("", "head_refused")
    watched.scan()
    # The deletion waits for a second listing, which the backstop would be long in coming.
    assert watched.source.scan_interval_s < BACKSTOP_S
    watched.scan()
    assert watched.reported == [("created", NEW), ("deleted", OLD)]
    assert watched.source.scan_interval_s == BACKSTOP_S


def test_what_was_being_looked_at_when_the_source_is_closed_is_looked_at_later(
    store: Store, watched: Watched, ticket: NotedTicket
) -> None:
    release = threading.Event()
    store.on_head = lambda _: None if release.wait(DEADLINE_S) else Fault.RESET
    store.put(NEW)
    watched.send_hint(NEW, ticket=ticket)
    assert list(watched.source.observe()) == []
    watched.source.close()
    release.set()
    watched.source.hint([f"{NEW}er".encode()])
    assert ticket.outcomes == []
    store.put(f"{NEW}er")
    watched.source.open(watched.wake)
    watched.observe()
    assert watched.reported == [("created", NEW), ("created", f"{NEW}er")]
    assert ticket.outcomes == ["done"]


def test_a_key_that_has_rested_while_a_slow_request_looks_at_it_is_looked_at_once_more(
    store: Store, begin: Begin, clock: FakeClock, ticket: NotedTicket
) -> None:
    """One request at a time looks at a key, and its message is done with the second response."""
    watched = begin(notifications=WEBHOOK, clock=clock, quiet_s=5.0)
    watched.observe()
    store.put(NEW)
    (entry,) = watched.source.inspect([NEW.encode()]).entries
    heads, release = store.requests[Kind.HEAD], threading.Event()
    store.on_head = lambda _: None if release.wait(DEADLINE_S) else Fault.RESET
    watched.send_hint(NEW, ticket=ticket)
    assert list(watched.source.observe()) == []
    # As an entry is whose marker is found.
    assert watched.source.complete([entry], read_ns=1) == []
    clock.advance(5)
    assert list(watched.source.observe()) == []
    release.set()
    watched.observe()
    clock.advance(5)
    watched.observe()
    assert (watched.reported, ticket.outcomes) == ([("created", NEW)], ["done"])
    assert store.requests[Kind.HEAD] == heads + 2
