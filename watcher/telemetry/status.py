"""What a watch tells of itself, and what the server grants it: values, no behaviour."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

SCAN_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""By these durations scans are told apart."""


@dataclass(slots=True)
class Histogram:
    """How many scans took how long.

    Attributes:
        counts: Scans that took no longer than each of ``SCAN_BOUNDS_S`` but longer than the one before it; last those above all of them.
        sum_s: Seconds that all of them took.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(SCAN_BOUNDS_S) + 1))
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def observe(self, duration_s: float) -> None:
        """Count a scan."""
        self.counts[bisect_left(SCAN_BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s

    def add(self, other: Histogram) -> None:
        """Count what another has counted as well."""
        self.counts = [own + others for own, others in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s


class State(StrEnum):
    """What a watch is doing."""

    STARTING = "starting"
    SCANNING = "scanning"
    WATCHING = "watching"
    UNAVAILABLE = "unavailable"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(slots=True)
class Status:
    """What a watch tells of itself; written by its thread, read by any.

    Attributes:
        started_at: When the watch began, seconds since the epoch.
        state: What it is doing.
        since: When it began to, likewise.
        mode: ``notify`` or ``poll``; empty before the place was opened.
        degraded: Why less is noticed than was asked for, or empty.
        error: The last failure to read the place, until it has been read, or why the watch has stopped; or empty.
        errors: Failures to read the place, and of the watch itself, since the start, by cause.
        scanned: Entries met by the scan that runs.
        scans: Scans completed since the start, by how long they took.
        scan_s: Seconds that the last one took.
        scanned_at: When it ended, seconds since the epoch; 0 before the first.
        held: Deletions that wait for a second scan to agree.
        holds: How often deletions had to wait, since the start.
        held_at: When they last did, seconds since the epoch; 0 for never.
        rescans: Scans out of turn since the start, by reason.
    """

    started_at: float
    since: float
    state: State = State.STARTING
    mode: str = ""
    degraded: str = ""
    error: str = ""
    errors: Counter[str] = field(default_factory=Counter)
    scanned: int = 0
    scans: Histogram = field(default_factory=Histogram)
    scan_s: float = 0.0
    scanned_at: float = 0.0
    held: int = 0
    holds: int = 0
    held_at: float = 0.0
    rescans: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Totals:
    """What has been counted since a start, of one watch or of several.

    Attributes:
        events: Changes committed, by type.
        rescans: Scans out of turn, by reason.
        errors: Failures to read a place, by cause.
        scans: Scans completed, by how long they took.
        holds: How often mass deletions had to wait for a second scan.
        held_at: When they last did, seconds since the epoch; 0 for never.
        requests: LIST requests sent.
        written: Payloads written to streams.
        rewritten: Those among them that had been written before, or may have been.
        blocked_s: Seconds in which flow control kept streams from writing.
    """

    events: Counter[str] = field(default_factory=Counter)
    rescans: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    scans: Histogram = field(default_factory=Histogram)
    holds: int = 0
    held_at: float = 0.0
    requests: int = 0
    written: int = 0
    rewritten: int = 0
    blocked_s: float = 0.0

    def add(self, other: Totals) -> None:
        """Count what others have counted as well."""
        self.events.update(other.events)
        self.rescans.update(other.rescans)
        self.errors.update(other.errors)
        self.scans.add(other.scans)
        self.holds += other.holds
        self.held_at = max(self.held_at, other.held_at)
        self.requests += other.requests
        self.written += other.written
        self.rewritten += other.rewritten
        self.blocked_s += other.blocked_s
