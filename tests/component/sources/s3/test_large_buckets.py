"""Lists buckets of many pages from a simulated store: by common prefixes, in one chain and in parts, as the store allows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from support.s3.keys import Order
from support.s3.simulated import Kind, run_store
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.s3.simulated import Store

LARGE = [f"in/{place}/{number:05}" for place in ("a", "a-b") for number in range(4500)]
"""Two large prefixes, one of which a tree orders before the other and bytes after it."""
BESIDE = ["in/", "in/a", "in/b", "in/c/d"]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def listings(
    store: Store, count: int, *, keys: int, workers: int | None = None
) -> Iterator[list[dict[str, str]]]:
    """List a bucket several times, check that each key is met once, and yield the questions of each listing."""
    with closing(
        BucketSource(
            BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url, list_workers=workers),
            PathFilter(Filter()),
            should_stop=lambda: False,
        )
    ) as source:
        source.open(lambda: None)
        for _ in range(count):
            store.log.clear()
            met = [entry.path for batch in source.scan() for entry in batch.entries]
            assert (len(met), set(met)) == (keys, {key.encode() for key in store.keys})
            requests = [request for request in store.log if request.kind is Kind.LIST]
            yield [
                {
                    name: values[0]
                    for name, values in parse_qs(request.target.partition("?")[2]).items()
                }
                for request in requests
            ]


def ways(questions: list[dict[str, str]]) -> set[str]:
    """Return how a listing was read."""
    prefixes = {question["prefix"] for question in questions if "delimiter" not in question}
    is_in_parts = any("start-after" in question for question in questions)
    return {
        "prefixes" if len(prefixes) > 1 else "parts" if is_in_parts else "chain",
        *({"delimiter"} if any("delimiter" in q for q in questions) else ()),
    }


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.AWS, [{"prefixes", "delimiter"}, {"chain"}, {"parts"}, {"parts"}]),
        (
            Order.TREE,
            [
                {"prefixes", "delimiter"},
                {"chain"},
                {"prefixes", "delimiter"},
                {"prefixes", "delimiter"},
            ],
        ),
        (Order.RANDOM, [{"prefixes", "delimiter"}, {"prefixes", "delimiter"}]),
    ],
)
def test_large_prefixes(order: Order, expected: list[set[str]]) -> None:
    """The first listing goes by large prefixes, the second shows the order, and where that is right the others are read in parts."""
    with run_store(order=order) as store:
        store.put_many(*LARGE, *BESIDE)
        assert [
            ways(questions)
            for questions in listings(store, len(expected), keys=len(LARGE) + len(BESIDE))
        ] == expected


def test_small_prefixes_are_not_worth_a_request() -> None:
    """Where the first pages lie in several prefixes the listing goes on in a chain, and prefixes are not looked for again."""
    with run_store(order=Order.TREE) as store:
        store.put_many(
            *(
                f"in/{number // 100:02}{tail}/{number:05}"
                for number in range(4500)
                for tail in ("", "-b")
            )
        )
        first, *others = listings(store, 3, keys=9000)
    assert len(first) <= 9 + 1
    assert [len(questions) for questions in others] == [9, 9]


def test_one_worker_reads_one_chain() -> None:
    """With one worker no page is asked for beside another, nor any that the chain does not have."""
    with run_store() as store:
        store.put_many(*LARGE)
        assert [
            (len(questions), ways(questions))
            for questions in listings(store, 3, keys=len(LARGE), workers=1)
        ] == [(9, {"chain"})] * 3


def test_parts_cost_hardly_more_requests() -> None:
    """A listing in parts takes a request more for each part that it begins, and no more."""
    with run_store() as store:
        store.put_many(*LARGE)
        for questions in list(listings(store, 4, keys=len(LARGE), workers=4))[2:]:
            starts = [question for question in questions if "start-after" in question]
            assert starts
            assert len(questions) <= 9 + len(starts)
