"""The newest changes of watches, for people who look at the status page, and their rate."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from watcher.telemetry.last_hour import MinuteSeries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.clock import Clock
    from watcher.model import Change

RECENT_CHANGES = 30
"""Number of changes kept for each watch."""

RATE_S = 60
"""Seconds over which the rate is taken."""


@dataclass(frozen=True, slots=True)
class Recent:
    """One change, to be shown.

    Attributes:
        watch: Name of its watch.
        at: When it was committed, seconds since the epoch.
        seq: Its sequence number.
        type: What happened.
        path: Its path as text; bytes that are not UTF-8 are U+FFFD.
        old_path: The former path of a moved entry as text, else empty.
        size: Bytes; the last known ones of a deleted entry.
    """

    watch: str
    at: float
    seq: int
    type: str
    path: str
    old_path: str
    size: int


class KeptChange(NamedTuple):
    """A change as it is kept: cheaper to make than ``Recent``, and few are ever shown.

    Attributes:
        committed_s: When it was committed, on the monotonic clock.
        seq: Its sequence number.
        at: When it was committed, seconds since the epoch.
        change: What happened.
    """

    committed_s: float
    seq: int
    at: float
    change: Change


class RecentChanges:
    """The newest changes of one watch. Safe between threads.

    Order and rate follow the monotonic clock, since the wall clock may be set back.

    Args:
        clock: The time.

    Attributes:
        last_s: When the last change was committed, on the monotonic clock; -inf for never.
    """

    def __init__(self, clock: Clock) -> None:
        self.last_s = float("-inf")
        self._clock = clock
        self._lock = threading.Lock()
        self._changes: deque[KeptChange] = deque(maxlen=RECENT_CHANGES)
        self._counts: deque[tuple[int, int]] = deque()
        self._minutes = MinuteSeries(clock.monotonic())

    def add(self, changes: Sequence[Change], first_seq: int) -> None:
        """Add changes that have just been committed.

        Args:
            changes: In order; at least one.
            first_seq: Sequence number of the first.
        """
        now_s, at = self._clock.monotonic(), self._clock.wall()
        second = int(now_s)
        newest = max(0, len(changes) - RECENT_CHANGES)
        with self._lock:
            self.last_s = now_s
            self._changes.extend(
                KeptChange(now_s, seq, at, change)
                for seq, change in enumerate(changes[newest:], start=first_seq + newest)
            )
            before = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
            self._counts.append((second, before + len(changes)))
            self._minutes.add(now_s, len(changes))
            self._expire(second)

    def kept(self) -> list[KeptChange]:
        """Return the last ``RECENT_CHANGES`` changes, the oldest first."""
        with self._lock:
            return list(self._changes)

    def per_second(self) -> float:
        """Return the changes per second over the last ``RATE_S`` seconds."""
        with self._lock:
            self._expire(int(self._clock.monotonic()))
            return sum(count for _, count in self._counts) / RATE_S

    def per_minute(self) -> list[float]:
        """Return the changes of each minute, as ``MinuteSeries.values`` does."""
        with self._lock:
            return self._minutes.values(self._clock.monotonic())

    def _expire(self, second: int) -> None:
        while self._counts and self._counts[0][0] <= second - RATE_S:
            self._counts.popleft()


def newest_changes(watches: Iterable[tuple[str, RecentChanges]], count: int) -> list[Recent]:
    """Return the newest changes of several watches, the newest first.

    Args:
        watches: Name and changes of each.
        count: Maximum number of changes.
    """
    # The newest ``count`` changes are those of the ``count`` watches that have changed last.
    latest = heapq.nlargest(count, watches, key=lambda watch: watch[1].last_s)
    kept = ((name, change) for name, changes in latest for change in changes.kept())
    return [
        _shown(name, change)
        for name, change in heapq.nlargest(count, kept, key=lambda each: each[1][:2])
    ]


def _shown(name: str, kept: KeptChange) -> Recent:
    change = kept.change
    return Recent(
        name,
        kept.at,
        kept.seq,
        change.type.value,
        _text(change.entry.path),
        _text(change.old_path or b""),
        change.entry.size,
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")
