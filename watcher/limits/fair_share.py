"""Bounds what many keep together: whoever keeps too much of it must let it go. Imports nothing of ours."""

from __future__ import annotations

import threading


class FairShare:
    """How much each of several holders keeps. Safe between threads.

    Args:
        most: So much should they keep together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[object, int] = {}
        self._total = 0

    def admit(self, holder: object, count: int) -> bool:
        """Note how much one holder keeps now, and tell whether it may: unless all keep too much, and this one more than its part.

        Args:
            holder: Told from others by its identity; held until its count is 0.
            count: How much it keeps.
        """
        with self._lock:
            self._total += count - self._counts.pop(holder, 0)
            if count:
                self._counts[holder] = count
            return self._total <= self._most or count * len(self._counts) <= self._most
