"""When an object has rested: by the listings that saw it, and by the time between them."""

import gc
from collections.abc import Callable

import pytest

from support.clock import FakeClock
from watcher.clock import NS_PER_S
from watcher.limits.fair_share import FairShare
from watcher.model import Entry
from watcher.sources.s3 import quiet
from watcher.sources.s3.quiet import QuietCheck

QUIET_S = 60.0
GROWN = Entry(b"a", 2, mtime_ns=2, etag="b")
FIRST = Entry(b"a", 1, mtime_ns=1, etag="a")
OTHER_STATES = [
    FIRST._replace(size=2),
    FIRST._replace(mtime_ns=FIRST.mtime_ns + NS_PER_S),
    FIRST._replace(etag="b"),
    FIRST._replace(etag=""),
]


class Listings:
    """Listings of one bucket on a clock that stands still."""

    def __init__(self, quiet_s: float = QUIET_S, share: FairShare | None = None) -> None:
        self.clock = FakeClock()
        self.check = QuietCheck(quiet_s, self.clock, share or FairShare(100))
        self._is_complete = False

    def list(
        self, *entries: Entry, after_s: float = 0.0, takes_s: float = 0.0, fails: bool = False
    ) -> list[Entry]:
        """List objects that differ from the index, and return those that have rested."""
        self.clock.advance(after_s)
        self.check.begin_listing(is_former_complete=self._is_complete)
        self.clock.advance(takes_s)
        self._is_complete = not fails
        return self.check.sort_out(entries)


def test_without_quiet_nothing_waits() -> None:
    listings = Listings(0.0)
    assert listings.list(FIRST, GROWN) == [FIRST, GROWN]
    assert len(listings.check) == 0


def test_two_listings_far_enough_apart_agree() -> None:
    """The first listing that begins late enough decides, however many there were before."""
    listings = Listings()
    assert listings.list(FIRST) == []
    assert listings.list(FIRST, after_s=QUIET_S - 1) == []
    assert listings.list(FIRST, after_s=1) == [FIRST]
    assert len(listings.check) == 0


def test_digits_of_a_time_that_alternate() -> None:
    """An object with an etag rests though listings write its time with more digits or fewer."""
    exact = FIRST._replace(mtime_ns=5 * NS_PER_S + 123_456_000)
    whole = exact._replace(mtime_ns=5 * NS_PER_S)
    listings = Listings()
    assert listings.list(exact) == []
    assert listings.list(whole, after_s=QUIET_S) == [whole]
    listings = Listings()
    assert listings.list(exact._replace(etag="")) == []
    assert listings.list(whole._replace(etag=""), after_s=QUIET_S) == []


def test_the_time_of_a_listing_does_not_count() -> None:
    """An object may have been listed at any time since the listing began, and until it is met."""
    listings = Listings()
    assert listings.list(FIRST, takes_s=10) == []
    assert listings.list(FIRST, after_s=QUIET_S - 1, takes_s=10) == []
    assert listings.list(FIRST, after_s=1) == [FIRST]


@pytest.mark.parametrize("other", OTHER_STATES)
def test_another_state_rests_anew(other: Entry) -> None:
    listings = Listings()
    for entry in (FIRST, other, FIRST, other):
        assert listings.list(entry, after_s=QUIET_S) == []
    assert listings.list(other, after_s=QUIET_S) == [other]


def test_a_state_that_a_listing_did_not_meet_rests_anew() -> None:
    """The object was gone or as reported meanwhile; a listing that failed may have missed it."""
    listings = Listings()
    listings.list(FIRST)
    listings.list(after_s=QUIET_S)
    assert listings.list(FIRST, after_s=QUIET_S) == []
    assert listings.list(after_s=QUIET_S / 2, fails=True) == []
    assert listings.list(after_s=QUIET_S / 2, fails=True) == []
    assert listings.list(FIRST) == [FIRST]


def test_objects_rest_by_themselves() -> None:
    """One that changes all the time delays no other, and takes the memory of one."""
    listings = Listings()
    other = FIRST._replace(path=b"b")
    listings.list(FIRST, other)
    assert listings.list(GROWN, other, after_s=QUIET_S) == [other]
    for size in range(3, 6):
        assert listings.list(GROWN._replace(size=size), after_s=QUIET_S, fails=True) == []
        assert len(listings.check) == 1


def many(count: int) -> list[Entry]:
    return [FIRST._replace(path=b"%d" % number) for number in range(count)]


def shared(monkeypatch: pytest.MonkeyPatch) -> FairShare:
    monkeypatch.setattr(quiet, "WAITING_MAX", 1000)
    return FairShare(4)


def alone(monkeypatch: pytest.MonkeyPatch) -> FairShare:
    monkeypatch.setattr(quiet, "WAITING_MAX", 4)
    return FairShare(1000)


@pytest.mark.parametrize("limit", [alone, shared])
def test_more_objects_than_may_rest_take_their_turns(
    limit: Callable[[pytest.MonkeyPatch], FairShare], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is reported once, in as many rounds as it takes, and no more than the limit is kept."""
    listings = Listings(share=limit(monkeypatch))
    left, rounds = many(10), []
    while left:
        rested = listings.list(*left, after_s=QUIET_S)
        assert len(listings.check) <= 4
        rounds.append(len(rested))
        left = [entry for entry in left if entry not in rested]
    assert rounds == [0, 4, 4, 2]


def test_what_rests_for_a_bucket_that_is_no_longer_watched_takes_no_room() -> None:
    share = FairShare(6)
    listings, other = Listings(share=share), Listings(share=share)
    listings.list(*many(5))
    other.list(*many(10))
    assert len(other.check) == 3
    del listings
    gc.collect()
    other.list(*many(10))
    assert len(other.check) == 6
