"""The prices in the documents are computed by the code."""

import pytest

from support.documents import rows
from watcher.config.schema import parse_spec
from watcher.sources.cost import (
    DOLLARS_PER_HEAD,
    DOLLARS_PER_QUEUE_REQUEST,
    IDLE_QUEUE_REQUESTS_PER_MONTH,
    KEYS_PER_REQUEST,
    QUEUE_REQUESTS_PER_CHANGE,
    Cost,
    HintCost,
    cost_of,
)
from watcher.spec import BucketSpec

QUEUE = "{queue: 'https://sqs.eu-west-1.amazonaws.com/123456789012/landing'}"
MILLION = 1_000_000


def cost(keys: int, options: str) -> Cost:
    """Return what a bucket costs by the options of its configuration."""
    where = parse_spec(f"s3: {{bucket: landing, {options}}}".encode()).where
    assert isinstance(where, BucketSpec)
    return cost_of(where, keys // KEYS_PER_REQUEST)


def hints(notifications: str) -> HintCost:
    """Return what a bucket of a million keys costs while hints arrive."""
    found = cost(MILLION, f"notifications: {notifications}").hints
    assert found is not None
    return found


def test_the_table_of_listings() -> None:
    """Each price is what the code computes, to the digits that are shown."""
    intervals = ("30s", "1m", "5m", "15m")
    head = "keys under the prefix | every 30 s | every 1 min | every 5 min | every 15 min"
    table = rows("buckets.md", head)
    assert len(table) == 4
    for keys, *prices in table:
        for interval, price in zip(intervals, prices, strict=True):
            found = cost(int(keys.replace(",", "")), f"poll_interval: {interval}")
            shown = float(price.replace("$", "").replace(",", ""))
            assert found.dollars_per_month == pytest.approx(shown, abs=0.005), (keys, interval)


def test_the_table_of_hints() -> None:
    """A million keys with a million changes a month cost less than $2, and $432 without hints."""
    plain, queue, webhook = cost(MILLION, "region: a-b-1"), hints(QUEUE), hints("{webhook: true}")
    heads = MILLION * DOLLARS_PER_HEAD
    messages = QUEUE_REQUESTS_PER_CHANGE * MILLION
    asked = messages * DOLLARS_PER_QUEUE_REQUEST
    idle = IDLE_QUEUE_REQUESTS_PER_MONTH * DOLLARS_PER_QUEUE_REQUEST
    changes = [each.dollars_per_1000_changes * MILLION / 1000 for each in (webhook, queue)]
    assert rows("buckets.md", "a million keys") == [
        [
            "a listing every 30 s, without hints",
            f"{plain.requests_per_month:,} LIST",
            f"${plain.dollars_per_month:.2f}",
        ],
        [
            "a listing every 6 h, with hints",
            f"{webhook.requests_per_month:,} LIST",
            f"${webhook.dollars_per_month:.2f}",
        ],
        [
            "a queue without messages",
            f"{queue.queue_requests_per_month:,} to the queue",
            f"${idle:.2f}",
        ],
        ["1,000,000 changes", f"{MILLION:,} HEAD", f"${heads:.2f}"],
        ["their messages", f"{messages:,} to the queue", f"${asked:.2f}"],
        ["all with a webhook or a stream", "", f"${webhook.dollars_per_month + changes[0]:.2f}"],
        ["all with a queue", "", f"${queue.dollars_per_month + changes[1]:.2f}"],
    ]
    assert queue.poll_interval_s == 6 * 3600
    assert queue.dollars_per_month + changes[1] < 2
