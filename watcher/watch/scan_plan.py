"""When the next scan of a watch is due: as its source needs it, and no sooner than its pace allows.

``schedule`` keeps the due time, and ``pace`` what requests allow. Here is decided what each event
in the life of a watch means for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import Rescan
from watcher.watch.pace import Pace
from watcher.watch.schedule import Schedule

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.sources.protocol import Source
    from watcher.spec import Spec
    from watcher.state.port import WatchStore

_HINTED = frozenset({Rescan.HINTS_MISSED, Rescan.HEAD_REFUSED, Rescan.MANY_HINTS})
"""Reasons that senders of hints can give at any time: scans for them are no more frequent than
without hints."""


class ScanPlan:
    """The next scan of one watch. For one thread.

    ``begin``, then ``complete``, ``fail`` or ``interrupt`` enclose each scan; ``fail`` also follows
    a try to open the place. A new plan has a scan due at once.

    Args:
        spec: What is watched.
        store: Keeps the record of the last scan.
        source: Says how often it must be scanned, and how many requests that has taken.
        clock: The time.
    """

    def __init__(self, spec: Spec, store: WatchStore, source: Source, clock: Clock) -> None:
        self._spec = spec
        self._store = store
        self._source = source
        self._clock = clock
        self._schedule = Schedule(clock)
        self._pace = Pace(spec, store, clock)
        self._degradation = ""
        self._interval_s = 0.0
        self._begun_seq = 0

    @property
    def due_s(self) -> float:
        """When the scan is due, or the next try to open the place, on the monotonic clock."""
        return self._schedule.due_s

    @property
    def is_out_of_turn(self) -> bool:
        """Whether a scan was requested for a reason, and has not begun."""
        return self._schedule.is_out_of_turn

    @property
    def shortfall(self) -> str:
        """Message that scans fail and still take more than the budget allows; else empty."""
        return self._pace.shortfall

    def is_due(self) -> bool:
        """Return whether the due time has come."""
        return self._schedule.is_due()

    def resume(self, *, is_known: bool) -> bool:
        """Plan the first scan of this run.

        Args:
            is_known: All of the place is known as an earlier run has last scanned it.

        Returns:
            Whether none is needed at once, since an earlier run has completed one not long ago and
            all that has changed since is hinted. The source asks for one where it is not.

        Raises:
            StateError: The record of the last scan cannot be read.
        """
        self._pace.resume()
        may_wait = is_known and bool(self._pace.listed_until_s)
        self._schedule.request(due_s=self._pace.listed_until_s if may_wait else self._pace.next_s)
        return may_wait

    def request(self, reason: Rescan, *, is_allowed: bool = False) -> None:
        """Plan a scan out of turn, as soon as the pace allows it.

        Args:
            reason: Why.
            is_allowed: A person has asked for it, so that it need not wait.

        Raises:
            StateError: The request cannot be recorded.
        """
        if is_allowed:
            self._pace.allow()
        due_s = self._pace.in_turn_s if reason in _HINTED else self._pace.next_s
        self._schedule.request(reason, due_s)
        self._pace.note_request()

    def adjust(self, degradation: str) -> None:
        """Bring the next scan forward if the source needs it sooner than when it was planned.

        Args:
            degradation: See ``Source.degraded``, as it is now.
        """
        former, self._degradation = self._degradation, degradation
        former_s, self._interval_s = self._interval_s, self._source.scan_interval_s
        if degradation not in {"", former} or self._interval_s < former_s:
            # What is no longer notified, the scans have to find.
            in_turn_s = self._pace.in_turn_s
            self._schedule.expedite(max(self._clock.monotonic() + self._interval_s, in_turn_s))
        elif self._interval_s > former_s and self._source.hint_status is not None:
            self._schedule.relax()

    def begin(self) -> str:
        """Record that a scan begins, and return why it is out of turn; empty for a regular one.

        Raises:
            StateError: The record cannot be written.
        """
        reason = self._schedule.begin()
        self._pace.begin(self._source.requests)
        self._begun_seq = self._store.journal.next_seq
        return reason

    def complete(self, *, is_held: bool) -> float:
        """Record that the scan is complete, and return the seconds until the next one.

        Args:
            is_held: Deletions wait for the next one.

        Raises:
            StateError: The record cannot be written.
        """
        interval_s = self._interval_s = self._source.scan_interval_s
        pause_s = self._pace.complete(self._source.requests)
        if is_held:
            interval_s = min(interval_s, self._spec.where.poll_interval_s)
        interval_s = max(interval_s, pause_s)
        self._schedule.succeed(interval_s)
        self._pace.wait_until(self._schedule.due_s, interval_s)
        return interval_s

    def fail(self) -> tuple[int, float]:
        """Record that the place could not be read or opened.

        Returns:
            The LIST requests that this has taken, and the seconds until the next try.

        Raises:
            StateError: The record cannot be written.
        """
        requests, pause_s = self._pace.fail(self._source.requests)
        return requests, self._schedule.fail(pause_s)

    def interrupt(self) -> None:
        """Record that a reading was left since the journal is full or the watch stops.

        A scan that has reported changes is continued by the next one.

        Raises:
            StateError: The record cannot be written.
        """
        has_progress = self._store.journal.next_seq > self._begun_seq
        self._pace.interrupt(self._source.requests, has_progress=has_progress)
