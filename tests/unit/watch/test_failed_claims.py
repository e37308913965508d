"""Watches that a server could not take, and for how long it leaves them alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.clock import FakeClock
from watcher.model import Identity
from watcher.state.survey import SurveyedWatch
from watcher.watch.failed_claims import FAILED_MAX_S, FAILED_S, FailedClaims

WATCH = SurveyedWatch(
    Identity("", "orders", "file:///data"),
    number=1,
    owner=None,
    epoch=1,
    entries=0,
    document_version=1,
    has_document=True,
    node=None,
    used_at=0.0,
)
OTHER = replace(WATCH, document_version=2)
"""The same watch with another configuration."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def failures(clock: FakeClock) -> FailedClaims:
    return FailedClaims(clock)


def test_a_watch_is_left_alone_for_twice_as_long_each_time(
    failures: FailedClaims, clock: FakeClock
) -> None:
    assert not failures.is_left_alone(WATCH)
    expected_s, is_again = FAILED_S, False
    for _ in range(10):
        assert failures.postpone(WATCH) == (expected_s, is_again)
        clock.advance(expected_s - 1)
        assert failures.is_left_alone(WATCH)
        clock.advance(1)
        assert not failures.is_left_alone(WATCH)
        expected_s, is_again = min(FAILED_MAX_S, 2 * expected_s), True
    assert expected_s == FAILED_MAX_S


def test_a_failure_long_ago_counts_no_more(failures: FailedClaims, clock: FakeClock) -> None:
    failures.postpone(WATCH)
    clock.advance(FAILED_S + FAILED_MAX_S + 1)
    assert failures.postpone(WATCH) == (FAILED_S, False)


def test_what_is_refused_is_left_alone_until_it_has_another_configuration(
    failures: FailedClaims, clock: FakeClock
) -> None:
    failures.refuse(WATCH)
    clock.advance(100 * FAILED_MAX_S)
    assert failures.is_left_alone(WATCH)
    assert not failures.is_left_alone(OTHER)


def test_another_configuration_is_tried_at_once(failures: FailedClaims) -> None:
    """If that fails as well, it is a failure again."""
    failures.postpone(WATCH)
    assert not failures.is_left_alone(OTHER)
    assert failures.postpone(OTHER) == (2 * FAILED_S, True)


def test_watches_that_there_are_no_more_are_forgotten(failures: FailedClaims) -> None:
    failures.postpone(WATCH)
    failures.retain({WATCH.identity})
    assert failures.is_left_alone(WATCH)
    failures.retain(set())
    assert failures.postpone(WATCH) == (FAILED_S, False)
