"""How soon a place may be scanned again, by the requests that were spent; kept over restarts.

A listing costs the same whether or not it is completed. After one that failed, one more may be made
soon; further ones wait as long as after a complete one, or as long as the budget takes to allow the
requests that were really sent. Scans of a directory are free: for them nothing here ever waits.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from watcher.sources.cost import (
    AUTO_POLL_MAX_S,
    JITTER,
    PAUSE_MAX_S,
    can_pause_within_budget,
    pause_s,
    probe_pause_s,
)
from watcher.spec import BucketSpec

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.spec import Spec
    from watcher.state.port import WatchStore

RECORDED_INTERVAL_S = 10.0
"""Shortest ``poll_interval`` in seconds whose scans are recorded for the next run of the watch.

Each record is one write to the disk; below this, a scan at every start is no more than was asked
for.
"""

_META = "pace"


class _Record(msgspec.Struct):
    """What the next run of a watch must know of the last scan.

    Attributes:
        spec: Digest of what the configuration says of the place.
        at: When the scan began, or failed, seconds since the epoch.
        pause_s: Seconds from then during which no further one is made.
        has_spare: One may be made before.
        requests_per_scan: LIST requests of the last complete listing; 0 for none yet.
        listed_for_s: Seconds from then during which none is needed, since it was complete and hints
            show what changes; 0 if one is.
        config: Digest of the whole configuration.
    """

    spec: str
    at: float
    pause_s: float
    has_spare: bool
    requests_per_scan: int
    listed_for_s: float = 0.0
    config: str = ""


class Pace:
    """When the next scan of one place may begin; for the thread of the watch.

    ``begin``, then ``complete``, ``fail`` or ``interrupt`` enclose each scan. Requests are counted
    from one call to the next, so that those of a try to open the place count as well.

    Args:
        spec: What is watched.
        store: Keeps the record of the last scan.
        clock: The time.
    """

    def __init__(self, spec: Spec, store: WatchStore, clock: Clock) -> None:
        self._bucket = spec.where if isinstance(spec.where, BucketSpec) else None
        self._digest = place_digest(spec)
        self._config = digest(spec)
        self._store = store
        self._clock = clock
        self._allowed_s = 0.0
        self._has_spare = True
        self._is_in_turn = True
        self._is_scanning = False
        self._is_continued = False
        self._counted = 0
        self._checked = 0
        self._unpaid = 0
        self._failed = 0
        self._requests_per_scan = 0
        self._recorded: _Record | None = None
        self._listed_until_s = 0.0

    @property
    def listed_until_s(self) -> float:
        """When a scan is needed after one that an earlier run has completed.

        On the monotonic clock; 0 if one is needed at once.
        """
        return self._listed_until_s

    @property
    def next_s(self) -> float:
        """Earliest time of the next scan on the monotonic clock; 0 if it may begin at once."""
        return 0.0 if self._has_spare or self._is_continued else self._allowed_s

    @property
    def in_turn_s(self) -> float:
        """Earliest time of the next scan that is not the one more after another."""
        return 0.0 if self._is_continued else self._allowed_s

    @property
    def shortfall(self) -> str:
        """Message that scans fail and still take more than the budget allows; else empty."""
        if (
            self._bucket is None
            or self._requests_per_scan
            or can_pause_within_budget(self._bucket, self._failed)
        ):
            return ""
        return (
            f"scans fail after {self._failed:,} LIST requests; every {PAUSE_MAX_S:g} s that is "
            f"above the request_budget of {self._bucket.request_budget:,}: "
            "raise it, or watch a narrower prefix"
        )

    def resume(self) -> None:
        """Continue where an earlier run of the watch ended; a changed configuration begins anew.

        Raises:
            StateError: The record cannot be read.
        """
        text = None if self._bucket is None else self._store.meta(_META)
        if text is None:
            return
        record = msgspec.json.decode(text, type=_Record)
        if record.spec != self._digest:
            return
        self._recorded = record
        age_s = max(0.0, self._clock.wall() - record.at)
        self._allowed_s = self._clock.monotonic() + max(0.0, record.pause_s - age_s)
        self._has_spare = record.has_spare
        self._requests_per_scan = record.requests_per_scan
        # State that was restored since lacks what hints have shown meanwhile.
        is_older = record.at < self._store.ids_renewed_at
        if record.config == self._config and age_s < record.listed_for_s and not is_older:
            self._listed_until_s = self._clock.monotonic() + record.listed_for_s - age_s

    def allow(self) -> None:
        """Let the next scan begin at once, since a person has asked for it."""
        self._allowed_s = 0.0

    def note_request(self) -> None:
        """Record that a scan was requested, for the next run if this one does not come to it.

        That is made in its turn, however often the watch is restarted.

        Raises:
            StateError: The record cannot be written.
        """
        if self._recorded is not None and self._recorded.listed_for_s:
            self._write(structs.replace(self._recorded, listed_for_s=0.0, has_spare=False))

    def begin(self, requests: int) -> None:
        """Record that a scan begins.

        Args:
            requests: LIST requests sent so far; the same below.

        Raises:
            StateError: The record cannot be written.
        """
        if not self._is_continued:
            self._is_in_turn = self._clock.monotonic() >= self._allowed_s
            if self._is_in_turn:
                self._unpaid = 0
            else:
                self._has_spare = False
        self._is_continued, self._is_scanning = False, True
        self._checked = self._count(requests)
        # Now, so that a server that is killed by a scan does not begin it again and again.
        is_known = self._requests_per_scan > 0
        self._record(self._pause_s(self._requests_per_scan) if is_known else self._longest_s)

    def complete(self, requests: int) -> float:
        """Record that the scan is complete, and return the seconds until the next one at least.

        Raises:
            StateError: The record cannot be written.
        """
        self._requests_per_scan = self._count(requests)
        self._is_scanning, self._failed = False, 0
        self._has_spare = self._has_spare or self._is_in_turn
        pause_s = self._pause_s(self._unpaid)
        record = self._recorded
        if record is not None and (record.pause_s, record.has_spare) != (pause_s, self._has_spare):
            self._record(pause_s)
        return pause_s

    def wait_until(self, due_s: float, interval_s: float) -> None:
        """Set when the scan after a complete one is in turn.

        While hints show what changes it is in turn as soon as it would be without them, and the
        next run of the watch need not scan before it is due.

        Args:
            due_s: When it is due, on the monotonic clock.
            interval_s: Seconds between the two scans.

        Raises:
            StateError: The record cannot be written.
        """
        if self._bucket is None:
            return
        self._allowed_s = due_s
        if self._bucket.notifications and interval_s >= (self._bucket.backstop_interval_s or 0.0):
            now_s, pause_s = self._clock.monotonic(), self._pause_s(self._unpaid)
            self._allowed_s = min(due_s, now_s + pause_s)
            self._record(pause_s, listed_for_s=due_s - now_s)

    def fail(self, requests: int) -> tuple[int, float]:
        """Record that the place could not be read.

        Returns:
            The LIST requests that this has taken, and the seconds until the next try at least.
        """
        spent = self._count(requests)
        if not self._is_scanning:
            if self._bucket is None:
                return spent, 0.0
            return spent, probe_pause_s(self._bucket, spent, self._requests_per_scan)
        self._is_scanning, self._failed = False, spent
        pause_s = self._put_off()
        return self._checked + spent, 0.0 if self._has_spare else pause_s

    def interrupt(self, requests: int, *, has_progress: bool) -> None:
        """Record that the scan was left since the journal is full.

        Args:
            requests: See ``begin``.
            has_progress: It has reported changes. The next one then continues it: their number
                bounds that of the scans.
        """
        self._count(requests)
        if self._is_scanning:
            self._is_scanning, self._is_continued = False, has_progress
            if not has_progress:
                self._put_off()

    def _put_off(self) -> float:
        """Let no scan begin in its turn before all requests are paid for; return the seconds."""
        pause_s = self._pause_s(self._unpaid) * random.uniform(1.0, 1 + JITTER)  # noqa: S311 - only spreads load
        self._allowed_s = self._clock.monotonic() + pause_s
        self._record(pause_s)
        return pause_s

    def _count(self, requests: int) -> int:
        spent, self._counted = requests - self._counted, requests
        self._unpaid += spent
        return spent

    def _pause_s(self, requests: int) -> float:
        if self._bucket is None:
            return 0.0
        return pause_s(self._bucket, requests, self._requests_per_scan)

    @property
    def _longest_s(self) -> float:
        """Seconds between two scans of a bucket of unknown size."""
        if self._bucket is None:
            return 0.0
        is_limited = self._bucket.request_budget is not None
        return AUTO_POLL_MAX_S if is_limited else self._bucket.poll_interval_s

    def _record(self, pause_s: float, *, listed_for_s: float = 0.0) -> None:
        if self._bucket is None or self._bucket.poll_interval_s < RECORDED_INTERVAL_S:
            return
        self._write(
            _Record(
                self._digest,
                self._clock.wall(),
                pause_s,
                self._has_spare,
                self._requests_per_scan,
                listed_for_s,
                self._config,
            )
        )

    def _write(self, record: _Record) -> None:
        self._recorded = record
        self._store.set_meta(**{_META: msgspec.json.encode(self._recorded).decode()})


def place_digest(spec: Spec) -> str:
    """Return a digest of what a configuration says of its place, equal in every run."""
    return digest((spec.where, spec.filter))


def digest(value: object) -> str:
    """Return a digest of a value made of dataclasses and containers, equal in every run."""
    return hashlib.sha256(_text(value).encode(errors="surrogatepass")).hexdigest()


def _text(value: object) -> str:
    """Return a text that differs for different values; sets have no order of their own."""
    if is_dataclass(value):
        inner = [f"{each.name}={_text(getattr(value, each.name))}" for each in fields(value)]
    elif isinstance(value, frozenset):
        inner = sorted(map(_text, value))
    elif isinstance(value, tuple):
        inner = list(map(_text, value))
    else:
        return repr(value)
    return f"{type(value).__name__}({', '.join(inner)})"
