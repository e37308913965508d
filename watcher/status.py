"""What a watch tells of itself, and what the server grants it: values, no behaviour."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


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
        state: What it is doing.
        since: When it began to, seconds since the epoch.
        mode: ``notify`` or ``poll``; empty before the place was opened.
        degraded: Why less is noticed than was asked for, or empty.
        error: The last failure to read the place, while it lasts, or empty.
        errors: Failures to read the place since the start.
        scanned: Entries met by the scan that runs.
        scans: Scans completed since the start.
        scan_s: Seconds that the last one took.
        scanned_at: When it ended, seconds since the epoch; 0 before the first.
        held: Deletions that wait for a second scan to agree.
        rescans: Scans out of turn since the start, by reason.
    """

    state: State = State.STARTING
    since: float = field(default_factory=time.time)
    mode: str = ""
    degraded: str = ""
    error: str = ""
    errors: int = 0
    scanned: int = 0
    scans: int = 0
    scan_s: float = 0.0
    scanned_at: float = 0.0
    held: int = 0
    rescans: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """What has been counted since a start, of one watch or of several.

    Attributes:
        events: Changes committed, by type.
        rescans: Scans out of turn, by reason.
        scans: Scans completed.
        errors: Failures to read a place.
        written: Payloads written to streams.
        rewritten: Those among them that had been written before, or may have been.
    """

    events: Counter[str] = field(default_factory=Counter)
    rescans: Counter[str] = field(default_factory=Counter)
    scans: int = 0
    errors: int = 0
    written: int = 0
    rewritten: int = 0

    def add(self, other: Totals) -> None:
        """Count what others have counted as well."""
        self.events.update(other.events)
        self.rescans.update(other.rescans)
        self.scans += other.scans
        self.errors += other.errors
        self.written += other.written
        self.rewritten += other.rewritten


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server grants a watch.

    Attributes:
        journal_cap: Unconfirmed changes at which it stops looking.
        window_s: Seconds after which a written event is confirmed.
        retention_s: Seconds for which a confirmed event can be replayed.
    """

    journal_cap: int
    window_s: float
    retention_s: float = 0.0
