"""Hints the keys of a bucket, and compares what HEAD finds there with the index."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from support.s3.faults import Answer, Fault, Hook, Request, always
from support.s3.simulated import Store
from support.s3.tickets import NotedTicket
from support.s3.watched import BACKSTOP_S, KEYS, Begin, Watched
from watcher.sources.s3.inspection_failures import RETRY_MAX_S
from watcher.spec import Conditions, HintKind, Notifications

NEW, OLD = "in/0042-new", KEYS[42]
WEBHOOK = Notifications(HintKind.WEBHOOK)
FOUND = Answer(
    headers={
        "Content-Length": "1",
        "ETag": '"ghost"',
        "Last-Modified": "Wed, 21 Oct 2025 07:28:00 GMT",
    }
)

LISTED = (
    "<Contents><Key>{}</Key><LastModified>2025-10-21T07:28:00.000Z</LastModified>"
    "<ETag>&quot;ghost&quot;</ETag><Size>1</Size></Contents>"
)


@pytest.fixture
def watched(begin: Begin) -> Watched:
    """Watch a bucket that sends hints, once all of it was listed."""
    watched = begin(notifications=WEBHOOK)
    watched.observe()
    return watched


def test_a_hinted_key_is_compared_at_once_and_nothing_is_listed(
    store: Store, watched: Watched
) -> None:
    lists = len(store.lists)
    store.put(NEW)
    store.put(OLD, size=7)
    watched.hint(NEW, OLD, OLD)
    assert watched.reported == [("created", NEW), ("modified", OLD)]
    assert len(store.lists) == lists
    assert (watched.source.mode, watched.source.scan_interval_s) == ("notify", BACKSTOP_S)
    assert watched.rescan_reason is None


def test_a_hinted_key_that_is_gone_is_deleted(store: Store, watched: Watched) -> None:
    """One page with one key, that the bucket is there, is all that is listed for it."""
    lists = len(store.lists)
    store.delete(OLD)
    watched.hint(OLD)
    assert watched.reported == [("deleted", OLD)]
    assert [request.query["max-keys"] for request in store.lists[lists:]] == ["1"]


def test_many_keys_that_are_gone_share_requests(store: Store, watched: Watched) -> None:
    """All of a bucket may go at once; that it is there is found out for several keys together."""
    lists = len(store.lists)
    store.delete(*KEYS)
    store.put(NEW)
    watched.hint(*KEYS, NEW)
    assert len(watched.reported) == len(KEYS) + 1
    assert len(store.lists) - lists < len(KEYS) / 2
    assert watched.source._hints.requests.lists == len(store.lists) - lists


def test_a_hint_for_no_object_of_the_place_changes_nothing(store: Store, watched: Watched) -> None:
    store.put("out/a")
    for key in ("out/a", "in", "", b"in/\xff", "in/" + "x" * 1022, "in/never"):
        ticket = NotedTicket()
        watched.hint(key, ticket=ticket)
        assert ticket.outcomes == ["done"]
    assert watched.reported == []
    assert list(watched.source.unsettled()) == []


def test_keys_are_taken_as_they_are(store: Store, watched: Watched) -> None:
    """Of several readings of a key only that counts at which there is an object."""
    keys = ["in/a+b", "in/a b", "in/%61", "in/é", "in/e\u0301", "in/🦊"]
    for number, key in enumerate(keys):
        store.put(key)
        watched.hint(*keys)
        assert watched.reported == sorted(("created", each) for each in keys[: number + 1])


def test_an_object_that_is_back_before_it_is_known_to_be_gone(
    store: Store, watched: Watched
) -> None:
    """HEAD finds nothing, and a second one after the listing does."""
    store.delete(OLD)

    def put_back(_: Request) -> None:
        store.put(OLD, size=9)

    store.on_list = put_back
    watched.hint(OLD)
    assert [(event["type"], event["size"]) for event in watched.events] == [("modified", 9)]


GHOSTS = ["in/folder/", "in//a", "in/./a", "in/../x", "in/a//"]


def test_an_object_under_another_key_is_not_reported(store: Store, watched: Watched) -> None:
    """HEAD finds something that no listing has: a folder, or the object of another key."""
    store.put("in/folder/below")
    store.put("in/a")
    store.on_head = always(FOUND)
    ticket = NotedTicket()
    watched.hint(*GHOSTS, ticket=ticket)
    watched.scan()
    watched.observe()
    assert watched.reported == [("created", "in/a"), ("created", "in/folder/below")]
    assert ticket.outcomes == ["done"]


def found_at(*keys: str) -> Hook:
    """Return what has HEAD find the same object at some keys."""
    return lambda request: FOUND if request.key in keys else None


def test_such_a_key_is_reported_as_listings_have_it(store: Store, watched: Watched) -> None:
    for key in GHOSTS:
        store.put(key, size=5, etag="own")
    store.on_head = found_at(*GHOSTS)
    watched.hint(*GHOSTS)
    assert watched.reported == sorted(("created", key) for key in GHOSTS)
    assert {(event["size"], event["etag"]) for event in watched.events} == {(5, "own")}


ALIASES = {"in//a": "in/a", "in/./a": "in/a", "in/x/../a": "in/a", "in/b//": "in/b/"}


@pytest.mark.parametrize("alias", ALIASES)
def test_a_store_that_lists_objects_under_a_prefix_as_it_is_written(
    alias: str, store: Store, watched: Watched
) -> None:
    """SeaweedFS does: only a listing of the place shows which key there is, and it decides."""
    plain = ALIASES[alias]
    store.put(plain)
    store.on_head = found_at(alias, plain)

    def echo(request: Request) -> Answer | None:
        if request.query["prefix"] != alias:
            return None
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>"
        return Answer(body % LISTED.format(alias).encode())

    store.on_list = echo
    ticket = NotedTicket()
    watched.hint(alias, ticket=ticket)
    assert (watched.reported, ticket.outcomes) == ([], [])
    assert watched.rescan_reason == "head_refused"
    assert f"{alias!r} may be {plain!r}" in watched.source.degraded
    watched.scan()
    watched.observe()
    assert watched.reported == [("created", plain)]
    assert ticket.outcomes == ["done"]
    watched.scan()
    assert watched.reported == [("created", plain)]


def test_equal_objects_at_both_keys_are_found_by_a_listing(store: Store, watched: Watched) -> None:
    """A copy at a key that is read as another one cannot be told from it, and is not lost."""
    for key in ("in/a", "in//a"):
        store.put(key, size=5, etag="copy")
    store.on_head = found_at("in/a", "in//a")
    watched.hint("in//a")
    assert watched.rescan_reason == "head_refused"
    watched.scan()
    assert watched.reported == [("created", "in//a"), ("created", "in/a")]


@pytest.mark.parametrize("other", [Fault.DENIED, Answer(headers={"Content-Length": "1"}), None])
def test_a_plain_key_that_shows_no_equal_object_does_not_count(
    other: Answer | Fault | None, store: Store, watched: Watched
) -> None:
    """It is another object, there is none, or the rights end with the prefix of the place."""
    store.put("in//a", size=5, etag="own")
    if other is not None:
        store.put("in/a")
    store.on_head = lambda request: other if request.key == "in/a" else None
    watched.hint("in//a")
    assert watched.reported == [("created", "in//a")]
    assert watched.rescan_reason is None


def test_an_object_whose_headers_cannot_be_read_is_left_to_listings(
    store: Store, watched: Watched
) -> None:
    store.put(NEW)
    store.on_head = always(Answer(headers={"Content-Length": "1"}))
    ticket = NotedTicket()
    watched.hint(NEW, ticket=ticket)
    assert (watched.reported, ticket.outcomes) == ([], ["done"])
    watched.scan()
    assert watched.reported == [("created", NEW)]


@pytest.mark.parametrize("marker", ["{name}.done", "_SUCCESS"])
@pytest.mark.parametrize("is_entry_first", [True, False])
def test_a_marker_that_is_hinted_opens_its_entry(
    marker: str, store: Store, begin: Begin, *, is_entry_first: bool
) -> None:
    """Whichever comes first, the entry is reported once both are there, and nothing is listed."""
    watched = begin(notifications=WEBHOOK, conditions=Conditions(marker=marker))
    lists = len(store.lists)
    first, second = (NEW, marker.format(name=NEW)) if "{" in marker else (NEW, "in/_SUCCESS")
    for key in (first, second) if is_entry_first else (second, first):
        assert NEW not in {path for _, path in watched.reported}
        store.put(key)
        watched.hint(key)
    assert ("created", NEW) in watched.reported
    assert second not in {path for _, path in watched.reported}
    assert len(store.lists) == lists
    assert watched.rescan_reason is None


def test_a_marker_that_is_gone_opens_nothing_although_its_row_is_there(
    store: Store, begin: Begin
) -> None:
    watched = begin(notifications=WEBHOOK, conditions=Conditions(marker="{name}.done"))
    store.put(f"{NEW}.done")
    watched.hint(f"{NEW}.done")
    store.delete(f"{NEW}.done")
    store.put(NEW)
    watched.hint(NEW)
    assert watched.reported == []


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("is_marker_failing", [True, False])
def test_what_cannot_be_looked_at_while_a_marker_opens_its_entry_is_looked_at_later(
    store: Store, begin: Begin, *, is_marker_failing: bool
) -> None:
    """Neither the watch fails nor has a listing to find it."""
    clock = FakeClock()
    watched = begin(notifications=WEBHOOK, conditions=Conditions(marker="{name}.done"), clock=clock)
    marker = f"{NEW}.done"
    first, second = (marker, NEW) if is_marker_failing else (NEW, marker)
    store.put(first)
    watched.hint(first)
    store.put(second)
    store.on_head = lambda request: Fault.INTERNAL_ERROR if request.key == first else None
    watched.hint(second)
    assert (watched.reported, list(watched.source.unsettled())) == ([], [first.encode()])
    store.on_head = None
    clock.advance(RETRY_MAX_S)
    watched.observe()
    assert watched.reported == [("created", NEW)]
    assert watched.rescan_reason is None


def test_the_status_counts_what_arrives(store: Store, watched: Watched) -> None:
    store.put(NEW)
    watched.hint(NEW, OLD, "out/x")
    status = watched.source.hint_status
    assert status is not None
    assert (status.kind, status.keys, status.waiting, status.heads) == ("webhook", 2, 0, 2)
    assert (status.problem, status.errors, status.oldest_age_s) == ("", 0, 0.0)
