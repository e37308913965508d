"""Bounds what many keep together: above the limit, only those below their equal part may grow."""

from __future__ import annotations

import threading


class FairShare:
    """A limit on what several holders keep together. Safe between threads.

    Args:
        limit: How much the holders should keep together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._counts: dict[object, int] = {}
        self._total = 0

    def admit(self, holder: object, count: int) -> bool:
        """Record how much a holder keeps now, and return whether it may.

        It may not if all together exceed the limit and the holder exceeds its equal part of it.
        Then it has to drop what it keeps, and report a count of 0.

        Args:
            holder: A hashable object that stands for the holder; referenced until its count is 0.
            count: How much it keeps.
        """
        with self._lock:
            self._total += count - self._counts.pop(holder, 0)
            if count:
                self._counts[holder] = count
            return self._total <= self._limit or count * len(self._counts) <= self._limit
