"""The status of a watch and its log lines; it follows the lifecycle and decides nothing.

Runs in the thread of the watch; any thread may read the status.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from watcher.errors import FencedError
from watcher.telemetry.status import State, Status
from watcher.watch.lifecycle import (
    Ended,
    JournalFull,
    Opened,
    ReadFailed,
    ScanCompleted,
    ScanStarted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.changes.reconciler import ScanResult
    from watcher.clock import Clock
    from watcher.errors import WatcherError
    from watcher.model import Identity, Rescan
    from watcher.sources.cost import Cost
    from watcher.status_values import HintStatus, PartStatus, WaitingGroups
    from watcher.watch.lifecycle import Trigger

PROGRESS_INTERVAL_S = 5.0
"""Seconds between two log lines about the progress of one scan."""

COST_INTERVAL_S = 86_400.0
"""Seconds after which the cost of a bucket with hints is logged again."""


class StatusReporter:
    """Keeps the status of one watch, and logs when it changes.

    Args:
        identity: The watch, as it is named in the log.
        clock: The time.

    Attributes:
        status: What the watch is doing.
    """

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.status = Status(started_at=clock.wall(), since=clock.wall())
        self._clock = clock
        self._log = structlog.get_logger("watcher").bind(**identity.labels)
        self._logged_degradation = ""
        self._progress_due_s = 0.0
        self._digest_due_s = 0.0
        self._planned_s = 0.0
        self._cost_due_s = float("-inf")
        self._hint_problem = ""

    def on_transition(self, former: State, state: State, trigger: Trigger) -> None:
        """Record and log what moved the watch; see ``Lifecycle``."""
        match trigger:
            case Opened():
                self._opened(trigger, is_first=former is State.STARTING)
            case ScanStarted():
                self._scan_started(trigger)
            case ScanCompleted():
                self._scan_completed(trigger)
            case JournalFull() if former is not State.PAUSED:
                self._log.warning(
                    "watch.paused", unconfirmed=trigger.unconfirmed, hint=trigger.hint
                )
            case ReadFailed():
                self._read_failed(trigger)
            case Ended():
                self._ended(trigger)
            case _:
                pass
        if state is not former:
            self.status.state, self.status.since = state, self._clock.wall()

    def _opened(self, opened: Opened, *, is_first: bool) -> None:
        self.status.mode = opened.mode
        if is_first:
            self._log.info("watch.opened", mode=opened.mode, entries=opened.entries)

    def _scan_started(self, scan: ScanStarted) -> None:
        if scan.reason:
            self._log.info("scan.out_of_turn", reason=scan.reason)
        self._progress_due_s = self._clock.monotonic() + PROGRESS_INTERVAL_S

    def _scan_completed(self, scan: ScanCompleted) -> None:
        status, result = self.status, scan.result
        status.scans.observe(result.duration_s)
        status.scan_s, status.scanned_at = result.duration_s, self._clock.wall()
        if status.error:
            status.error = ""
            self._log.info("watch.available")
        if result.new_inodes:
            self._log.info("watch.inodes_changed", entries=result.new_inodes)
        self._record_held(result, scan.entries, scan.next_scan_s)
        self._report_cost(scan.cost, result.entries)
        if scan.is_baseline:
            self._log.info(
                "watch.baselined",
                entries=result.entries,
                mode=status.mode,
                seconds=round(result.duration_s, 3),
            )

    def _report_cost(self, cost: Cost | None, entries: int) -> None:
        """Log what a bucket costs: once, and where hints arrive again as more of them is seen."""
        now_s = self._clock.monotonic()
        if cost is None or now_s < self._cost_due_s:
            return
        self._cost_due_s = now_s + COST_INTERVAL_S if cost.hints else float("inf")
        numbers = asdict(cost)
        hints = {f"hints_{name}": number for name, number in (numbers.pop("hints") or {}).items()}
        self._log.info("watch.cost", entries=entries, **numbers, **hints)

    def _record_held(self, result: ScanResult, entries: int, next_scan_s: float) -> None:
        status = self.status
        if result.held:
            status.holds, status.held_at = status.holds + 1, status.scanned_at
            self._log.warning(
                "scan.held",
                deletions=result.held,
                entries=entries,
                next_scan_s=round(next_scan_s, 1),
                hint="the next scan reports them if it agrees; "
                "if they should not be gone, bring the entries back before it",
            )
        elif status.held:
            self._log.info("scan.hold_ended", held=status.held, entries=entries)
        status.held = result.held

    def _read_failed(self, failure: ReadFailed) -> None:
        error = str(failure.error)
        if self.status.error != error:
            self._log.warning(
                "watch.unavailable",
                error=error,
                retry_s=round(failure.retry_s, 1),
                **({"requests": failure.requests} if failure.requests else {}),
            )
        self.status.failed_requests += failure.requests
        self._count(failure.error)

    def _ended(self, ended: Ended) -> None:
        self.status.held = 0
        if ended.error is not None and not isinstance(ended.error, FencedError):
            self._log.warning("watch.close", error=str(ended.error))

    # What happens between two transitions

    def request_rescan(self, reason: Rescan) -> None:
        """Count a scan that was requested out of turn."""
        self.status.rescans[reason] += 1

    def plan(self, due_s: float) -> None:
        """Record when the next scan is due, or the next try to open the place.

        Args:
            due_s: The time on the monotonic clock; 0 for now.
        """
        if due_s != self._planned_s or not self.status.next_scan_at:
            self._planned_s = due_s
            left_s = max(0.0, due_s - self._clock.monotonic())
            self.status.next_scan_at = self._clock.wall() + left_s

    def progress(self, scanned: int) -> None:
        """Record how many entries the running scan has met, and log it at intervals."""
        self.status.scanned = scanned
        if scanned and self._clock.monotonic() >= self._progress_due_s:
            self._progress_due_s = self._clock.monotonic() + PROGRESS_INTERVAL_S
            self._log.info("scan.progress", entries=scanned)

    def digest(self, entries: int, *, is_done: bool) -> None:
        """Log at intervals, and at the end, how many unchanged entries were read for their digests.

        Args:
            entries: Their number since the place was opened; nothing is logged if there were none.
            is_done: No further digests are to be learnt.
        """
        if entries and is_done:
            self._log.info("watch.digested", entries=entries)
        elif entries and self._clock.monotonic() >= self._digest_due_s:
            self._digest_due_s = self._clock.monotonic() + PROGRESS_INTERVAL_S
            self._log.info("watch.digesting", entries=entries)

    def degrade(self, reason: str) -> None:
        """Record why the watch notices less than its spec asks for.

        Each reason is logged once until the degradation ends, and so is the end.

        Args:
            reason: Why; empty when nothing is amiss.
        """
        former, self.status.degraded = self.status.degraded, reason
        if not reason:
            self._logged_degradation = ""
            if former:
                self._log.info("watch.restored")
        elif reason != self._logged_degradation:
            self._logged_degradation = reason
            self._log.warning("watch.degraded", reason=reason)

    def set_mode(self, mode: str) -> None:
        """Record how most changes are noticed now."""
        self.status.mode = mode

    def set_hints(self, hints: HintStatus | None) -> None:
        """Log when hints begin to fail, whatever reasons follow, and when they arrive again."""
        problem = "" if hints is None else hints.problem
        if hints is not None and bool(problem) is not bool(self._hint_problem):
            if problem:
                self._log.warning("hints.unavailable", kind=hints.kind, reason=problem)
            else:
                self._log.info("hints.available", kind=hints.kind)
        self._hint_problem = problem

    def set_groups(self, groups: WaitingGroups) -> None:
        """Record which groups have changed and are not completed."""
        self.status.groups = groups

    def set_parts(self, parts: Sequence[PartStatus]) -> None:
        """Record how the parts of a directory are watched; log it where mounts are or were."""
        former, self.status.parts = self.status.parts, parts
        if parts != former and max(len(parts), len(former)) > 1:
            self._log.info("watch.parts", parts=[str(part) for part in parts])

    def renew_ids(self, former_uid: str, uid: str, next_seq: int) -> None:
        """Log that an acknowledgement has shown the state to be a restored backup.

        Args:
            former_uid: First part of the ids until now.
            uid: First part of the ids from now on.
            next_seq: Sequence number of the next change.
        """
        self._log.warning(
            "state.restored",
            former_ids=former_uid,
            ids=uid,
            next_seq=next_seq,
            hint="an event was acknowledged that the state has yet to number; "
            "further events have new ids",
        )

    def disconnect(self, streams: int) -> None:
        """Log that the watch has ended streams of clients that do not read."""
        self._log.warning(
            "stream.dismissed",
            streams=streams,
            hint="their clients did not read, and held up others",
        )

    def fail(self, error: WatcherError, *, is_reported: bool, requests: int = 0) -> None:
        """Record why the watch has failed; that another server has taken it is no error.

        Args:
            error: Why.
            is_reported: The caller that started the watch gets the error, so it is not logged.
            requests: LIST requests that were sent for nothing.
        """
        self.status.failed_requests += requests
        self._count(error)
        if isinstance(error, FencedError):
            self._log.warning("watch.fenced", error=str(error))
        elif not is_reported:
            self._log.error("watch.stopped", error=str(error))

    def crash(self) -> None:
        """Log the traceback of the exception being handled, which no code expected."""
        self._log.exception("watch.failed")

    def _count(self, error: WatcherError) -> None:
        self.status.error = str(error)
        self.status.errors[error.cause] += 1
