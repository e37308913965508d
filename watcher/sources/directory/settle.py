"""When a hinted path is ready to be looked at. Pure: time is a parameter.

A path is ready at once when its writer closed it or it was renamed into place. A path that is being written, or that vanished and may
be about to come back (tools that replace a file by unlink and create), is ready when nothing was heard of it for ``settle``; one that
never gets quiet is ready at a capped interval all the same.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

CAP_FACTOR = 20
CAP_MIN_S = 10.0
"""A path that never gets quiet is ready after ``max(CAP_MIN_S, CAP_FACTOR * settle)`` seconds."""

MIN_PLACES = 1000
"""So many places of the queue may be out of date, or more where more paths wait."""


@dataclass(slots=True)
class Hint:
    """What is known of a path that waits.

    Attributes:
        first_s: When the path began to wait.
        due_s: When it is ready, if nothing more is heard.
        is_notified: A notification spoke of it, of its content unless ``attributes_only``; otherwise a reading wants it looked at again.
        attributes_only: Notifications spoke of nothing but its attributes.
        is_quiet_wanted: It is not to be looked at before it is quiet, since its content may be changing.
        ctime_ns: The change time by which a reading found nothing but that to have changed.
        ticket: The number of its place in the queue; a place with another number is out of date.
    """

    first_s: float
    due_s: float
    is_notified: bool = True
    attributes_only: bool = False
    is_quiet_wanted: bool = True
    ctime_ns: int | None = None
    ticket: int = -1


class Settle:
    """The paths that wait until they are ready; times are seconds of one monotonic clock.

    The queue holds a place for each path. A path that is heard of again keeps its place and is put back when its turn comes too early, so
    a file that is written a thousand times a second costs no more than one that is written once. One that is ready earlier than it was to
    be gets another place; those that are out of date are removed when they are the most.
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

    def __contains__(self, path: bytes) -> bool:
        """Tell whether the path waits because its content may be changing."""
        hint = self._hints.get(path)
        return hint is not None and hint.is_quiet_wanted

    def unsettled(self, path: bytes, now_s: float) -> None:
        """Note that a path was written, or vanished: ready when quiet."""
        hint = self._hints.get(path)
        if hint is None or not hint.is_quiet_wanted:
            self._put(path, Hint(now_s, now_s + self._settle_s))
        else:
            hint.is_notified, hint.attributes_only = True, False
            self._delay(hint, now_s)

    def doubt(self, path: bytes, now_s: float, ctime_ns: int | None = None) -> None:
        """Note that a reading wants a path looked at once it is quiet; what notifications say of it counts for more.

        Args:
            path: Which.
            now_s: The time.
            ctime_ns: Its change time, if nothing else about it has changed.
        """
        hint = self._hints.get(path)
        if hint is None:
            self._put(
                path, Hint(now_s, now_s + self._settle_s, is_notified=False, ctime_ns=ctime_ns)
            )
        elif not hint.is_quiet_wanted:
            hint.is_quiet_wanted = True
            self._delay(hint, now_s)

    def again(self, path: bytes, hint: Hint, now_s: float) -> bool:
        """Let a path that was taken wait once more, and tell whether it may: not when it has waited as long as the cap allows."""
        if path in self._hints or now_s >= hint.first_s + self._cap_s:
            return False
        self._delay(hint, now_s)
        self._put(path, hint)
        return True

    def ready(self, path: bytes, now_s: float) -> None:
        """Note that a path was closed by its writer or renamed into place: ready at once."""
        self._put(path, Hint(now_s, now_s))

    def attributes(self, path: bytes, now_s: float) -> None:
        """Note that a path's attributes changed: ready at once, unless it waits for something else."""
        hint = self._hints.get(path)
        if hint is None:
            self._put(path, Hint(now_s, now_s, attributes_only=True, is_quiet_wanted=False))
        elif not hint.is_notified:
            hint.is_notified = hint.attributes_only = True

    def take(self, now_s: float, limit: int) -> list[tuple[bytes, Hint]]:
        """Remove and return up to ``limit`` paths that are ready, in the order in which they became so."""
        taken: list[tuple[bytes, Hint]] = []
        while len(taken) < limit and (due_s := self.due_s()) is not None and due_s <= now_s:
            _, _, path = heapq.heappop(self._queue)
            taken.append((path, self._hints.pop(path)))
        return taken

    def due_s(self) -> float | None:
        """Return when the next path is ready; None when none waits."""
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
        """Drop everything."""
        self._hints.clear()
        self._queue.clear()

    def _delay(self, hint: Hint, now_s: float) -> None:
        hint.due_s = min(now_s + self._settle_s, hint.first_s + self._cap_s)

    def _put(self, path: bytes, hint: Hint) -> None:
        hint.ticket = next(self._tickets)
        self._hints[path] = hint
        heapq.heappush(self._queue, (hint.due_s, hint.ticket, path))
        if len(self._queue) > MIN_PLACES + 2 * len(self._hints):
            self._queue = [(each.due_s, each.ticket, path) for path, each in self._hints.items()]
            heapq.heapify(self._queue)
