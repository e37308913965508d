"""Starts of watches that have failed, and when the store is asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.clock import FakeClock
from watcher.errors import DeniedError, LimitError, UnavailableError, WatcherError
from watcher.model import Identity
from watcher.spec import BucketSpec, DirectorySpec, Spec
from watcher.watch.schedule import BACKOFF_MAX_S
from watcher.watch.start_failures import MAX_FAILURES, StartFailures

BUCKET = BucketSpec("landing")
SPEC = Spec(BUCKET)
IDENTITY = Identity("", "orders", "s3://landing/")
DENIED = DeniedError("the store refuses access", place="s3://landing/", hint="allow it")
HOUR_S = 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def failures(clock: FakeClock) -> StartFailures:
    return StartFailures(clock)


def tries(failures: StartFailures, clock: FakeClock, spec: Spec, requests: int) -> int:
    """Return how often a client that connects each second for an hour makes the store be asked."""
    count = 0
    for _ in range(HOUR_S):
        try:
            failures.check(IDENTITY, spec)
        except DeniedError:
            pass
        else:
            failures.add(IDENTITY, spec, DENIED, requests)
            count += 1
        clock.advance(1.0)
    return count


@pytest.mark.parametrize(
    ("where", "most"),
    [
        (BUCKET, HOUR_S / (BACKOFF_MAX_S / 2) + 6),
        (replace(BUCKET, request_budget=10_000), 10_000 / 720 / 3 + 1),
        (replace(BUCKET, request_budget=1000), 4),
    ],
)
def test_clients_that_connect_again_and_again(
    failures: StartFailures, clock: FakeClock, where: BucketSpec, most: float
) -> None:
    """The store is asked at the backoff, or as often as the budget allows."""
    assert 1 < tries(failures, clock, Spec(where), 3) <= most


def test_the_error_is_that_of_the_store(failures: StartFailures, clock: FakeClock) -> None:
    failures.add(IDENTITY, SPEC, DENIED, 1)
    with pytest.raises(DeniedError, match=r"refuses access; allow it; the store is asked again in"):
        failures.check(IDENTITY, SPEC)
    clock.advance(BACKOFF_MAX_S)
    failures.check(IDENTITY, SPEC)


def test_another_configuration_is_tried_at_once(failures: StartFailures) -> None:
    failures.add(IDENTITY, SPEC, DENIED, 1)
    failures.check(IDENTITY, Spec(replace(BUCKET, region="eu-west-1")))
    failures.check(IDENTITY._replace(name="other"), SPEC)
    failures.forget(IDENTITY)
    failures.check(IDENTITY, SPEC)


@pytest.mark.parametrize(
    ("spec", "error", "requests"),
    [
        (Spec(DirectorySpec("/data")), UnavailableError("gone"), 1),
        (SPEC, UnavailableError("there are no credentials"), 0),
        (SPEC, LimitError("too many"), 1),
    ],
)
def test_what_costs_nothing_is_tried_at_once(
    failures: StartFailures, spec: Spec, error: WatcherError, requests: int
) -> None:
    failures.add(IDENTITY, spec, error, requests)
    failures.check(IDENTITY, spec)


def test_the_oldest_failures_are_forgotten(failures: StartFailures) -> None:
    for number in range(MAX_FAILURES + 1):
        failures.add(IDENTITY._replace(name=str(number)), SPEC, DENIED, 1)
    failures.check(IDENTITY._replace(name="0"), SPEC)
    with pytest.raises(DeniedError):
        failures.check(IDENTITY._replace(name="1"), SPEC)
