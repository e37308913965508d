"""Hints the keys of a bucket, and compares what HEAD finds there with the index."""

from __future__ import annotations

import pytest

from support.s3.simulated import Store
from support.s3.watched import BACKSTOP_S, KEYS, Begin, Watched
from watcher.spec import HintKind, Notifications

NEW, OLD = "in/0042-new", KEYS[42]
WEBHOOK = Notifications(HintKind.WEBHOOK)


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
    assert watched.source.scan_interval_s == BACKSTOP_S


def test_a_hinted_key_that_is_gone_is_deleted(store: Store, watched: Watched) -> None:
    """One page with one key, that the bucket is there, is all that is listed for several."""
    lists = len(store.lists)
    store.delete(OLD)
    watched.hint(OLD, NEW)
    assert watched.reported == [("deleted", OLD)]
    assert all(request.query["max-keys"] == "1" for request in store.lists[lists:])


@pytest.mark.parametrize("key", ["out/a", "in", "", b"in/\xff", "in/" + "x" * 1022, "in/never"])
def test_a_hint_for_no_object_of_the_place_changes_nothing(
    key: str | bytes, store: Store, watched: Watched
) -> None:
    store.put("out/a")
    watched.hint(key)
    assert watched.reported == []
    assert list(watched.source.unsettled()) == []


def test_an_object_that_was_listed_is_not_modified_by_its_hint(watched: Watched) -> None:
    watched.hint(*KEYS)
    watched.scan()
    assert watched.reported == []


def test_what_was_hinted_is_not_reported_by_the_next_listing(
    store: Store, watched: Watched
) -> None:
    store.put(NEW)
    store.delete(OLD)
    watched.hint(NEW, OLD)
    watched.scan()
    assert watched.reported == [("created", NEW), ("deleted", OLD)]
