"""What a bucket costs, by listings and by hints, and how often a budget allows listings. Pure.

Stores bill requests, and one LIST request returns at most 1,000 keys. A key that is hinted takes a
HEAD request, or a LIST of its versions, and a message of a queue takes requests of its own. Prices
are those of AWS in us-east-1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.spec import Detail, HintKind

if TYPE_CHECKING:
    from watcher.spec import BucketSpec

KEYS_PER_REQUEST = 1000
"""Maximum number of keys in one LIST response (S3 API reference, ListObjectsV2)."""
MONTH_S = 30 * 86_400
DOLLARS_PER_REQUEST = 0.005 / 1000
"""List price of a LIST request (https://aws.amazon.com/s3/pricing/)."""
DOLLARS_PER_HEAD = 0.0004 / 1000
"""List price of a HEAD request (same page)."""
DOLLARS_PER_QUEUE_REQUEST = 0.40 / 1_000_000
"""List price of a request to a standard queue, without those that are free each month
(https://aws.amazon.com/sqs/pricing/)."""
IDLE_QUEUE_REQUESTS_PER_MONTH = MONTH_S // 20 + MONTH_S // 600
"""Requests to a queue in which nothing happens: a ReceiveMessage is answered after 20 seconds, and
the backlog is asked for every 10 minutes."""
QUEUE_REQUESTS_PER_CHANGE = 2
"""A ReceiveMessage and a DeleteMessage; where changes are many, up to ten share them."""
SEEN_MIN_S = 3600.0
"""Seconds from which on what was seen says something about a month."""
AUTO_POLL_MAX_S = 900.0
"""Longest interval of ``poll_interval: auto``; the spec's ``poll_interval_s`` is the shortest."""
BACKSTOP_MAX_S = 86_400.0
"""Longest interval that a budget leads to while hints arrive."""
JITTER = 0.1
"""Fraction by which scan intervals vary, so that watches that start together drift apart."""
PAUSE_MAX_S = 3600.0
"""Longest pause in seconds after scans that failed: a store must be noticed when it is back."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and price of polling a bucket for 30 days.

    Attributes:
        poll_interval_s: Seconds between two listings.
        requests_per_poll: LIST requests of one listing.
        polls_per_month: Listings in 30 days.
        requests_per_month: LIST requests in 30 days.
        dollars_per_month: Their price on AWS.
        hints: What the bucket costs while hints arrive; None where none do.
        dollars_per_1000_changes: The price of the details of 1,000 changes; 0 without any.
    """

    poll_interval_s: float
    requests_per_poll: int
    polls_per_month: int
    requests_per_month: int
    dollars_per_month: float
    hints: HintCost | None = None
    dollars_per_1000_changes: float = 0.0


@dataclass(frozen=True, slots=True)
class HintCost:
    """Requests and price for 30 days of a bucket whose hints arrive.

    Attributes:
        poll_interval_s: Seconds between two listings.
        polls_per_month: Listings in 30 days.
        requests_per_month: LIST requests in 30 days, those for single keys at the rate that was
            seen among them.
        heads_per_month: HEAD requests at the rate that was seen; 0 before an hour was.
        queue_requests_per_month: Requests to the queue at the rate that was seen, and at least
            those without any change; 0 where there is no queue.
        dollars_per_month: The price of all of these on AWS.
        dollars_per_1000_changes: The price of 1,000 objects that are put, at the most.
    """

    poll_interval_s: float
    polls_per_month: int
    requests_per_month: int
    heads_per_month: int
    queue_requests_per_month: int
    dollars_per_month: float
    dollars_per_1000_changes: float


@dataclass(frozen=True, slots=True)
class SeenRequests:
    """Requests for hints that were sent within a time.

    Attributes:
        seconds: The time.
        heads: HEAD requests.
        queue_requests: Requests to a queue.
        lists: LIST requests for single keys.
    """

    seconds: float
    heads: int
    queue_requests: int
    lists: int = 0


def poll_interval_s(spec: BucketSpec, requests_per_poll: int) -> float:
    """Return the seconds between two listings, stretched to fit the budget if the spec has one.

    Args:
        spec: Says the shortest interval and the budget; a budget stretches to ``AUTO_POLL_MAX_S``.
        requests_per_poll: LIST requests of one listing.
    """
    if spec.request_budget is None:
        return spec.poll_interval_s
    return min(
        max(requests_per_poll * MONTH_S / spec.request_budget, spec.poll_interval_s),
        AUTO_POLL_MAX_S,
    )


def scan_interval_s(spec: BucketSpec, requests_per_poll: int, *, is_backstop: bool) -> float:
    """Return the seconds between two listings, which are rarer while hints find changes.

    Args:
        spec: See ``poll_interval_s``.
        requests_per_poll: See ``poll_interval_s``.
        is_backstop: Hints arrive, and listings find what they have missed.
    """
    if not is_backstop or spec.backstop_interval_s is None:
        return poll_interval_s(spec, requests_per_poll)
    if spec.request_budget is None:
        return spec.backstop_interval_s
    paid_s = requests_per_poll * MONTH_S / spec.request_budget
    return min(max(paid_s, spec.backstop_interval_s), BACKSTOP_MAX_S)


def longest_interval_s(spec: BucketSpec) -> float:
    """Return the longest time between two listings while hints arrive, in seconds with jitter.

    Args:
        spec: See ``poll_interval_s``.
    """
    return scan_interval_s(spec, sys.maxsize, is_backstop=True) * (1 + JITTER)


def is_within_budget(
    spec: BucketSpec, requests_per_poll: int, *, is_backstop: bool = False
) -> bool:
    """Return whether listings of this many requests fit the spec's budget; without one they do.

    Args:
        spec: See ``poll_interval_s``.
        requests_per_poll: See ``poll_interval_s``.
        is_backstop: See ``scan_interval_s``.
    """
    longest_s = BACKSTOP_MAX_S if is_backstop and spec.backstop_interval_s else AUTO_POLL_MAX_S
    return (
        spec.request_budget is None
        or requests_per_poll * MONTH_S <= spec.request_budget * longest_s
    )


def budget_excess(spec: BucketSpec, cost: Cost, *, is_backstop: bool) -> str:
    """Return the message that listings take more than the spec's budget; empty if they do not.

    Args:
        spec: See ``poll_interval_s``.
        cost: What the bucket costs.
        is_backstop: See ``scan_interval_s``.
    """
    if is_within_budget(spec, cost.requests_per_poll, is_backstop=is_backstop):
        return ""
    return (
        f"listing the bucket every {cost.poll_interval_s:g} s takes "
        f"{cost.requests_per_month:,} LIST requests in 30 days, above the request_budget of "
        f"{spec.request_budget:,}: raise it, or watch a narrower prefix"
    )


def pause_s(spec: BucketSpec, requests: int, requests_per_poll: int) -> float:
    """Return the seconds until the next listing, after requests that have led to none.

    A budget is kept to, or where it does not even allow complete listings, their rate.

    Args:
        spec: Says the interval, or the budget.
        requests: LIST requests sent; after none there is no pause.
        requests_per_poll: LIST requests of a complete listing; 0 where none is known.
    """
    if not requests:
        return 0.0
    if spec.request_budget is None:
        return spec.poll_interval_s
    per_s = max(
        spec.request_budget / MONTH_S,
        requests_per_poll / poll_interval_s(spec, requests_per_poll),
    )
    return min(max(requests / per_s, spec.poll_interval_s), PAUSE_MAX_S)


def probe_pause_s(spec: BucketSpec, requests: int, requests_per_poll: int) -> float:
    """Return the seconds until one key is asked for again, after requests to no avail.

    That is done more often than listings are made, since it shows that a store is back; a budget
    counts these requests too.

    Args:
        spec: See ``pause_s``.
        requests: See ``pause_s``.
        requests_per_poll: See ``pause_s``.
    """
    if spec.request_budget is None:
        return 0.0
    return min(pause_s(spec, requests, requests_per_poll), AUTO_POLL_MAX_S)


def can_pause_within_budget(spec: BucketSpec, requests: int) -> bool:
    """Return whether the longest pause suffices for the budget, before a listing is complete."""
    return spec.request_budget is None or requests * MONTH_S <= spec.request_budget * PAUSE_MAX_S


def cost_of(spec: BucketSpec, requests_per_poll: int, seen: SeenRequests | None = None) -> Cost:
    """Return what a bucket costs.

    Args:
        spec: The bucket.
        requests_per_poll: LIST requests of one listing.
        seen: Requests for hints so far; None where nothing was seen.
    """
    interval_s = poll_interval_s(spec, requests_per_poll)
    polls = round(MONTH_S / interval_s)
    requests = requests_per_poll * polls
    return Cost(
        interval_s,
        requests_per_poll,
        polls,
        requests,
        round(requests * DOLLARS_PER_REQUEST, 2),
        None if spec.notifications is None else _hint_cost(spec, requests_per_poll, seen),
        round(1000 * _dollars_of_details(spec), 5),
    )


def _hint_cost(spec: BucketSpec, requests_per_poll: int, seen: SeenRequests | None) -> HintCost:
    interval_s = scan_interval_s(spec, requests_per_poll, is_backstop=True)
    polls = round(MONTH_S / interval_s)
    requests = requests_per_poll * polls
    has_queue = spec.notifications is not None and spec.notifications.kind is HintKind.QUEUE
    heads, asked = 0, IDLE_QUEUE_REQUESTS_PER_MONTH if has_queue else 0
    if seen is not None and seen.seconds >= SEEN_MIN_S:
        per_month = MONTH_S / seen.seconds
        heads = round(seen.heads * per_month)
        requests += round(seen.lists * per_month)
        asked = max(asked, round(seen.queue_requests * per_month))
    return HintCost(
        interval_s,
        polls,
        requests,
        heads,
        asked,
        round(
            requests * DOLLARS_PER_REQUEST
            + heads * DOLLARS_PER_HEAD
            + asked * DOLLARS_PER_QUEUE_REQUEST,
            2,
        ),
        round(1000 * _dollars_per_change(spec, has_queue=has_queue), 5),
    )


def _dollars_per_change(spec: BucketSpec, *, has_queue: bool) -> float:
    """Return the price of an object that is put, at the most.

    An object that must rest is looked at twice. Of a bucket with versions, those of the key are
    listed, a thousand by each request.
    """
    look = DOLLARS_PER_REQUEST if spec.versions else DOLLARS_PER_HEAD
    looks = 2 if spec.quiet_s else 1
    asked = QUEUE_REQUESTS_PER_CHANGE if has_queue else 0
    return looks * look + asked * DOLLARS_PER_QUEUE_REQUEST + _dollars_of_details(spec)


def _dollars_of_details(spec: BucketSpec) -> float:
    """Return the price of the details of one change: a HEAD, and a GET for tags at its price."""
    requests = bool(spec.details - {Detail.TAGS}) + (Detail.TAGS in spec.details)
    return requests * DOLLARS_PER_HEAD
