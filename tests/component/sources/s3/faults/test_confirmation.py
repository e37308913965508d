"""Lists a bucket with keys missing: what is there is not told as deleted, and what is gone is told once."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from component.sources.s3.faults.watched import (
    CONFIRMED_KEYS,
    KEYS,
    SOME,
    begins_listing,
    begins_part,
    hit,
    lists,
    read_query,
    restore,
)
from support.s3.faults import Fault, always, at
from support.s3.simulated import Kind
from watcher.errors import UnavailableError
from watcher.sources.s3.strategy import MAX_FAILURES

if TYPE_CHECKING:
    from component.sources.s3.faults.watched import Begin, Question
    from support.s3.simulated import Store as Bucket


def test_keys_that_only_the_parts_lack(store: Bucket, begin: Begin) -> None:
    """Many keys that a listing in parts lacks are looked for in one chain before they are told as deleted; soon parts are not tried."""
    watched = begin()
    hidden = {key: store._table.get(key) for key in SOME}
    for _ in range(MAX_FAILURES):
        begun: list[Question] = []

        def show(number: int, begun: list[Question] = begun) -> None:
            question = read_query(lists(store)[number - 1])
            if begins_listing(question):
                begun.append(question)
                if len(begun) == 2:
                    restore(store, hidden)

        store.before_page = show
        store.delete(*SOME)
        watched.scan()
        assert len(begun) == 2
        assert any(map(begins_part, watched.asked))
        assert watched.told == []
        # The next one is read in one chain anyway, since so many would be looked for twice again.
        watched.scan()
        assert not any(map(begins_part, watched.asked))
    store.before_page = None
    watched.scan()
    assert not any(map(begins_part, watched.asked))
    assert (watched.told, watched.entries) == ([], len(KEYS))


def test_keys_that_every_listing_lacks(store: Bucket, begin: Begin) -> None:
    """Where the listing in one chain lacks them too, but the store has them when it is asked for one, no listing is believed."""
    watched = begin()
    hidden = {key: store._table.get(key) for key in SOME}

    def show(_: int) -> None:
        restore(store, hidden)

    store.delete(*SOME)
    store.before_head = show
    with pytest.raises(UnavailableError, match=f"lacks keys that are there, such as b'{SOME[0]}'"):
        watched.scan()
    assert sum(map(begins_listing, watched.asked)) == 2
    watched.scan()
    assert (watched.told, watched.entries) == ([], len(KEYS))


@pytest.mark.parametrize(("count", "listings"), [(CONFIRMED_KEYS, 1), (CONFIRMED_KEYS + 1, 2)])
def test_deletions_are_told_once(count: int, listings: int, store: Bucket, begin: Begin) -> None:
    """Keys that are deleted are told so after one listing in parts and a request for each; many of them after one more, in one chain."""
    watched = begin()
    deleted = KEYS[40 : 40 + count]
    store.delete(*deleted)
    watched.scan()
    assert any(map(begins_part, watched.asked))
    assert sum(map(begins_listing, watched.asked)) == listings
    assert watched.told == [("deleted", key) for key in deleted]
    assert CONFIRMED_KEYS <= store.requests[Kind.HEAD] <= count
    watched.scan()
    assert (sum(map(begins_listing, watched.asked)), len(watched.told)) == (1, count)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    "fault", [Fault.INTERNAL_ERROR, Fault.SLOW_DOWN, Fault.EXPIRED_TOKEN, Fault.REDIRECT]
)
def test_a_deletion_that_cannot_be_confirmed(fault: Fault, store: Bucket, begin: Begin) -> None:
    """A key that a listing lacks is not told as deleted before the store answers the question for it."""
    watched = begin()
    store.delete("in/0042")
    store.before_head = always(fault)
    with pytest.raises(UnavailableError):
        watched.scan()
    assert watched.told == []
    store.before_head = None
    watched.scan()
    assert watched.told == [("deleted", "in/0042")]


def test_who_may_not_read_asks_by_listing(store: Bucket, begin: Begin) -> None:
    """Where HEAD is refused, a listing of the key itself tells whether it is gone."""
    watched = begin(workers=1)
    store.before_head = always(Fault.DENIED)
    store.delete("in/0042")
    # The empty page ends the listing early: many keys are missing, some are asked for, and those are there.
    store.before_page = at({len(lists(store)) + 9: Fault.EMPTY})
    with pytest.raises(UnavailableError, match="lacks keys that are there"):
        watched.scan()
    watched.scan()
    assert watched.told == [("deleted", "in/0042")]


@pytest.mark.usefixtures("_once")
def test_a_refusal_is_no_confirmation(store: Bucket, begin: Begin) -> None:
    """Where neither HEAD nor LIST is allowed any more, nothing is known of a key that a listing lacked."""
    watched = begin()
    store.delete("in/0042")
    store.before_head = always(Fault.DENIED)
    hit(store, Fault.DENIED, lambda question: question["prefix"] == "in/0042")
    with pytest.raises(UnavailableError, match="AccessDenied"):
        watched.scan()
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_an_empty_listing_is_not_believed_blindly(store: Bucket, begin: Begin) -> None:
    """A listing of nothing, from a store that does not let us ask for a single key, tells no deletion."""
    watched = begin(workers=1)
    store.before_head = always(Fault.DENIED)
    hit(store, Fault.EMPTY, begins_listing)
    for _ in range(2):  # the first time it is held, for all is gone
        with suppress(UnavailableError):
            watched.scan()
    with pytest.raises(UnavailableError, match=r"the listing is empty.*allow s3:GetObject"):
        watched.source.confirm_deleted([b"in/0042"])
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_a_bucket_that_is_missing_for_a_moment(store: Bucket, begin: Begin) -> None:
    """A HEAD that finds no key, because there is no bucket, confirms nothing."""
    watched = begin()
    store.delete("in/0042")
    store.before_head = always(Fault.NO_BUCKET)
    hit(store, Fault.NO_BUCKET, lambda question: question["max-keys"] == "1")
    with pytest.raises(UnavailableError, match="no such bucket"):
        watched.scan()
    assert watched.told == []


@pytest.mark.usefixtures("_once")
def test_a_bucket_that_is_back_after_a_moment(store: Bucket, begin: Begin) -> None:
    """A key that the listing lacked and HEAD did not find, both for lack of a bucket that is back by then, is not told as deleted."""
    watched = begin()
    hidden = {"in/0042": store._table.get("in/0042")}

    def come_back(_: int) -> Fault:
        restore(store, hidden)
        return Fault.NO_BUCKET

    store.delete("in/0042")
    store.before_head = come_back
    watched.scan()
    assert store.requests[Kind.HEAD] == 1
    assert watched.told == []
