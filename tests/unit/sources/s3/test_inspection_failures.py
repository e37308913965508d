"""When keys that could not be inspected are inspected again."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from watcher.sources.s3.hints.inbox import HintedKey
from watcher.sources.s3.inspection_failures import (
    PAUSE_MAX_S,
    RETRY_MAX_S,
    RETRY_MIN_S,
    InspectionFailures,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def failures(clock: FakeClock) -> InspectionFailures:
    return InspectionFailures(clock)


def key(name: bytes) -> HintedKey:
    return HintedKey(name, 0.0)


def test_a_key_that_fails_again_and_again_is_inspected_ever_more_rarely(
    failures: InspectionFailures,
) -> None:
    """And delays no other, however often it fails."""
    hinted = key(b"a")
    delays_s = [failures.note_failure(hinted, "500") for _ in range(8)]
    assert delays_s == [RETRY_MIN_S, 2.0, 4.0, 8.0, 16.0, 32.0, RETRY_MAX_S, RETRY_MAX_S]
    assert (failures.count, failures.problem, failures.is_pausing) == (8, "500", False)


def test_while_different_keys_fail_none_is_inspected_for_ever_longer(
    failures: InspectionFailures, clock: FakeClock
) -> None:
    """Responses that were under way when a pause began do not make it longer."""
    pauses_s = []
    failures.note_failure(key(b"first"), "500")
    for number in range(6):
        was_pausing = failures.is_pausing
        for name in (b"%d" % number, b"%d, under way" % number):
            failures.note_failure(key(name), "500")
        assert (was_pausing, failures.is_pausing) == (False, True)
        pauses_s.append(failures.resume_s - clock.monotonic())
        clock.advance(pauses_s[-1])
    assert pauses_s == [RETRY_MIN_S, 2.0, 4.0, 8.0, PAUSE_MAX_S, PAUSE_MAX_S]


def test_an_inspection_that_succeeds_ends_the_pause_and_the_problem(
    failures: InspectionFailures,
) -> None:
    hinted = key(b"a")
    for each in (hinted, key(b"b")):
        failures.note_failure(each, "500")
    failures.note_success(hinted)
    assert (failures.count, failures.problem, failures.is_pausing) == (2, "", False)
    assert failures.note_failure(hinted, "503") == RETRY_MIN_S
    assert (failures.problem, failures.is_pausing) == ("503", False)
    failures.note_failure(key(b"c"), "503")
    assert failures.is_pausing
