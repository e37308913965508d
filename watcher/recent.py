"""The newest changes of a watch, for people who look on, and how many there have been of late. Pure, but for its lock."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.model import Change

RECENT_CHANGES = 30
"""So many changes are kept."""

RATE_S = 60
"""The rate is that of so many seconds."""


@dataclass(frozen=True, slots=True)
class Recent:
    """One change, to be shown.

    Attributes:
        at: When it was committed, seconds since the epoch.
        seq: Its sequence number.
        type: What happened.
        path: Where, in text; bytes that are no UTF-8 are U+FFFD.
        old_path: The former path of what was moved, likewise, else empty.
        size: Bytes; the last known ones of what is gone.
    """

    at: float
    seq: int
    type: str
    path: str
    old_path: str
    size: int


class RecentChanges:
    """The end of what a watch has said. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: deque[tuple[float, int, Change]] = deque(maxlen=RECENT_CHANGES)
        self._counts: deque[tuple[int, int]] = deque()

    def add(self, changes: Sequence[Change], first_seq: int, now: float) -> None:
        """Take in changes that were committed, in order.

        Args:
            changes: The changes; at least one.
            first_seq: Sequence number of the first.
            now: Seconds since the epoch.
        """
        second = int(now)
        newest = max(0, len(changes) - RECENT_CHANGES)
        with self._lock:
            self._changes.extend((now, seq, change) for seq, change in enumerate(changes[newest:], start=first_seq + newest))
            before = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
            self._counts.append((second, before + len(changes)))
            self._forget(second)

    def newest(self) -> list[Recent]:
        """Return the last ``RECENT_CHANGES``, the oldest first."""
        with self._lock:
            changes = list(self._changes)
        return [
            Recent(at, seq, change.type.value, _text(change.entry.path), _text(change.old_path or b""), change.entry.size)
            for at, seq, change in changes
        ]

    def per_second(self, now: float) -> float:
        """Return how many changes a second there have been in the last ``RATE_S`` seconds.

        Args:
            now: Seconds since the epoch.
        """
        with self._lock:
            self._forget(int(now))
            return sum(count for _, count in self._counts) / RATE_S

    def _forget(self, second: int) -> None:
        while self._counts and self._counts[0][0] <= second - RATE_S:
            self._counts.popleft()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")
