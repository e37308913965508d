"""What polling a bucket costs, and how often a budget allows it."""

import pytest

from watcher.sources.cost import MONTH_S, Cost, cost_of, is_within_budget, poll_interval_s
from watcher.spec import BucketSpec

FIXED = BucketSpec("landing")
AUTO = BucketSpec("landing", poll_interval_s=10.0, request_budget=300_000)


def test_cost() -> None:
    """The price is that of the documents; an empty bucket costs a request per listing too."""
    assert cost_of(FIXED, 10) == Cost(30.0, 10, 86_400, 864_000, 4.32)
    assert cost_of(BucketSpec("landing", poll_interval_s=900.0), 1).requests_per_month == 2880


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
