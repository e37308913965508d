"""Lists buckets of which a policy or a store allows nothing but the configured prefix, and HEAD.

Whatever else is refused or answered wrongly, from the start or from some moment on, every change
is reported, and what was refused is not tried at each listing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from support.logs import captured_logs
from support.s3.faults import (
    REFUSALS,
    Answer,
    Effect,
    Failing,
    Fault,
    IsMeant,
    Request,
    has_delimiter,
    lacks_slash,
    other_prefix,
    plain_prefixes,
)
from support.s3.keys import Order
from support.s3.listing import OpenSource, paths, read
from support.s3.simulated import Store, run_store
from support.s3.watched import KEYS, PAGE_KEYS, Begin
from watcher.errors import DeniedError
from watcher.sources.s3.strategy import MAX_FAILURES
from watcher.spec import BucketSpec

PAGES = 6
LARGE = [f"in/{place}/{number:02}" for place in "ab" for number in range(PAGES * PAGE_KEYS // 2)]
"""Two prefixes that are worth a request each."""

REFUSED: dict[str, IsMeant] = {
    "prefix": other_prefix("in/"),
    "delimiter": has_delimiter,
    "start-after": lambda request: request.begins_range,
    "express": lacks_slash,
    "all": lambda request: request.begins_range or other_prefix("in/")(request),
}


@pytest.fixture(params=[Order.AWS])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Run a store with two large prefixes, in the order of the parameter."""
    with run_store(order=request.param) as store:
        store.put_many(*LARGE)
        store.page_keys = PAGE_KEYS
        yield store


def change(store: Store, number: int) -> set[tuple[str, str]]:
    """Make a change of each type and return the events."""
    created, modified, deleted = f"in/b/{number}-new", LARGE[number], LARGE[40 + number]
    store.put_many(created, modified)
    store.delete(deleted)
    return {("created", created), ("modified", modified), ("deleted", deleted)}


@pytest.mark.sampled
@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("store", "refused", "status", "scans_before"),
    [
        (Order.AWS, "prefix", "403", 0),
        (Order.AWS, "delimiter", "403", 0),
        (Order.AWS, "start-after", "400", 2),
        (Order.AWS, "all", "501", 0),
        (Order.AWS, "all", "403", 2),
        (Order.TREE, "all", "400", 2),
        (Order.RANDOM, "prefix", "403", 2),
        (Order.RANDOM, "delimiter", "501", 0),
        (Order.RANDOM, "express", "400", 0),
        (Order.RANDOM, "all", "403", 0),
    ],
    indirect=["store"],
)
def test_what_is_refused_is_not_needed(
    store: Store, begin: Begin, refused: str, status: str, scans_before: int
) -> None:
    """Every change is reported, none is invented; what was refused is tried once, and logged."""
    changes: set[tuple[str, str]] = set()
    failing = Failing(REFUSALS[status], REFUSED[refused])
    with captured_logs() as log:
        store.on_list = None if scans_before else failing
        watched = begin()
        assert watched.entries == len(LARGE)
        for number in range(scans_before):
            changes |= change(store, number)
            watched.scan()
        store.on_list = failing
        for number in range(3, 6):
            changes |= change(store, number)
            watched.scan()
            assert watched.reported == sorted(changes)
        hits = len(failing.hits)
        changes |= change(store, 9)
        watched.scan()
        assert len(failing.hits) == hits
    assert (watched.reported, watched.source.degraded) == (sorted(changes), "")
    # One for each way of listing that is refused; ranges are begun side by side.
    assert len({line["reason"] for line in log}) == len(log) <= 2
    assert {line["event"] for line in log} <= {"scan.in_one_chain"}


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("store", [Order.AWS, Order.RANDOM], indirect=True)
def test_a_policy_that_changes_in_the_middle_of_a_listing(store: Store, begin: Begin) -> None:
    """A listing that is refused half-way is read to its end, and reports what it should."""
    watched = begin()
    watched.scan()
    changes = set()
    for number, allowed in enumerate((2, 6)):
        changes |= change(store, number)
        since = len(store.lists) + allowed

        def is_refused(request: Request, since: int = since) -> bool:
            return request.number > since and REFUSED["all"](request)

        store.on_list = Failing(REFUSALS["403"], is_refused)
        watched.scan()
        assert watched.reported == sorted(changes)
        store.on_list = None
        watched.scan()
        assert watched.reported == sorted(changes)


@pytest.mark.usefixtures("_once")
def test_a_policy_that_refuses_everything_for_a_while(store: Store, begin: Begin) -> None:
    """Is no reason to list otherwise afterwards."""
    watched = begin()
    watched.scan()
    watched.scan()
    before = [len({request.prefix for request in watched.asked}), watched.is_parallel]
    store.on_list = Failing(Fault.DENIED, lambda request: not request.is_check)
    for _ in range(3):
        with pytest.raises(DeniedError):
            watched.scan()
    store.on_list = None
    watched.scan()
    assert [len({request.prefix for request in watched.asked}), watched.is_parallel] == before


# Prefixes


def test_a_prefix_that_the_store_does_not_list(open_source: OpenSource) -> None:
    """The error of open names the prefix and says how to end it; other errors stay as they are."""
    with run_store(order=Order.RANDOM) as store:
        store.put_many(*KEYS)
        store.on_list = Failing(REFUSALS["400"], lacks_slash)
        with pytest.raises(DeniedError, match=r"does not list the prefix 'in'.*end it in '/'"):
            open_source(store, BucketSpec(store.bucket, "in"))
        for prefix in ("", "in/"):
            source = open_source(store, BucketSpec(store.bucket, prefix))
            assert paths(read(source)) == sorted(key.encode() for key in KEYS)


NAMES = ["a+b", "a b", "a%2Bb", "a%2Fb", "50%", "é", "%41", "x&y"]
ALL = ",".join(NAMES)


def leave_out(answer: Answer) -> Answer:
    """List a common prefix no more that has half of the keys.

    Of one with two keys, none may be among the pages that are read ahead in a random order.
    """
    body, count = re.subn(
        rb"<CommonPrefixes><Prefix>in(/|%2F)a\1</Prefix></CommonPrefixes>", b"", answer.body
    )
    assert count == 1
    return replace(answer, body=body)


WRONG: dict[str, Callable[[Answer], Answer]] = {"plain": plain_prefixes, "left out": leave_out}


@pytest.mark.sampled
@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("store", "names", "effect"),
    [
        *((Order.AWS, name, "plain") for name in (*NAMES, ALL)),
        *((Order.RANDOM, names, "plain") for names in ("a+b", ALL)),
        (Order.RANDOM, "z", "left out"),
    ],
    indirect=["store"],
)
def test_common_prefixes_that_are_wrong(
    store: Store, begin: Begin, names: str, effect: str
) -> None:
    """Prefixes that are not encoded as announced hide no key, at the baseline and later."""
    keys = [f"in/{name}/{number}" for name in names.split(",") for number in range(2)]
    store.put_many(*keys)
    store.on_list = Failing(WRONG[effect], has_delimiter)
    watched = begin()
    assert watched.entries == len(store.keys)
    changes = {("modified", key) for key in keys} | change(store, 0)
    store.put_many(*keys)
    watched.scan()
    assert watched.reported == sorted(changes)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("store", [Order.RANDOM], indirect=True)
def test_wrong_common_prefixes_are_given_up(store: Store, begin: Begin) -> None:
    """A prefix without keys may have been emptied meanwhile; after three it is not."""
    store.put("in/%41/0")
    store.on_list = wrong = Failing(plain_prefixes, has_delimiter)
    with captured_logs() as log:
        watched = begin()
        for _ in range(MAX_FAILURES):
            watched.scan()
    assert (watched.reported, len(wrong.hits)) == ([], MAX_FAILURES)
    # In a random order the key may be among the pages that are read ahead.
    assert [line["reason"] for line in log] in (
        ["no key has the common prefix 'in/A/'"],
        ["no common prefix covers b'in/%41/0'"],
    )


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("effect", [REFUSALS["403"], Fault.INTERNAL_ERROR, Fault.OTHER_PREFIX])
def test_a_baseline_without_common_prefixes(
    open_source: OpenSource, store: Store, effect: Effect
) -> None:
    """A baseline goes on with the pages that it has read, whatever the delimiter brings."""
    store.page_keys = 3
    source = open_source(store, BucketSpec(store.bucket, "in/"))
    store.on_list = Failing(effect, has_delimiter)
    store.log.clear()
    assert paths(read(source)) == sorted(key.encode() for key in LARGE)
    assert len(store.lists) == len(LARGE) // store.page_keys + 1
