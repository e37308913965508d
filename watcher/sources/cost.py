"""What polling a bucket costs, and how often a budget allows it. Pure.

Stores bill requests, and one LIST request returns at most 1,000 keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.spec import BucketSpec

KEYS_PER_REQUEST = 1000
"""Maximum number of keys in one LIST response (S3 API reference, ListObjectsV2)."""
MONTH_S = 30 * 86_400
DOLLARS_PER_REQUEST = 0.005 / 1000
"""List price of AWS in us-east-1 (https://aws.amazon.com/s3/pricing/)."""
AUTO_POLL_MAX_S = 900.0
"""Longest interval of ``poll_interval: auto``; the spec's ``poll_interval_s`` is the shortest."""
BACKSTOP_MAX_S = 86_400.0
"""Longest interval that a budget leads to while hints arrive."""
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
    """

    poll_interval_s: float
    requests_per_poll: int
    polls_per_month: int
    requests_per_month: int
    dollars_per_month: float


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


def cost_of(spec: BucketSpec, requests_per_poll: int) -> Cost:
    """Return the cost of polling when one listing takes this many requests."""
    interval_s = poll_interval_s(spec, requests_per_poll)
    polls = round(MONTH_S / interval_s)
    requests = requests_per_poll * polls
    return Cost(
        interval_s, requests_per_poll, polls, requests, round(requests * DOLLARS_PER_REQUEST, 2)
    )
