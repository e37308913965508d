"""Lists buckets of many pages: by common prefixes, sequentially and in ranges."""

from collections.abc import Iterator

import pytest

from support.s3.faults import Request
from support.s3.keys import Order
from support.s3.listing import OpenSource, read
from support.s3.simulated import Store, run_store
from watcher.spec import BucketSpec

LARGE = [f"in/{place}/{number:05}" for place in ("a", "a-b") for number in range(4500)]
"""Two large prefixes, one of which a tree orders before the other and bytes after it."""
BESIDE = ["in/", "in/a", "in/b", "in/c/d"]


def listings(
    open_source: OpenSource, store: Store, count: int, workers: int | None = None
) -> Iterator[list[Request]]:
    """List a bucket some times, check that each key is met once, and yield each time's requests."""
    source = open_source(store, BucketSpec(store.bucket, "in/", list_workers=workers))
    for _ in range(count):
        store.log.clear()
        met = [entry.path for entry in read(source)]
        assert (len(met), set(met)) == (len(store.keys), {key.encode() for key in store.keys})
        yield store.lists


def mode(requests: list[Request]) -> str:
    """Return how a listing was read; a plus says that common prefixes were looked for."""
    prefixes = {r.query["prefix"] for r in requests if "delimiter" not in r.query}
    is_parallel = any(request.begins_range for request in requests)
    name = "prefixes" if len(prefixes) > 1 else "parallel" if is_parallel else "sequential"
    return name + "+" * any("delimiter" in request.query for request in requests)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.AWS, ["prefixes+", "sequential", "parallel", "parallel"]),
        (Order.TREE, ["prefixes+", "sequential", "prefixes+", "prefixes+"]),
        (Order.RANDOM, ["prefixes+", "prefixes+"]),
    ],
)
def test_large_prefixes(open_source: OpenSource, order: Order, expected: list[str]) -> None:
    """The first listing goes by prefix, the second shows the order, the others depend on it."""
    with run_store(order=order) as store:
        store.put_many(*LARGE, *BESIDE)
        assert [mode(each) for each in listings(open_source, store, len(expected))] == expected


def test_small_prefixes_are_not_worth_a_request(open_source: OpenSource) -> None:
    """Where the first pages lie in several prefixes, these are not looked for again."""
    with run_store(order=Order.TREE) as store:
        numbers = [(number, tail) for number in range(4500) for tail in ("", "-b")]
        store.put_many(*(f"in/{number // 100:02}{tail}/{number:05}" for number, tail in numbers))
        first, *others = listings(open_source, store, 3)
    assert len(first) <= 9 + 1
    assert [len(requests) for requests in others] == [9, 9]


def test_what_parallel_listings_cost(open_source: OpenSource) -> None:
    """A request more for each range that begins; one worker lists sequentially, for none more."""
    with run_store() as store:
        store.put_many(*LARGE)
        for requests in listings(open_source, store, 3, workers=1):
            assert (len(requests), mode(requests)) == (9, "sequential")
        for requests in list(listings(open_source, store, 4, workers=4))[2:]:
            starts = sum(request.begins_range for request in requests)
            assert starts
            assert len(requests) <= 9 + starts
