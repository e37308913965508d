"""When the next scan is due: what its source asks for, and what the pace lets it have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.memory_watch import Place
from support.state import open_store, without_sync
from watcher.model import Rescan
from watcher.spec import BucketSpec, DirectorySpec, Spec
from watcher.status_values import HintStatus
from watcher.watch.scan_plan import ScanPlan

POLL_S = 10.0
RESCAN_S = 900.0

Make = Callable[..., ScanPlan]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def place() -> Place:
    """Return a place that is notified, so that scans are rare."""
    place = Place()
    place.scan_interval_s = RESCAN_S
    return place


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock, place: Place) -> Iterator[Make]:
    """Return a function that makes a plan whose first scan is complete."""
    store = open_store(tmp_path / "state.db", clock)
    without_sync(store)

    def make(where: DirectorySpec | BucketSpec | None = None, *, is_held: bool = False) -> ScanPlan:
        where = where or DirectorySpec("/data", poll_interval_s=POLL_S)
        plan = ScanPlan(Spec(where), store, place, clock)
        assert plan.is_due()
        assert plan.begin() == ""
        assert plan.complete(is_held=is_held) == (POLL_S if is_held else RESCAN_S)
        assert not plan.is_due()
        return plan

    yield make
    store.close()


@pytest.mark.parametrize("is_held", [True, False])
def test_a_scan_that_others_wait_for_is_as_soon_as_a_poll(
    make: Make, clock: FakeClock, *, is_held: bool
) -> None:
    plan = make(is_held=is_held)
    clock.advance(2 * POLL_S)
    assert plan.is_due() is is_held


def test_a_new_degradation_brings_the_scan_forward_once(
    make: Make, clock: FakeClock, place: Place
) -> None:
    """Neither one that is known, nor its end."""
    plan = make()
    place.scan_interval_s = POLL_S
    plan.adjust("notifications were lost")
    due_s = clock.monotonic() + POLL_S
    assert plan.due_s == due_s
    clock.advance(1.0)
    for degradation in ("notifications were lost", "", "out of watches"):
        plan.adjust(degradation)
        assert plan.due_s == due_s


@pytest.mark.parametrize("has_hints", [True, False])
def test_a_scan_is_put_off_again_where_hints_arrive_again(
    make: Make, clock: FakeClock, place: Place, *, has_hints: bool
) -> None:
    """Elsewhere only the scan itself shows that nothing is amiss."""
    plan = make()
    planned_s = plan.due_s
    place.hint_status = HintStatus("queue") if has_hints else None
    place.scan_interval_s = POLL_S
    plan.adjust("")
    assert plan.due_s == clock.monotonic() + POLL_S
    place.scan_interval_s = RESCAN_S
    plan.adjust("")
    assert plan.due_s == (planned_s if has_hints else clock.monotonic() + POLL_S)


def test_what_senders_of_hints_can_ask_for_waits_for_its_turn(make: Make) -> None:
    plan = make(BucketSpec("landing"))
    planned_s = plan.due_s
    plan.request(Rescan.HINTS_MISSED)
    assert (plan.due_s, plan.is_out_of_turn) == (planned_s, True)
    plan.request(Rescan.JOURNAL_FULL)
    assert plan.is_due()
    assert (plan.begin(), plan.is_out_of_turn) == ("journal_full", False)


def test_a_scan_that_a_person_asks_for_waits_for_nothing(make: Make, place: Place) -> None:
    """Another one waits as long as the requests of the one that was left allow."""
    plan = make(BucketSpec("landing"))
    plan.request(Rescan.JOURNAL_FULL)
    plan.begin()
    place.requests += 1
    plan.interrupt()
    plan.request(Rescan.JOURNAL_FULL)
    assert not plan.is_due()
    plan.request(Rescan.RELEASED, is_allowed=True)
    assert plan.is_due()
