"""Lists a bucket with keys missing: present ones are not reported as deleted, deleted ones once."""

import pytest

from support.logs import captured_logs
from support.s3.faults import (
    REFUSALS,
    Answer,
    Failing,
    Fault,
    Kind,
    Request,
    always,
    other_prefix,
)
from support.s3.keys import Order
from support.s3.listing import OpenSource, read
from support.s3.simulated import Store, run_store
from support.s3.watched import CHECKED_KEYS_MAX, KEYS, PAGE_KEYS, SOME, Begin
from watcher.errors import UnavailableError
from watcher.sources.s3.strategy import MAX_FAILURES
from watcher.spec import BucketSpec

ONE_DELETED = [("deleted", "in/0042")]
HTTP_DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


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
    """Where the sequential listing lacks them too, but HEAD finds one, their deletions wait."""
    watched = begin()
    hidden = store.delete(*SOME)
    store.on_head = lambda _: store.restore(hidden)
    store.put("in/new")
    watched.scan()
    assert f"some are there, such as b'{SOME[0]}'" in watched.source.degraded
    assert (watched.listings, watched.reported) == (2, [("created", "in/new")])
    watched.scan()
    assert (watched.source.degraded, watched.entries) == ("", len(KEYS) + 1)


@pytest.mark.parametrize(("count", "listings"), [(CHECKED_KEYS_MAX, 1), (CHECKED_KEYS_MAX + 1, 2)])
def test_deletions_are_reported_once(count: int, listings: int, store: Store, begin: Begin) -> None:
    """Few deletions take a parallel listing and two HEADs for each, many a sequential one more."""
    watched = begin()
    store.requests[Kind.HEAD] = 0
    deleted = KEYS[40 : 40 + count]
    store.delete(*deleted)
    watched.scan()
    assert (watched.is_parallel, watched.listings) == (True, listings)
    assert sum(request.is_check for request in watched.asked) == 1
    assert watched.reported == [("deleted", key) for key in deleted]
    assert 2 * CHECKED_KEYS_MAX <= store.requests[Kind.HEAD] <= 2 * count
    watched.scan()
    assert (watched.listings, len(watched.reported)) == (1, count)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [Fault.INTERNAL_ERROR, Fault.SLOW_DOWN, Fault.REDIRECT])
def test_a_deletion_that_cannot_be_confirmed(fault: Fault, store: Store, begin: Begin) -> None:
    """It waits for HEAD, however often listings lack the key; everything else is reported."""
    watched = begin()
    store.delete("in/0042", "in/0043")
    store.on_head = failing = Failing(fault)
    expected = []
    for number in range(2):
        store.put_many(f"in/{number}-new", KEYS[number])
        expected += [("created", f"in/{number}-new"), ("modified", KEYS[number])]
        watched.scan()
        assert watched.reported == sorted(expected)
        assert "deletions are not reported for now" in watched.source.degraded
        # No second key is asked for after the first.
        assert len({request.key for request in failing.hits}) == 1
    store.on_head = None
    watched.scan()
    expected += [("deleted", "in/0042"), ("deleted", "in/0043")]
    assert (watched.reported, watched.source.degraded) == (sorted(expected), "")


@pytest.mark.parametrize(
    ("refused", "status"),
    [("every key", 403), ("missing keys", 403), ("every key", 400), ("every key", 501)],
)
def test_where_head_is_refused_two_listings_decide(
    refused: str, status: int, store: Store, begin: Begin
) -> None:
    """A key is gone once two complete listings in a row lack it, which is logged once."""
    store.on_head = failing = Failing(
        Answer(status=status),
        lambda request: refused == "every key" or store.get(request.key) is None,
    )
    with captured_logs() as log:
        watched = begin()
        for number, key in enumerate(KEYS[40:42]):
            hidden = store.delete(key, KEYS[70])
            watched.scan()
            assert len(watched.reported) == number
            store.restore({KEYS[70]: hidden[KEYS[70]]})
            watched.scan()
            assert watched.reported == [("deleted", each) for each in KEYS[40 : 41 + number]]
            assert watched.source.degraded == ""
    assert [line["event"] for line in log] == ["scan.head_refused"]
    # One HEAD for each of two listings that lack a key, and at most two before.
    assert len(failing.hits) <= 4 + 2
    store.on_head = None
    store.delete(KEYS[44])
    watched.scan()
    assert ("deleted", KEYS[44]) in watched.reported


@pytest.mark.parametrize("refused", ["every key", "missing keys"])
def test_an_emptied_bucket_where_head_is_refused(refused: str, store: Store, begin: Begin) -> None:
    """An empty listing is believed only if HEAD tells keys that are there from those that are not.

    Where it refuses every key, the deletions wait for a listing that shows something.
    """
    is_believed = refused == "missing keys"
    store.on_head = Failing(
        REFUSALS["403"], lambda request: not is_believed or store.get(request.key) is None
    )
    watched = begin()
    store.delete(*KEYS)
    gone = [("deleted", key) for key in KEYS]
    for _ in range(3):
        watched.scan()
    assert watched.reported == (gone if is_believed else [])
    assert ("allow s3:GetObject" in watched.source.degraded) is not is_believed
    store.put("in/new")
    for _ in range(2):
        watched.scan()
    assert watched.reported == [("created", "in/new"), *gone]
    assert watched.source.degraded == ""


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.NO_BUCKET, Fault.INTERNAL_ERROR])
def test_a_missing_bucket_is_no_deletion(store: Store, begin: Begin, fault: Fault) -> None:
    """Where HEAD finds nothing and the prefix cannot be listed by then, no key is gone."""
    watched = begin()
    store.delete("in/0042")
    store.on_head = always(Fault.NO_BUCKET)
    store.on_list = Failing(fault, lambda request: request.is_check)
    for _ in range(2):
        watched.scan()
        assert watched.reported == []
        assert "cannot be checked" in watched.source.degraded
    store.on_head = store.on_list = None
    watched.scan()
    assert (watched.reported, watched.source.degraded) == (ONE_DELETED, "")


@pytest.mark.usefixtures("_once")
def test_an_empty_listing_is_not_believed_blindly(store: Store, begin: Begin) -> None:
    """An empty listing, from a store that begins to refuse single keys, is no deletion."""
    watched = begin(workers=1)
    store.on_head = always(Fault.DENIED)
    store.on_list = Failing(Fault.EMPTY, lambda request: request.begins_listing)
    for _ in range(3):  # the first one is held, since all is gone
        watched.scan()
        assert "the listing is empty, and the store refuses HEAD" in watched.source.degraded
    assert watched.reported == []
    store.on_head = None
    with pytest.raises(UnavailableError, match="empty and lacks keys that are there"):
        watched.scan()
    assert watched.reported == []


@pytest.mark.usefixtures("_once")
def test_a_bucket_that_is_back_after_a_moment(store: Store, begin: Begin) -> None:
    """Keys that HEAD did not find, for lack of a bucket that is back by then, are not deleted."""
    watched = begin()
    hidden = store.delete("in/0041", "in/0042", "in/0043")
    gone = store.requests[Kind.HEAD] + 3

    def come_back(request: Request) -> Fault | None:
        store.restore({key: hidden[key] for key in ("in/0041", "in/0043")})
        return Fault.NO_BUCKET if request.number <= gone else None

    store.on_head = come_back
    watched.scan()
    assert watched.reported == ONE_DELETED


def test_a_key_that_listings_lack(store: Store, begin: Begin) -> None:
    """A key that HEAD finds stays, however often listings lack it; from the second on it is named.

    It makes no empty listing wrong by itself.
    """
    watched = begin(workers=1)
    (ghost,) = store.delete("in/0042").values()
    headers = {
        "Content-Length": "1",
        "ETag": ghost.etag,
        "Last-Modified": HTTP_DATE,
    }
    store.on_head = Failing(Answer(headers=headers), lambda request: request.key == "in/0042")
    named = "listings lack keys that are there, such as b'in/0042'"
    for expected in ("", named, named):
        watched.scan()
        assert expected in watched.source.degraded
        assert bool(expected) is bool(watched.source.degraded)
    store.delete(*KEYS)
    for _ in range(3):  # the first one is held
        watched.scan()
    assert watched.reported == [("deleted", key) for key in KEYS if key != "in/0042"]
    assert named in watched.source.degraded
    store.on_head = None
    watched.scan()
    assert (watched.entries, watched.source.degraded) == (0, "")


def test_a_key_that_some_listings_show(store: Store, begin: Begin) -> None:
    """A key that HEAD does not find is deleted once; it is created again when HEAD finds it."""
    watched = begin()
    store.on_head = Failing(Answer(status=404), lambda request: request.key == "in/0042")
    with captured_logs() as log:
        for _ in range(3):
            hidden = store.delete("in/0042")
            watched.scan()
            assert watched.reported == ONE_DELETED
            store.restore(hidden)
            watched.scan()
            assert watched.reported == ONE_DELETED
    assert [line["event"] for line in log] == ["scan.ghosts"]
    store.on_head = None
    watched.scan()
    assert watched.reported == [("created", "in/0042"), *ONE_DELETED]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("refused", [None, "403"])
def test_a_folder_with_many_keys(
    order: Order, refused: str | None, open_source: OpenSource
) -> None:
    """A folder that HEAD finds is gone if a listing of it shows so, or two listings of all."""
    with run_store(order=order) as store:
        store.put_many("in/a/", *(f"in/a/{number:04}" for number in range(2 * PAGE_KEYS)))
        store.page_keys = PAGE_KEYS
        source = open_source(store, BucketSpec(store.bucket, "in/"))
        assert len(read(source)) == 2 * PAGE_KEYS + 1
        if refused:
            store.on_list = Failing(REFUSALS[refused], other_prefix("in/"))
        folder = store.delete("in/a/")
        found = Answer(headers={"Content-Length": "0", "Last-Modified": HTTP_DATE})
        store.on_head = always(found)
        is_shown = not refused and order is not Order.RANDOM
        assert source.confirm_deleted([b"in/a/"]) == ([b"in/a/"] if is_shown else [])
        assert source.confirm_deleted([b"in/a/"], [b"in/a/"]) == [b"in/a/"]
        if not refused:
            store.restore(folder)
            store.page_keys = 1000
            assert source.confirm_deleted([b"in/a/"], [b"in/a/"]) == []
