"""The status of one watch, and the totals of many: values without behaviour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from watcher.status_values import WaitingGroups
from watcher.telemetry.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.status_values import HintStatus, PartStatus

SCAN_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds in seconds of the buckets by which scan durations are counted."""


class State(StrEnum):
    """The state of a watch; the values are those of status, metrics and log."""

    STARTING = "starting"
    """The place has not been read yet."""
    SCANNING = "scanning"
    """A scan reads the whole place."""
    WATCHING = "watching"
    """Hints are read as they come, until the next scan."""
    UNAVAILABLE = "unavailable"
    """The place cannot be read now; it is tried again."""
    PAUSED = "paused"
    """The journal is full, so nothing is read until it has drained."""
    STOPPED = "stopped"
    """The thread of the watch has ended."""


@dataclass(slots=True)
class Status:
    """What a watch is doing; written by its thread, read by any.

    Attributes:
        started_at: When the watch was made, seconds since the epoch.
        since: When it entered its state, seconds since the epoch.
        state: What it is doing.
        mode: ``notify`` or ``poll``; empty before the place was opened.
        degraded: Why changes are noticed later than the spec asks for; empty when they are not.
        parts: The directory and the mounts below it; empty for a bucket.
        error: The last failure to read the place, until it has been read again, or why the watch
            has stopped; empty when neither is so.
        errors: Failures to read the place, and of the watch itself, since the start, by cause.
        scanned: Entries met so far by the running scan.
        scans: Scans completed since the start, by duration.
        scan_s: Seconds that the last completed scan took.
        scanned_at: When that scan ended, seconds since the epoch; 0 before the first.
        groups: The groups that have changed and are not completed.
        held: Deletions that wait for a second scan to agree.
        holds: Scans since the start whose deletions were held.
        held_at: When deletions were last held, seconds since the epoch; 0 for never.
        rescans: Scans requested out of turn since the start, by reason.
        next_scan_at: When the next scan is due, or the next try to open the place, seconds since
            the epoch; 0 before the first turn.
        failed_requests: LIST requests of scans that failed, and of tries to open the place.
    """

    started_at: float
    since: float
    state: State = State.STARTING
    mode: str = ""
    degraded: str = ""
    parts: Sequence[PartStatus] = ()
    error: str = ""
    errors: Counter[str] = field(default_factory=Counter)
    scanned: int = 0
    scans: Histogram = field(default_factory=partial(Histogram, SCAN_BOUNDS_S))
    scan_s: float = 0.0
    scanned_at: float = 0.0
    groups: WaitingGroups = field(default_factory=WaitingGroups)
    held: int = 0
    holds: int = 0
    held_at: float = 0.0
    rescans: Counter[str] = field(default_factory=Counter)
    next_scan_at: float = 0.0
    failed_requests: int = 0


@dataclass(slots=True)
class Totals:
    """What one watch, or several, have counted since their start.

    Attributes:
        events: Changes committed, by type.
        rescans: Scans requested out of turn, by reason.
        errors: Failures to read a place, and of watches themselves, by cause.
        scans: Scans completed, by duration.
        holds: Scans whose deletions were held.
        held_at: When deletions were last held, seconds since the epoch; 0 for never.
        requests: LIST requests sent.
        failed_requests: Those among them of scans that failed, and of tries to open a place.
        written: Payloads written to streams.
        redelivered: Payloads among them whose changes may have been written before.
        blocked_s: Seconds in which flow control kept streams from writing, summed over streams.
        hint_messages: Messages with hints received, by how hints arrive (``HintStatus.kind``).
        hint_keys: Keys in them that belong to the place of their watch, by the same.
        hint_rejected: Messages that could not be read or were about another bucket, by the same.
        hint_errors: Failed requests for hints, and for keys that were hinted, by the same.
        heads: HEAD requests for keys that were hinted.
        queue_requests: Requests sent to queues.
    """

    events: Counter[str] = field(default_factory=Counter)
    rescans: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    scans: Histogram = field(default_factory=partial(Histogram, SCAN_BOUNDS_S))
    holds: int = 0
    held_at: float = 0.0
    requests: int = 0
    failed_requests: int = 0
    written: int = 0
    redelivered: int = 0
    blocked_s: float = 0.0
    hint_messages: Counter[str] = field(default_factory=Counter)
    hint_keys: Counter[str] = field(default_factory=Counter)
    hint_rejected: Counter[str] = field(default_factory=Counter)
    hint_errors: Counter[str] = field(default_factory=Counter)
    heads: int = 0
    queue_requests: int = 0

    def add(self, other: Totals) -> None:
        """Add what other watches have counted."""
        self.events.update(other.events)
        self.rescans.update(other.rescans)
        self.errors.update(other.errors)
        self.scans.add(other.scans)
        self.holds += other.holds
        self.held_at = max(self.held_at, other.held_at)
        self.requests += other.requests
        self.failed_requests += other.failed_requests
        self.written += other.written
        self.redelivered += other.redelivered
        self.blocked_s += other.blocked_s
        self.hint_messages.update(other.hint_messages)
        self.hint_keys.update(other.hint_keys)
        self.hint_rejected.update(other.hint_rejected)
        self.hint_errors.update(other.hint_errors)
        self.heads += other.heads
        self.queue_requests += other.queue_requests

    def count_hints(self, hints: HintStatus) -> None:
        """Add what one watch has counted of its hints."""
        self.hint_messages[hints.kind] += hints.messages
        self.hint_keys[hints.kind] += hints.keys
        self.hint_rejected[hints.kind] += hints.rejected
        self.hint_errors[hints.kind] += hints.errors
        self.heads += hints.heads
        self.queue_requests += hints.requests
