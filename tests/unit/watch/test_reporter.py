"""The status of a watch and its log lines, transition by transition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.typing import EventDict

from support.clock import FakeClock
from support.logs import captured_logs
from watcher.changes.reconciler import ScanResult
from watcher.errors import DeniedError, UnavailableError
from watcher.model import Identity, Rescan
from watcher.sources.cost import Cost, HintCost
from watcher.status_values import HintStatus
from watcher.telemetry.status import State
from watcher.watch.lifecycle import (
    Ended,
    JournalFull,
    Lifecycle,
    Opened,
    ReadFailed,
    Resumed,
    ScanCompleted,
    ScanStarted,
)
from watcher.watch.reporter import COST_INTERVAL_S, PROGRESS_INTERVAL_S, StatusReporter


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with captured_logs() as lines:
        yield lines


@pytest.fixture
def reporter(clock: FakeClock, log: list[EventDict]) -> StatusReporter:
    assert log == []
    return StatusReporter(Identity("", "orders", "file:///data"), clock)


@pytest.fixture
def lifecycle(reporter: StatusReporter) -> Lifecycle:
    """Return the lifecycle of a watch whose place has been opened."""
    lifecycle = Lifecycle(reporter.on_transition)
    lifecycle.apply(Opened("notify", 3))
    return lifecycle


def names(log: list[EventDict]) -> list[str]:
    return [line["event"] for line in log]


def completed(
    *,
    entries: int = 3,
    held: int = 0,
    is_baseline: bool = False,
    cost: Cost | None = None,
    new_inodes: int = 0,
) -> ScanCompleted:
    return ScanCompleted(
        result=ScanResult(entries, held, 0.5, new_inodes),
        is_baseline=is_baseline,
        entries=entries,
        next_scan_s=60.0,
        cost=cost,
    )


def test_a_start(
    lifecycle: Lifecycle, reporter: StatusReporter, clock: FakeClock, log: list[EventDict]
) -> None:
    """The state and the time since when follow the lifecycle; what is free of cost logs none."""
    cost = Cost(60.0, 1, 43_200, 43_200, 0.216)
    clock.advance(2.0)
    lifecycle.apply(ScanStarted(""))
    lifecycle.apply(completed(is_baseline=True, cost=cost))
    lifecycle.apply(ScanStarted("released"))
    lifecycle.apply(completed(cost=cost))
    status = reporter.status
    assert (status.state, status.mode, status.scans.count) == (State.WATCHING, "notify", 2)
    assert (status.since, status.scanned_at) == (clock.wall(), clock.wall())
    assert status.started_at == clock.wall() - 2.0
    opened, cost_line, baselined, rescan = log
    assert opened == {
        "event": "watch.opened",
        "log_level": "info",
        "watch": "orders",
        "place": "file:///data",
        "mode": "notify",
        "entries": 3,
    }
    assert (cost_line["event"], cost_line["requests_per_month"]) == ("watch.cost", 43_200)
    assert (baselined["event"], baselined["seconds"]) == ("watch.baselined", 0.5)
    assert (rescan["event"], rescan["reason"]) == ("scan.out_of_turn", "released")


def test_a_place_that_goes_and_comes_back(
    lifecycle: Lifecycle, reporter: StatusReporter, clock: FakeClock, log: list[EventDict]
) -> None:
    """Each error is counted, and logged if it is another one; only a completed scan ends it."""
    lifecycle.apply(Resumed())
    for error in (UnavailableError("gone"), UnavailableError("gone"), DeniedError("locked")):
        lifecycle.apply(ReadFailed(error, 1.0, 3))
    since_s = clock.wall()
    clock.advance(1.0)
    lifecycle.apply(Opened("poll", 3))
    lifecycle.apply(ScanStarted(""))
    status = reporter.status
    assert (status.state, status.since, status.mode) == (State.UNAVAILABLE, since_s, "poll")
    assert (status.error, status.errors) == ("locked", {"unavailable": 2, "denied": 1})
    assert (status.failed_requests, log[-1]["requests"]) == (9, 3)
    lifecycle.apply(completed())
    assert (status.state, status.error) == (State.WATCHING, "")
    assert names(log) == ["watch.opened", *["watch.unavailable"] * 2, "watch.available"]


def test_a_full_journal_is_logged_once(lifecycle: Lifecycle, log: list[EventDict]) -> None:
    for _ in range(3):
        lifecycle.apply(JournalFull(100, "nobody acknowledges"))
    assert names(log) == ["watch.opened", "watch.paused"]
    assert (log[-1]["unconfirmed"], log[-1]["hint"]) == (100, "nobody acknowledges")


def test_new_inodes_are_logged_once(lifecycle: Lifecycle, log: list[EventDict]) -> None:
    for new_inodes in (7, 0):
        lifecycle.apply(ScanStarted(""))
        lifecycle.apply(completed(new_inodes=new_inodes))
    assert names(log) == ["watch.opened", "watch.inodes_changed"]
    assert log[-1]["entries"] == 7


def test_progress_of_digests_is_logged_at_intervals(
    reporter: StatusReporter, clock: FakeClock, log: list[EventDict]
) -> None:
    """Nothing is logged where all were known."""
    reporter.digest(0, is_done=True)
    for entries in (1, 2, 3):
        reporter.digest(entries, is_done=False)
        clock.advance(PROGRESS_INTERVAL_S * 0.6)
    reporter.digest(4, is_done=True)
    assert [(line["event"], line["entries"]) for line in log[-3:]] == [
        ("watch.digesting", 1),
        ("watch.digesting", 3),
        ("watch.digested", 4),
    ]
    assert len(names(log)) == 3


def test_held_deletions(
    lifecycle: Lifecycle, reporter: StatusReporter, clock: FakeClock, log: list[EventDict]
) -> None:
    status = reporter.status
    lifecycle.apply(ScanStarted(""))
    lifecycle.apply(completed(held=200))
    assert (status.held, status.holds, status.held_at) == (200, 1, clock.wall())
    assert (log[-1]["event"], log[-1]["deletions"]) == ("scan.held", 200)
    lifecycle.apply(ScanStarted(""))
    lifecycle.apply(completed())
    assert (status.held, status.holds) == (0, 1)
    assert (log[-1]["event"], log[-1]["held"]) == ("scan.hold_ended", 200)
    lifecycle.apply(ScanStarted(""))
    lifecycle.apply(completed(held=200))
    lifecycle.apply(Ended(UnavailableError("the volume hangs")))
    assert (status.state, status.held) == (State.STOPPED, 0)
    assert log[-1]["event"] == "watch.close"


def test_progress_is_logged_at_intervals(
    lifecycle: Lifecycle, reporter: StatusReporter, clock: FakeClock, log: list[EventDict]
) -> None:
    lifecycle.apply(ScanStarted(""))
    for scanned in (1000, 2000, 3000):
        reporter.progress(scanned)
        clock.advance(PROGRESS_INTERVAL_S / 2)
    assert reporter.status.scanned == 3000
    assert [line["entries"] for line in log if line["event"] == "scan.progress"] == [3000]


def test_a_degradation_is_logged_once_until_it_ends(
    reporter: StatusReporter, log: list[EventDict]
) -> None:
    for reason in ("no watches left", "no watches left", "", "", "no watches left"):
        reporter.degrade(reason)
        assert reporter.status.degraded == reason
    assert names(log) == ["watch.degraded", "watch.restored", "watch.degraded"]


def test_failures_and_requested_scans_are_counted(
    reporter: StatusReporter, log: list[EventDict]
) -> None:
    """A failure that the caller of the watch gets is not logged as well."""
    reporter.fail(DeniedError("locked"), is_reported=True)
    assert log == []
    reporter.fail(DeniedError("locked"), is_reported=False)
    assert [(line["event"], line["error"]) for line in log] == [("watch.stopped", "locked")]
    reporter.request_rescan(Rescan.RELEASED)
    assert reporter.status.errors == {"denied": 2}
    assert reporter.status.rescans == {"released": 1}


def test_the_next_scan_is_a_time_of_day(reporter: StatusReporter, clock: FakeClock) -> None:
    """It stays the same until another one is planned; one that is due at once is due now."""
    due_s, due_at = clock.monotonic() + 60.0, clock.wall() + 60.0
    for _ in range(2):
        reporter.plan(due_s)
        assert reporter.status.next_scan_at == due_at
        clock.advance(10.0)
    reporter.plan(0.0)
    assert reporter.status.next_scan_at == clock.wall()


def test_hints_that_fail_are_logged_once(reporter: StatusReporter, log: list[EventDict]) -> None:
    """However often and for whatever reasons they are tried; a bucket without hints logs none."""
    reporter.set_hints(None)
    for problem in ("", "denied", "denied", "away", "", "", "gone"):
        reporter.set_hints(HintStatus("stream", problem=problem))
    assert [(line["event"], line.get("reason"), line["log_level"]) for line in log] == [
        ("hints.unavailable", "denied", "warning"),
        ("hints.available", None, "info"),
        ("hints.unavailable", "gone", "warning"),
    ]
    assert {line["kind"] for line in log} == {"stream"}


def test_the_cost_of_hints_is_logged_once_a_day(
    lifecycle: Lifecycle, clock: FakeClock, log: list[EventDict]
) -> None:
    """It is an estimate that becomes better as changes are seen; that of listings is not."""
    hints = HintCost(21_600.0, 120, 1200, 0, 133_920, 0.06, 0.0012)
    for cost in (
        Cost(30.0, 10, 86_400, 864_000, 4.32, hints),
        Cost(30.0, 10, 86_400, 864_000, 4.32, replace(hints, heads_per_month=7)),
    ):
        for _ in range(2):
            lifecycle.apply(ScanStarted(""))
            lifecycle.apply(completed(cost=cost))
        clock.advance(COST_INTERVAL_S)
    lines = [line for line in log if line["event"] == "watch.cost"]
    assert [line["hints_heads_per_month"] for line in lines] == [0, 7]
    assert (
        lines[0].items()
        >= {
            "dollars_per_month": 4.32,
            "hints_poll_interval_s": 21_600.0,
            "hints_dollars_per_month": 0.06,
            "hints_dollars_per_1000_changes": 0.0012,
        }.items()
    )
    assert "hints" not in lines[0]
