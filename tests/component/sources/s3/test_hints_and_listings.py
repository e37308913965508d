"""Hints while a listing runs, what a listing makes of what was hinted, and how often it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from support.clock import FakeClock
from support.s3.faults import Answer, Fault
from support.s3.feeds import ChosenFeed
from support.s3.pages import MAX_KEYS
from support.s3.simulated import Store
from support.s3.tickets import NotedTicket
from support.s3.watched import BACKSTOP_S, DEADLINE_S, KEYS, Begin, Watched
from watcher.sources.s3 import hint_intake
from watcher.sources.s3.hints import inbox
from watcher.spec import Conditions, HintKind, Notifications

NEW, OLD, LATER = "in/0042-new", KEYS[42], KEYS[60]
MARKER = "in/_SUCCESS"
FORMER_S = 30.0
QUIET_S = 60.0
WEBHOOK = Notifications(HintKind.WEBHOOK)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> ChosenFeed:
    feed = ChosenFeed()
    monkeypatch.setattr(hint_intake, "make_feed", lambda *_: feed)
    return feed


@pytest.fixture
def watched(begin: Begin, feed: ChosenFeed, clock: FakeClock) -> Watched:
    """Watch a bucket whose feed misses nothing, once all of it was listed."""
    assert not feed.is_started
    return begin(notifications=WEBHOOK, clock=clock, workers=1)


def act_within_a_listing(store: Store, watched: Watched, act: Callable[[], None]) -> None:
    """List the bucket on one page, and act when its first batch is compared and no other is."""
    store.page_keys = MAX_KEYS
    acts = [act]
    watched._reconciler._checkpoint = lambda _: acts.pop()() if acts else None
    watched.scan()
    assert not acts
    watched.observe()


@dataclass(frozen=True)
class Step:
    """What happens to an object of the page, and how it is reported."""

    act: Callable[[Store], object]
    key: str
    expected: list[str]


STEPS = {
    "overwritten": Step(lambda store: store.put(LATER, size=9), LATER, ["modified"]),
    "deleted": Step(lambda store: store.delete(LATER), LATER, ["deleted"]),
    "new": Step(lambda store: store.put(f"{LATER}-new"), f"{LATER}-new", ["created"]),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_page_that_is_older_than_a_hint_takes_nothing_back(
    step: Step, store: Store, watched: Watched
) -> None:
    def act() -> None:
        step.act(store)
        watched.hint(step.key)

    act_within_a_listing(store, watched, act)
    assert [kind for kind, key in watched.reported if key == step.key] == step.expected
    watched.scan()
    assert watched.reported == [(kind, step.key) for kind in step.expected]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_page_that_is_older_than_a_hint_takes_nothing_back_once_the_marker_is_met(
    step: Step, store: Store, begin: Begin, feed: ChosenFeed
) -> None:
    """The marker is in a later batch: the end of the listing evaluates the key."""
    assert not feed.is_started
    store.put(MARKER)
    watched = begin(notifications=WEBHOOK, workers=1, conditions=Conditions(marker="_SUCCESS"))

    def act() -> None:
        step.act(store)
        watched.hint(step.key)

    act_within_a_listing(store, watched, act)
    watched.scan()
    watched.observe()
    assert watched.reported == [(kind, step.key) for kind in step.expected]


def test_a_page_that_is_older_than_a_look_at_a_key_takes_nothing_back(
    store: Store, begin: Begin, feed: ChosenFeed
) -> None:
    """The key was looked at since its marker was hinted."""
    assert not feed.is_started
    watched = begin(notifications=WEBHOOK, workers=1, conditions=Conditions(marker="{name}.done"))
    store.put(f"{LATER}-new", size=1)
    watched.hint(f"{LATER}-new")

    def act() -> None:
        store.put(f"{LATER}-new", size=2)
        store.put(f"{LATER}-new.done")
        watched.hint(f"{LATER}-new.done")

    act_within_a_listing(store, watched, act)
    assert [(event["type"], event["size"]) for event in watched.events] == [("created", 2)]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_page_that_is_older_than_a_hint_takes_nothing_back_of_old_objects(
    step: Step, store: Store, watched: Watched
) -> None:
    """They are recorded, and not reported, when they are first met."""
    watched._reconciler._detector._is_too_old = lambda _: True

    def act() -> None:
        step.act(store)
        watched.hint(step.key)

    act_within_a_listing(store, watched, act)
    watched.scan()
    expected = [] if step.expected == ["created"] else step.expected
    assert watched.reported == [(kind, step.key) for kind in expected]


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("is_old", [True, False])
def test_a_key_that_a_listing_shows_although_it_is_gone_is_not_met_again(
    store: Store, begin: Begin, feed: ChosenFeed, *, is_marked: bool, is_old: bool
) -> None:
    """Neither is it created, nor deleted twice."""
    assert not feed.is_started
    store.put(MARKER)
    conditions = Conditions(marker="_SUCCESS") if is_marked else None
    watched = begin(notifications=WEBHOOK, workers=1, conditions=conditions)
    watched._reconciler._detector._is_too_old = lambda _: is_old
    deleted = store.delete(LATER)
    watched.hint(LATER)
    store.restore(deleted)
    store.on_head = lambda request: Fault.NO_BUCKET if request.key == LATER else None
    watched.scan()
    store.delete(LATER)
    watched.scan()
    assert watched.reported == [("deleted", LATER)]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_response_that_is_older_than_a_listing_takes_nothing_back(
    step: Step, store: Store, watched: Watched
) -> None:
    """HEAD was answered before the object changed, and is looked at after a listing is compared."""
    answered, release = threading.Event(), threading.Event()

    def hold(answer: Answer) -> Answer:
        answered.set()
        assert release.wait(DEADLINE_S)
        return answer

    store.on_head = lambda _: None if answered.is_set() else hold
    watched.send_hint(step.key)
    assert list(watched.source.observe()) == []
    assert answered.wait(DEADLINE_S)
    step.act(store)
    watched.scan()
    release.set()
    watched.observe()
    assert watched.reported == [(kind, step.key) for kind in step.expected]


def test_a_key_is_looked_at_by_one_request_at_a_time(store: Store, watched: Watched) -> None:
    """So no response that is older than another is compared after it."""
    answered, release = threading.Event(), threading.Event()

    def hold(answer: Answer) -> Answer:
        answered.set()
        assert release.wait(DEADLINE_S)
        return answer

    store.put(NEW, size=1)
    store.on_head = lambda _: None if answered.is_set() else hold
    tickets = NotedTicket(), NotedTicket()
    watched.send_hint(NEW, ticket=tickets[0])
    assert list(watched.source.observe()) == []
    assert answered.wait(DEADLINE_S)
    store.put(NEW, size=2)
    watched.send_hint(NEW, ticket=tickets[1])
    assert list(watched.source.observe()) == []
    assert len([request for request in store.log if request.key == NEW]) == 1
    release.set()
    watched.observe()
    assert [event["size"] for event in watched.events] == [1, 2]
    assert [ticket.outcomes for ticket in tickets] == [["done"], ["done"]]


def test_a_key_that_a_listing_shows_although_it_is_gone_is_not_created(
    store: Store, watched: Watched
) -> None:
    """Some listings show for a while what was deleted."""
    deleted = store.delete(OLD)
    watched.hint(OLD)
    store.restore(deleted)
    store.on_head = lambda request: Fault.NO_BUCKET if request.key == OLD else None
    watched.scan()
    assert watched.reported == [("deleted", OLD)]


def test_hints_beyond_the_room_of_the_inbox_lead_to_a_listing(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "WAITING_KEYS_MAX", 10)
    store.put_many(*(f"in/new{number}" for number in range(20)))
    watched.hint(*(f"in/new{number}" for number in range(20)))
    assert (watched.rescan_reason, watched.reported) == ("many_hints", [])
    watched.scan()
    watched.observe()
    assert (watched.rescan_reason, len(watched.reported)) == (None, 20)


def test_missed_hints_lead_to_one_listing(watched: Watched, feed: ChosenFeed) -> None:
    """A listing that begins anyway makes another one needless."""
    reasons: list[str | None] = []
    for act in (watched.observe, watched.observe, watched.scan):
        feed.misses_hints = act != watched.observe or not reasons
        act()
        watched.observe()
        reasons.append(watched.rescan_reason)
    assert reasons == ["hints_missed", None, None]


def test_a_webhook_misses_hints_before_each_start(begin: Begin) -> None:
    """The first listing makes up for them."""
    watched = begin(notifications=WEBHOOK)
    reasons = []
    for _ in range(2):
        watched.observe()
        reasons.append(watched.rescan_reason)
        watched.source.close()
        watched.source.open(watched.wake)
    assert reasons == [None, "hints_missed"]


def test_a_bucket_is_listed_as_often_as_without_hints_while_none_arrive(
    watched: Watched, feed: ChosenFeed
) -> None:
    for problem, interval_s, mode in (
        ("", BACKSTOP_S, "notify"),
        ("the queue is gone", FORMER_S, "poll"),
        ("", BACKSTOP_S, "notify"),
    ):
        feed.problem = problem
        assert (watched.source.scan_interval_s, watched.source.mode) == (interval_s, mode)
        assert watched.source.degraded == (problem and f"no hints arrive: {problem}")


def test_the_status_adds_what_the_source_knows(watched: Watched, feed: ChosenFeed) -> None:
    """A hint that is posted is a message beside those of the feed."""
    feed.problem = "gone"
    watched.hint(OLD)
    status = watched.source.hint_status
    assert status is not None
    assert (status.kind, status.problem) == ("queue", "gone")
    assert (status.messages, status.requests) == (3 + 1, 7)
    assert (status.keys, status.heads, status.errors, status.oldest_age_s) == (1, 1, 2, 1.5)


def test_a_feed_runs_while_the_source_is_open(watched: Watched, feed: ChosenFeed) -> None:
    runs = [feed.is_started]
    for act in (
        watched.source.close,
        watched.source.close,
        lambda: watched.source.open(watched.wake),
    ):
        act()
        runs.append(feed.is_started)
    assert runs == [True, False, False, True]


def test_all_is_known_up_to_the_last_listing_or_the_last_hint(
    watched: Watched, feed: ChosenFeed, clock: FakeClock
) -> None:
    """What waits to be looked at is unsettled."""
    feed.known_s = listed_s = clock.monotonic()
    clock.advance(5)
    assert watched.source.known_until_s(b"in/") == listed_s
    feed.known_s = clock.monotonic()
    assert watched.source.known_until_s(b"in/") == listed_s + 5
    feed.problem = "the queue is gone"
    assert watched.source.known_until_s(b"in/") == listed_s
    watched.send_hint(NEW)
    assert list(watched.source.unsettled()) == [NEW.encode()]


class Quiet:
    """A bucket that sends hints, and is watched with ``quiet``."""

    def __init__(self, store: Store, begin: Begin, clock: FakeClock) -> None:
        self.store, self.clock = store, clock
        self.watched = begin(notifications=WEBHOOK, quiet_s=QUIET_S, clock=clock)
        self.ticket = NotedTicket()

    def after(self, seconds: float) -> list[tuple[str, int]]:
        """Observe after some time, and return type and size of all events."""
        self.clock.advance(seconds)
        self.watched.observe()
        return [(event["type"], event["size"]) for event in self.watched.events]


@pytest.fixture
def quiet(store: Store, begin: Begin, feed: ChosenFeed, clock: FakeClock) -> Quiet:
    assert not feed.is_started
    return Quiet(store, begin, clock)


def test_a_hinted_object_is_reported_once_it_rests(quiet: Quiet) -> None:
    """Its message is done then, and no listing is made for it."""
    lists = len(quiet.store.lists)
    for size in (1, 2, 3):
        quiet.store.put(NEW, size=size)
        quiet.watched.send_hint(NEW, ticket=quiet.ticket)
        assert quiet.after(QUIET_S / 2) == []
    assert list(quiet.watched.source.unsettled()) == [NEW.encode()]
    assert quiet.watched.source.due_in_s() == QUIET_S
    quiet.store.put(NEW, size=4)
    assert quiet.after(QUIET_S) == []
    assert quiet.ticket.outcomes == []
    assert quiet.after(QUIET_S) == [("created", 4)]
    assert quiet.ticket.outcomes == ["done"] * 3
    assert len(quiet.store.lists) == lists
    assert list(quiet.watched.source.unsettled()) == []


def test_a_hinted_object_that_goes_while_it_rests(quiet: Quiet) -> None:
    quiet.store.put(OLD, size=2)
    quiet.watched.hint(OLD)
    quiet.store.delete(OLD)
    quiet.watched.hint(OLD)
    assert quiet.after(0.0) == [("deleted", 1)]
    assert quiet.after(QUIET_S) == [("deleted", 1)]


def test_a_listing_leaves_an_object_that_rests_to_its_hint(quiet: Quiet) -> None:
    quiet.store.put(NEW, size=1)
    quiet.watched.hint(NEW)
    quiet.watched.scan()
    assert quiet.watched.source.scan_interval_s == BACKSTOP_S
    assert quiet.after(QUIET_S) == [("created", 1)]


def test_an_object_that_only_listings_have_met_rests_no_longer_than_without_hints(
    quiet: Quiet,
) -> None:
    quiet.store.put(NEW, size=1)
    quiet.watched.scan()
    assert quiet.watched.source.scan_interval_s == FORMER_S
    quiet.clock.advance(QUIET_S)
    quiet.watched.scan()
    assert quiet.after(0.0) == [("created", 1)]
    assert quiet.watched.source.scan_interval_s == BACKSTOP_S


def test_an_object_that_a_listing_met_and_a_hint_reported_waits_for_no_other_listing(
    quiet: Quiet,
) -> None:
    quiet.store.put(NEW, size=1)
    quiet.watched.scan()
    quiet.watched.hint(NEW)
    assert quiet.after(QUIET_S) == [("created", 1)]
    assert quiet.watched.source.scan_interval_s == BACKSTOP_S
    assert list(quiet.watched.source.unsettled()) == []
