"""What a watch tells of itself: its status, and one line of the log at each turn. Decides nothing but what has been told already.

Written by the thread of the watch; the status is read by any.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from watcher.telemetry.status import State, Status

if TYPE_CHECKING:
    from watcher.changes.reconciler import ScanResult
    from watcher.clock import Clock
    from watcher.errors import WatcherError
    from watcher.model import Identity
    from watcher.sources.cost import Cost

PROGRESS_INTERVAL_S = 5.0


class StatusReporter:
    """See above.

    Args:
        identity: Of the watch.
        clock: The time.

    Attributes:
        status: What the watch is doing.
    """

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._clock = clock
        self.status = Status(started_at=clock.wall(), since=clock.wall())
        self._log = structlog.get_logger("watcher").bind(**identity.labels)
        self._warned = ""
        self._progress_due_s = 0.0

    def enter(self, state: State) -> None:
        """Note what the watch does from now on."""
        if self.status.state is not state:
            self.status.state, self.status.since = state, self._clock.wall()

    def open(self, mode: str, entries: int) -> None:
        """Tell that the place was found; when it is found again, a scan has to show that it can be read."""
        self.status.mode = mode
        if self.status.state is State.STARTING:
            self._log.info("watch.opened", mode=mode, entries=entries)

    def pause(self, unconfirmed: int, why: str) -> None:
        """Tell that the journal is full."""
        if self.status.state is not State.PAUSED:
            self._log.warning("watch.paused", unconfirmed=unconfirmed, hint=why)
        self.enter(State.PAUSED)

    def dismiss(self, streams: int) -> None:
        """Tell that streams were ended."""
        self._log.warning(
            "stream.dismissed",
            streams=streams,
            hint="their clients did not read, and held up others",
        )

    # Scans

    def begin_scan(self, reason: str) -> None:
        """Tell that a scan begins; a place that is unavailable stays so until one has shown that all of it can be read.

        Args:
            reason: Why it is out of turn; empty when it is not.
        """
        if self.status.state is not State.UNAVAILABLE:
            self.enter(State.SCANNING)
        if reason:
            self._log.info("scan.out_of_turn", reason=reason)
        self._progress_due_s = self._clock.monotonic() + PROGRESS_INTERVAL_S

    def progress(self, scanned: int) -> None:
        """Tell how many entries a scan has met, now and then."""
        self.status.scanned = scanned
        if scanned and self._clock.monotonic() >= self._progress_due_s:
            self._progress_due_s = self._clock.monotonic() + PROGRESS_INTERVAL_S
            self._log.info("scan.progress", entries=scanned)

    def end_scan(self, result: ScanResult, entries: int, next_scan_s: float) -> None:
        """Tell what a scan has found.

        Args:
            result: That.
            entries: In the index by now.
            next_scan_s: In so many seconds the next one comes.
        """
        status = self.status
        status.scans.observe(result.duration_s)
        status.scan_s, status.scanned_at = result.duration_s, self._clock.wall()
        if status.error:
            status.error = ""
            self._log.info("watch.available")
        if result.held:
            status.holds, status.held_at = status.holds + 1, status.scanned_at
            hint = "the next scan reports them if it agrees; if they should not be gone, bring the entries back before it"
            self._log.warning(
                "scan.held",
                deletions=result.held,
                entries=entries,
                next_scan_s=round(next_scan_s, 1),
                hint=hint,
            )
        elif status.held:
            self._log.info("scan.hold_ended", held=status.held, entries=entries)
        status.held = result.held

    def baseline(self, result: ScanResult) -> None:
        """Tell that the first scan is over."""
        self._log.info(
            "watch.baselined",
            entries=result.entries,
            mode=self.status.mode,
            seconds=round(result.duration_s, 3),
        )

    def bill(self, cost: Cost, entries: int) -> None:
        """Tell what scans cost."""
        self._log.info("watch.cost", entries=entries, **asdict(cost))

    # Trouble

    def degrade(self, reason: str) -> bool:
        """Tell why less is noticed than was asked for, and when all is noticed again, once each; return whether the reason is a new one.

        Args:
            reason: That; empty where there is none.
        """
        former, self.status.degraded = self.status.degraded, reason
        if not reason:
            self._warned = ""
            if former:
                self._log.info("watch.restored")
        elif reason != self._warned:
            self._warned = reason
            self._log.warning("watch.degraded", reason=reason)
        return reason not in {"", former}

    def miss(self, error: WatcherError, retry_s: float) -> None:
        """Tell that the place cannot be read, once for each reason, and that it is tried again."""
        if self.status.error != str(error):
            self._log.warning("watch.unavailable", error=str(error), retry_s=round(retry_s, 1))
        self._count(error)
        self.enter(State.UNAVAILABLE)

    def fail(self, error: WatcherError, *, is_told: bool) -> None:
        """Tell why the watch has failed.

        Args:
            error: Why.
            is_told: Whoever has started it learns of it, so that the log need not have it.
        """
        self._count(error)
        if not is_told:
            self._log.error("watch.stopped", error=str(error))

    def crash(self) -> None:
        """Have the traceback of an error that nobody has thought of in the log."""
        self._log.exception("watch.failed")

    def close(self, error: WatcherError | None) -> None:
        """Tell that the watch has ended, and what went wrong with that."""
        self.enter(State.STOPPED)
        self.status.held = 0
        if error is not None:
            self._log.warning("watch.close", error=str(error))

    def _count(self, error: WatcherError) -> None:
        self.status.error = str(error)
        self.status.errors[error.cause] += 1
