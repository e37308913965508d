"""Decides when a hinted path is due to be inspected. Pure: time is a parameter.

A path is due at once when its writer closed it or it was renamed into place. A path that is being
written, or that vanished and may come back (tools that replace a file by unlink and create), is due
when it was quiet for ``settle`` seconds. A path that is never quiet is due at a capped interval.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CAP_FACTOR = 20
CAP_MIN_S = 10.0
"""A path that is never quiet is due after ``max(CAP_MIN_S, CAP_FACTOR * settle)`` seconds."""

MIN_QUEUE_PLACES = 1000
"""Outdated places that the queue may always hold, so that a short queue is rarely rebuilt."""


@dataclass(slots=True)
class Hint:
    """A waiting path.

    Attributes:
        first_s: When the path began to wait.
        due_s: When it is due, unless it is written again.
        is_notified: A notification named it; otherwise a scan or an inspection wants a recheck.
        attributes_only: Its notifications named nothing but attributes.
        needs_quiet: Its content may be changing, so it is not inspected before it is quiet.
        expected_ctime_ns: The change time in which alone it differed from the index, or None.
        ticket: The number of its place in the queue; a place with another number is outdated.
    """

    first_s: float
    due_s: float
    is_notified: bool = True
    attributes_only: bool = False
    needs_quiet: bool = True
    expected_ctime_ns: int | None = None
    ticket: int = -1


class Settle:
    """The paths that wait to be inspected; times are seconds of one monotonic clock.

    The queue holds one place for each path. A path that is written again keeps its place and is
    put back when its turn comes too early, so a file that is written a thousand times a second
    costs no more than one that is written once. A path that becomes due earlier gets another
    place; outdated places are removed once they are the majority.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._cap_s = max(CAP_MIN_S, CAP_FACTOR * settle_s)
        self._hints: dict[bytes, Hint] = {}
        self._queue: list[tuple[float, int, bytes]] = []
        self._tickets = count()

    def __len__(self) -> int:
        """Return the number of waiting paths."""
        return len(self._hints)

    def waiting_among(self, paths: Iterable[bytes]) -> set[bytes]:
        """Return those of the paths that wait because their content may be changing."""
        hints = self._hints
        if not hints:
            return set()
        return {
            path for path in paths if (hint := hints.get(path)) is not None and hint.needs_quiet
        }

    def add_written(self, path: bytes, now_s: float) -> None:
        """Add a path that was written or vanished: due when quiet."""
        hint = self._hints.get(path)
        if hint is None or not hint.needs_quiet:
            self._put(path, Hint(now_s, now_s + self._settle_s))
        else:
            hint.is_notified, hint.attributes_only = True, False
            self._delay(hint, now_s)

    def add_closed(self, path: bytes, now_s: float) -> None:
        """Add a path that was closed by its writer or renamed into place: due at once."""
        self._put(path, Hint(now_s, now_s))

    def add_attributes(self, path: bytes, now_s: float) -> None:
        """Add a path whose attributes changed: due at once, unless it waits for something else."""
        hint = self._hints.get(path)
        if hint is None:
            self._put(path, Hint(now_s, now_s, attributes_only=True, needs_quiet=False))
        elif not hint.is_notified:
            hint.is_notified = hint.attributes_only = True

    def add_recheck(self, path: bytes, now_s: float, expected_ctime_ns: int | None = None) -> None:
        """Add a path to be inspected again: due when quiet; a notification of it takes precedence.

        Args:
            path: The path.
            now_s: The time.
            expected_ctime_ns: Its change time, if it differs from the index in nothing else.
        """
        hint = self._hints.get(path)
        if hint is None:
            due_s = now_s + self._settle_s
            self._put(
                path, Hint(now_s, due_s, is_notified=False, expected_ctime_ns=expected_ctime_ns)
            )
        elif not hint.needs_quiet:
            hint.needs_quiet = True
            self._delay(hint, now_s)

    def put_back(self, path: bytes, hint: Hint, now_s: float) -> bool:
        """Let a taken path wait again; return whether it may, which the cap ends."""
        if path in self._hints or now_s >= hint.first_s + self._cap_s:
            return False
        self._delay(hint, now_s)
        self._put(path, hint)
        return True

    def take(self, now_s: float, limit: int) -> dict[bytes, Hint]:
        """Remove and return up to ``limit`` due paths, in the order in which they became due."""
        taken: dict[bytes, Hint] = {}
        while len(taken) < limit and (due_s := self.due_s()) is not None and due_s <= now_s:
            _, _, path = heapq.heappop(self._queue)
            taken[path] = self._hints.pop(path)
        return taken

    def due_s(self) -> float | None:
        """Return when the next path is due; None if none waits."""
        while self._queue:
            due_s, ticket, path = self._queue[0]
            hint = self._hints.get(path)
            if hint is None or hint.ticket != ticket:
                heapq.heappop(self._queue)
            elif hint.due_s > due_s:
                heapq.heapreplace(self._queue, (hint.due_s, ticket, path))
            else:
                return due_s
        return None

    def clear(self) -> None:
        """Remove everything."""
        self._hints.clear()
        self._queue.clear()

    def _delay(self, hint: Hint, now_s: float) -> None:
        hint.due_s = min(now_s + self._settle_s, hint.first_s + self._cap_s)

    def _put(self, path: bytes, hint: Hint) -> None:
        hint.ticket = next(self._tickets)
        self._hints[path] = hint
        heapq.heappush(self._queue, (hint.due_s, hint.ticket, path))
        if len(self._queue) > MIN_QUEUE_PLACES + 2 * len(self._hints):
            self._queue = [(each.due_s, each.ticket, path) for path, each in self._hints.items()]
            heapq.heapify(self._queue)
