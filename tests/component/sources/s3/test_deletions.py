"""Lists a bucket with keys missing: present ones are not reported as deleted, deleted ones once."""

from contextlib import suppress

import pytest

from support.s3.faults import Failing, Fault, Kind, Request, always
from support.s3.keys import Order
from support.s3.listing import OpenSource, read
from support.s3.simulated import Store, run_store
from support.s3.watched import CHECKED_KEYS_MAX, KEYS, PAGE_KEYS, SOME, Begin
from watcher.errors import UnavailableError
from watcher.sources.s3 import deletions
from watcher.sources.s3.strategy import MAX_FAILURES
from watcher.spec import BucketSpec

ONE_DELETED = [("deleted", "in/0042")]


def test_keys_that_only_parallel_listings_lack(store: Store, begin: Begin) -> None:
    """Keys that only a parallel listing lacks are found by a sequential one, soon by that alone."""
    watched = begin()
    for _ in range(MAX_FAILURES):
        hidden = store.delete(*SOME)
        begun: list[Request] = []

        def show(request: Request, begun: list[Request] = begun) -> None:
            if request.begins_listing:
                begun.append(request)
                if len(begun) == 2:
                    store.restore(hidden)  # noqa: B023 - called before the next round

        store.on_list = show
        watched.scan()
        assert (len(begun), watched.is_parallel, watched.reported) == (2, True, [])
        # The next listing is sequential anyway, since these keys would be looked for twice again.
        watched.scan()
        assert not watched.is_parallel
    store.on_list = None
    watched.scan()
    assert not watched.is_parallel
    assert (watched.reported, watched.entries) == ([], len(KEYS))


def test_keys_that_every_listing_lacks(store: Store, begin: Begin) -> None:
    """Where the sequential listing lacks them too, but HEAD finds one, no listing is believed."""
    watched = begin()
    hidden = store.delete(*SOME)
    store.on_head = lambda _: store.restore(hidden)
    with pytest.raises(UnavailableError, match=f"lacks keys that are there, such as b'{SOME[0]}'"):
        watched.scan()
    assert watched.listings == 2
    watched.scan()
    assert (watched.reported, watched.entries) == ([], len(KEYS))


@pytest.mark.parametrize(("count", "listings"), [(CHECKED_KEYS_MAX, 1), (CHECKED_KEYS_MAX + 1, 2)])
def test_deletions_are_reported_once(count: int, listings: int, store: Store, begin: Begin) -> None:
    """Few deletions take a parallel listing and a HEAD for each, many a sequential listing more."""
    watched = begin()
    deleted = KEYS[40 : 40 + count]
    store.delete(*deleted)
    watched.scan()
    assert (watched.is_parallel, watched.listings) == (True, listings)
    assert watched.reported == [("deleted", key) for key in deleted]
    assert CHECKED_KEYS_MAX <= store.requests[Kind.HEAD] <= count
    watched.scan()
    assert (watched.listings, len(watched.reported)) == (1, count)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    "fault", [Fault.INTERNAL_ERROR, Fault.SLOW_DOWN, Fault.EXPIRED_TOKEN, Fault.REDIRECT]
)
def test_a_deletion_that_cannot_be_confirmed(fault: Fault, store: Store, begin: Begin) -> None:
    """A key that a listing lacks is not reported as deleted before the store answers for it."""
    watched = begin()
    store.delete("in/0042")
    store.on_head = always(fault)
    with pytest.raises(UnavailableError):
        watched.scan()
    assert watched.reported == []
    store.on_head = None
    watched.scan()
    assert watched.reported == ONE_DELETED


def test_where_head_is_refused_a_listing_of_the_key_decides(store: Store, begin: Begin) -> None:
    """Where HEAD is refused, a listing of the key itself shows whether it is gone."""
    watched = begin(workers=1)
    store.on_head = always(Fault.DENIED)
    store.delete("in/0042")
    # The empty page ends the listing early: many keys are missing, and a sample of them is there.
    ninth = len(store.lists) + 9
    store.on_list = Failing(Fault.EMPTY, lambda request: request.number == ninth)
    with pytest.raises(UnavailableError, match="lacks keys that are there"):
        watched.scan()
    watched.scan()
    assert watched.reported == ONE_DELETED


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("fault", "text"),
    [(Fault.DENIED, "AccessDenied"), (Fault.NO_BUCKET, "no such bucket")],
    ids=["refused", "no bucket"],
)
def test_a_refusal_is_no_confirmation(store: Store, begin: Begin, fault: Fault, text: str) -> None:
    """Where neither HEAD nor LIST answers for a key that a listing lacked, it is not gone."""
    watched = begin()
    store.delete("in/0042")
    store.on_head = always(fault)
    store.on_list = Failing(fault, lambda request: request.is_check)
    with pytest.raises(UnavailableError, match=text):
        watched.scan()
    assert watched.reported == []


@pytest.mark.usefixtures("_once")
def test_an_empty_listing_is_not_believed_blindly(store: Store, begin: Begin) -> None:
    """An empty listing, from a store that refuses to be asked for a single key, is no deletion."""
    watched = begin(workers=1)
    store.on_head = always(Fault.DENIED)
    store.on_list = Failing(Fault.EMPTY, lambda request: request.begins_listing)
    for _ in range(2):  # the first one is held, since all is gone
        with suppress(UnavailableError):
            watched.scan()
    with pytest.raises(UnavailableError, match=r"the listing is empty.*allow s3:GetObject"):
        watched.source.confirm_deleted([b"in/0042"])
    assert watched.reported == []


@pytest.mark.usefixtures("_once")
def test_a_bucket_that_is_back_after_a_moment(store: Store, begin: Begin) -> None:
    """A key that HEAD did not find, for lack of a bucket that is back by then, is not deleted."""
    watched = begin()
    hidden = store.delete("in/0042")

    def come_back(_: Request) -> Fault:
        store.restore(hidden)
        return Fault.NO_BUCKET

    store.on_head = come_back
    watched.scan()
    assert store.requests[Kind.HEAD] == 1
    assert watched.reported == []


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("head", [None, Fault.DENIED])
def test_a_key_with_many_keys_below_it(
    order: Order, head: Fault | None, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that many others begin with is found on any page, and is gone once it is deleted."""
    with run_store(order=order) as store:
        store.put_many("in/", *KEYS)
        store.page_keys = PAGE_KEYS
        source = open_source(store, BucketSpec(store.bucket, "in/"))
        assert len(read(source)) == len(KEYS) + 1
        store.on_head = always(head)
        assert source.confirm_deleted([b"in/"]) == []
        store.delete("in/")
        assert source.confirm_deleted([b"in/"]) == [b"in/"]
        store.on_head = always(Fault.DENIED)
        store.on_list = always(Fault.ENDLESS)
        monkeypatch.setattr(deletions, "LISTED_PAGES_MAX", 30)
        if order is Order.RANDOM:
            with pytest.raises(UnavailableError, match="without end"):
                source.confirm_deleted([b"in/"])
