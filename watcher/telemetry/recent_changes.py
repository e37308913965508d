"""The newest changes of watches, for people who look on, and how many there have been of late. Pure, but for its lock."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.model import Change

RECENT_CHANGES = 30
"""So many changes of a watch are kept."""

RATE_S = 60
"""The rate is that of so many seconds."""


@dataclass(frozen=True, slots=True)
class Recent:
    """One change, to be shown.

    Attributes:
        watch: The name of its watch.
        at: When it was committed, seconds since the epoch.
        seq: Its sequence number.
        type: What happened.
        path: Where, in text; bytes that are no UTF-8 are U+FFFD.
        old_path: The former path of what was moved, likewise, else empty.
        size: Bytes; the last known ones of what is gone.
    """

    watch: str
    at: float
    seq: int
    type: str
    path: str
    old_path: str
    size: int


class Kept(NamedTuple):
    """A change as it is kept: cheaper than one to be shown, which few of them ever are.

    Attributes:
        committed_s: When it was committed, on a clock that is never set.
        seq: Its sequence number.
        at: When it was committed, seconds since the epoch.
        change: What happened.
    """

    committed_s: float
    seq: int
    at: float
    change: Change


class RecentChanges:
    """The end of what a watch has said. Safe between threads.

    Attributes:
        last_s: When the last change was committed, on the clock of ``add``; before all times if there was none.
    """

    def __init__(self) -> None:
        self.last_s = float("-inf")
        self._lock = threading.Lock()
        self._changes: deque[Kept] = deque(maxlen=RECENT_CHANGES)
        self._counts: deque[tuple[int, int]] = deque()

    def add(self, changes: Sequence[Change], first_seq: int, *, at: float, now_s: float) -> None:
        """Take in changes that were committed, in order.

        Args:
            changes: The changes; at least one.
            first_seq: Sequence number of the first.
            at: When, in seconds since the epoch, for people.
            now_s: Likewise on a monotonic clock, for order and rate: the other one may be set back.
        """
        second = int(now_s)
        newest = max(0, len(changes) - RECENT_CHANGES)
        with self._lock:
            self.last_s = now_s
            self._changes.extend(
                Kept(now_s, seq, at, change)
                for seq, change in enumerate(changes[newest:], start=first_seq + newest)
            )
            before = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
            self._counts.append((second, before + len(changes)))
            self._forget(second)

    def kept(self) -> list[Kept]:
        """Return the last ``RECENT_CHANGES``, the oldest first."""
        with self._lock:
            return list(self._changes)

    def per_second(self, now_s: float) -> float:
        """Return how many changes a second there have been in the last ``RATE_S`` seconds.

        Args:
            now_s: Seconds on the clock of ``add``.
        """
        with self._lock:
            self._forget(int(now_s))
            return sum(count for _, count in self._counts) / RATE_S

    def _forget(self, second: int) -> None:
        while self._counts and self._counts[0][0] <= second - RATE_S:
            self._counts.popleft()


def newest_changes(watches: Iterable[tuple[str, RecentChanges]], count: int) -> list[Recent]:
    """Return the newest changes of several watches, the newest first.

    Args:
        watches: Name and changes of each.
        count: So many are returned, if there are so many.
    """
    # Each of them is of one of as many watches: those that have changed last.
    latest = heapq.nlargest(count, watches, key=lambda watch: watch[1].last_s)
    kept = ((name, change) for name, changes in latest for change in changes.kept())
    return [
        _shown(name, change)
        for name, change in heapq.nlargest(count, kept, key=lambda each: each[1][:2])
    ]


def _shown(name: str, kept: Kept) -> Recent:
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
