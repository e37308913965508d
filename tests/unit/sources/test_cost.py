"""What a bucket costs, by listings and by hints, and how often a budget allows listings."""

from dataclasses import replace
from typing import Any

import pytest

from watcher.sources.cost import (
    AUTO_POLL_MAX_S,
    BACKSTOP_MAX_S,
    MONTH_S,
    PAUSE_MAX_S,
    Cost,
    HintCost,
    SeenRequests,
    budget_excess,
    can_pause_within_budget,
    cost_of,
    is_within_budget,
    longest_interval_s,
    pause_s,
    poll_interval_s,
    probe_pause_s,
    scan_interval_s,
)
from watcher.spec import BucketSpec, Detail, HintKind, Notifications

FIXED = BucketSpec("landing")
AUTO = BucketSpec("landing", poll_interval_s=10.0, request_budget=300_000)
HOUR_S = 3600.0
WEBHOOK = Notifications(HintKind.WEBHOOK)
HINTED = replace(FIXED, notifications=WEBHOOK, backstop_interval_s=6 * HOUR_S)
HINTED_AUTO = replace(AUTO, notifications=WEBHOOK, backstop_interval_s=6 * HOUR_S)


@pytest.mark.parametrize(
    ("spec", "hours"),
    [
        (HINTED, 6.6),
        (HINTED_AUTO, 26.4),
        (replace(FIXED, notifications=WEBHOOK, poll_interval_s=HOUR_S), 1.1),
    ],
)
def test_the_longest_interval_while_hints_arrive(spec: BucketSpec, hours: float) -> None:
    assert longest_interval_s(spec) == pytest.approx(hours * HOUR_S)


def test_cost() -> None:
    """The price is that of the documents; an empty bucket costs a request per listing too."""
    assert cost_of(FIXED, 10) == Cost(30.0, 10, 86_400, 864_000, 4.32)
    assert cost_of(BucketSpec("landing", poll_interval_s=900.0), 1).requests_per_month == 2880


def hinted(
    kind: HintKind,
    requests: int,
    seen: SeenRequests | None = None,
    **options: Any,  # noqa: ANN401 - of the bucket
) -> HintCost:
    """Return what a bucket with hints costs while they arrive."""
    asked, backstop_s = Notifications(kind), 21_600.0
    spec = BucketSpec(
        "landing",
        notifications=asked,
        backstop_interval_s=backstop_s,
        **options,
    )
    hints = cost_of(spec, requests, seen).hints
    assert hints is not None
    return hints


def test_the_cost_of_hints() -> None:
    """Listings are rare, and only a queue takes requests without changes."""
    assert cost_of(FIXED, 10).hints is None
    for kind in (HintKind.WEBHOOK, HintKind.STREAM):
        assert hinted(kind, 10) == HintCost(21_600.0, 120, 1200, 0, 0, 0.01, 0.0004)
    assert hinted(HintKind.QUEUE, 10) == HintCost(21_600.0, 120, 1200, 0, 133_920, 0.06, 0.0012)
    without = cost_of(BucketSpec("landing", notifications=Notifications(HintKind.QUEUE)), 10)
    assert without.hints is not None
    assert without.hints.requests_per_month == without.requests_per_month == 864_000
    assert hinted(HintKind.STREAM, 10, quiet_s=60.0).dollars_per_1000_changes == 0.0008
    everything = frozenset(Detail)
    assert hinted(HintKind.STREAM, 10, details=everything).dollars_per_1000_changes == 0.0012
    types = frozenset({Detail.CONTENT_TYPE})
    assert hinted(HintKind.STREAM, 10, details=types).dollars_per_1000_changes == 0.0008


def test_the_cost_of_hints_where_versions_are_listed() -> None:
    """A hinted key takes a LIST, at its price, and those that were seen are listings too."""
    assert hinted(HintKind.WEBHOOK, 10, versions=True).dollars_per_1000_changes == 0.005
    tags = frozenset({Detail.TAGS})
    queue = hinted(HintKind.QUEUE, 10, versions=True, details=tags)
    assert queue.dollars_per_1000_changes == 0.0062
    day = SeenRequests(86_400.0, heads=0, queue_requests=0, lists=100_000)
    seen = hinted(HintKind.WEBHOOK, 10, day, versions=True)
    assert (seen.requests_per_month, seen.dollars_per_month) == (3_001_200, 15.01)


@pytest.mark.parametrize(
    ("details", "dollars"),
    [
        ((), 0.0),
        ((Detail.TAGS,), 0.0004),
        ((Detail.METADATA, Detail.CONTENT_TYPE), 0.0004),
        (tuple(Detail), 0.0008),
    ],
)
def test_the_cost_of_details(details: tuple[Detail, ...], dollars: float) -> None:
    """One HEAD for content type and metadata, and a GET for tags, at the same price."""
    found = cost_of(replace(FIXED, details=frozenset(details)), 10)
    assert found == replace(cost_of(FIXED, 10), dollars_per_1000_changes=dollars)


def test_the_cost_of_the_changes_that_were_seen() -> None:
    """After an hour they say something about a month; an idle queue is asked all the same."""
    day = SeenRequests(86_400.0, heads=100_000, queue_requests=200_000)
    assert hinted(HintKind.QUEUE, 10, day) == HintCost(
        21_600.0, 120, 1200, 3_000_000, 6_000_000, 3.61, 0.0012
    )
    calm = SeenRequests(7200.0, heads=0, queue_requests=1)
    assert hinted(HintKind.QUEUE, 10, calm) == hinted(HintKind.QUEUE, 10)
    short = SeenRequests(3599.0, heads=1000, queue_requests=1000)
    assert hinted(HintKind.QUEUE, 10, short) == hinted(HintKind.QUEUE, 10)


@pytest.mark.parametrize(
    ("spec", "requests", "interval_s"),
    [
        (FIXED, 0, 30.0),
        (FIXED, 10_000, 30.0),
        (AUTO, 0, 10.0),
        (AUTO, 1, 10.0),
        (AUTO, 10, 86.4),
        (AUTO, 100, 864.0),
        (AUTO, 1000, 900.0),
    ],
)
def test_the_interval_that_a_budget_allows(
    spec: BucketSpec, requests: int, interval_s: float
) -> None:
    """Without a budget the interval is fixed; with one it grows with the bucket, within bounds."""
    assert poll_interval_s(spec, requests) == interval_s


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(1, True), (2, True), (77, True), (104, True), (105, False), (1000, False)],
)
def test_the_budget_is_kept_while_it_can_be(requests: int, *, expected: bool) -> None:
    """A month takes no more requests than the budget exactly where the function says so."""
    assert is_within_budget(AUTO, requests) is expected
    assert (MONTH_S / poll_interval_s(AUTO, requests) * requests <= 300_000 * 1.000001) is expected
    assert is_within_budget(FIXED, requests)


@pytest.mark.parametrize(
    ("spec", "requests", "is_backstop", "interval_s"),
    [
        (HINTED, 1000, True, 6 * HOUR_S),
        (HINTED, 1000, False, 30.0),
        (HINTED_AUTO, 1, True, 6 * HOUR_S),
        (HINTED_AUTO, 1, False, 10.0),
        (HINTED_AUTO, 1000, False, AUTO_POLL_MAX_S),
        (HINTED_AUTO, 5000, True, 12 * HOUR_S),
        (HINTED_AUTO, 100_000, True, BACKSTOP_MAX_S),
        (replace(FIXED, notifications=WEBHOOK, poll_interval_s=540.0), 10, True, 540.0),
        (FIXED, 10, True, 30.0),
        (AUTO, 10, True, 86.4),
    ],
)
def test_the_interval_while_hints_arrive(
    spec: BucketSpec, requests: int, interval_s: float, *, is_backstop: bool
) -> None:
    """It is the backstop's, which a budget stretches up to a day."""
    assert scan_interval_s(spec, requests, is_backstop=is_backstop) == interval_s


@pytest.mark.parametrize(
    ("spec", "requests", "expected"),
    [(HINTED_AUTO, 10_000, True), (HINTED_AUTO, 10_001, False), (AUTO, 105, False)],
)
def test_the_budget_is_kept_by_the_backstop(
    spec: BucketSpec, requests: int, *, expected: bool
) -> None:
    assert is_within_budget(spec, requests, is_backstop=True) is expected


def test_a_budget_that_is_exceeded_is_said_with_the_numbers() -> None:
    """While hints arrive, the longest interval is a day."""
    spec = replace(HINTED_AUTO, request_budget=1000)
    cost = cost_of(spec, 1)
    assert budget_excess(spec, cost, is_backstop=False) == (
        "listing the bucket every 900 s takes 2,880 LIST requests in 30 days, above the "
        "request_budget of 1,000: raise it, or watch a narrower prefix"
    )
    assert budget_excess(spec, cost, is_backstop=True) == ""
    assert budget_excess(FIXED, cost_of(FIXED, 1_000_000), is_backstop=False) == ""


@pytest.mark.parametrize(
    ("spec", "requests", "per_poll", "expected_s"),
    [
        (FIXED, 0, 10, 0.0),
        (FIXED, 1, 10, 30.0),
        (FIXED, 1000, 10, 30.0),
        (AUTO, 0, 10, 0.0),
        (AUTO, 1, 10, 10.0),
        (AUTO, 10, 10, 86.4),
        (AUTO, 12, 10, 103.68),
        (AUTO, 200, 100, 1728.0),
        (AUTO, 2000, 1000, 1800.0),
        (AUTO, 100_000, 1000, PAUSE_MAX_S),
        (AUTO, 100, 0, 864.0),
        (AUTO, 400, 0, 3456.0),
        (AUTO, 1000, 0, PAUSE_MAX_S),
    ],
)
def test_the_pause_after_requests_that_led_to_nothing(
    spec: BucketSpec, requests: int, per_poll: int, expected_s: float
) -> None:
    """A budget, or the rate at which a bucket above it is listed, is not exceeded by failures."""
    assert pause_s(spec, requests, per_poll) == pytest.approx(expected_s)


def test_the_longest_pause_may_not_suffice() -> None:
    assert can_pause_within_budget(AUTO, 416)
    assert not can_pause_within_budget(AUTO, 417)
    assert can_pause_within_budget(FIXED, 1000)


def test_a_check_for_one_key_is_limited_by_a_budget_alone() -> None:
    assert probe_pause_s(FIXED, 3, 0) == 0.0
    assert probe_pause_s(AUTO, 3, 1) == pytest.approx(25.92)
    poor = BucketSpec("landing", poll_interval_s=10.0, request_budget=1000)
    assert probe_pause_s(poor, 3, 1) == AUTO_POLL_MAX_S
