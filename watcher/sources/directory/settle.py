"""Decides when a hinted path is inspected, and whether what is found there is complete. Pure.

Time is a parameter. A path that its writer closed, that was renamed into place or that got other
attributes is due after ``quiet``; one that was written, created or removed is due when it rested
for ``max(settle, quiet)``. Every touch of a path starts its time anew, and no touch of another
path does. What never rests is due ``max_wait`` after it began to wait.

What notifies nobody is *looked at* instead: two looks that agree, at least as far apart as the
entry has to rest, show that it is complete.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.model import Entry

EMPTY_REST_S = 5.0
"""Seconds for which an empty file rests that may have been created before its content comes."""

FOLLOW_MIN_S = 0.1
"""Minimum seconds between two looks at a file that is followed, where ``settle`` is 0."""

FOLLOWED_MAX = 10_000
"""Number of waiting paths above which no further file is followed; the safety scan finds it."""

MIN_QUEUE_PLACES = 1000
"""Outdated places that the queue may always hold, so that a short queue is rarely rebuilt."""


class Stage(Enum):
    """What is known about a waiting path."""

    CREATED = auto()
    """It appeared, and nobody wrote to it since: an open file, or one that was linked there."""
    WRITTEN = auto()
    """It was written to or truncated, and not closed since."""
    CLOSED = auto()
    """Its writer closed it, or it was renamed into place."""
    VANISHED = auto()
    """It was removed or renamed away, and may come back."""
    ATTRIBUTES = auto()
    """Nothing but its attributes changed."""
    FOUND = auto()
    """A scan or an inspection found it; its writes may have notified nobody."""
    FOLLOWED = auto()
    """It was reported, and may be written on through a descriptor that notifies nobody."""


OPEN_STAGES = frozenset({Stage.CREATED, Stage.WRITTEN})
"""Stages of files whose writer has not closed them, as far as notifications show."""

_UNHURRIED = frozenset({Stage.ATTRIBUTES, Stage.FOLLOWED})
"""Stages of paths that may be reported as they are when a scan meets them."""


_KNOWN_CONTENT = frozenset({Stage.WRITTEN, Stage.CLOSED})
"""Stages of files that were not linked there: their writes are notified."""


@dataclass(slots=True)
class Hint:
    """A waiting path.

    Attributes:
        stage: What is known about it.
        first_s: When the path began to wait.
        due_s: When it is due, unless it is touched again.
        is_notified: A notification named it; otherwise a scan or an inspection wants a recheck.
        attributes_only: Its notifications named nothing but attributes.
        is_open: Its last writer has not closed it, as far as notifications show.
        look: The entry as it was last looked at, or None.
        rested_s: When ``look`` was first taken.
        expected_ctime_ns: The change time in which alone it differed from the index, or None.
        is_first_look: Nothing more is known than that it may have changed, so if nothing is there
            it may be about to come back.
        ticket: The number of its place in the queue; a place with another number is outdated.
    """

    stage: Stage
    first_s: float
    due_s: float
    is_notified: bool = True
    attributes_only: bool = False
    is_open: bool = False
    look: Entry | None = None
    rested_s: float = 0.0
    expected_ctime_ns: int | None = None
    is_first_look: bool = False
    ticket: int = -1


class Settle:
    """The paths that wait to be inspected; times are seconds of one monotonic clock.

    The queue holds one place for each path. A path that is touched again keeps its place and is
    put back when its turn comes too early, so a file that is written a thousand times a second
    costs no more than one that is written once. A path that becomes due earlier gets another
    place; outdated places are removed once they are the majority.

    Args:
        settle_s: Seconds without a write after which a file that is still open is complete.
        quiet_s: Seconds without a touch after which a path is complete.
        max_wait_s: Seconds after which a path that never rests is due.
        follow_s: Seconds for which a file must rest that may be written without a notification,
            until it is no longer followed.

    Attributes:
        rest_s: Seconds for which a path rests that nobody closed.
    """

    def __init__(self, settle_s: float, quiet_s: float, max_wait_s: float, follow_s: float) -> None:
        self.rest_s = max(settle_s, quiet_s)
        self._quiet_s = quiet_s
        self._max_wait_s = max_wait_s
        self._follow_s = follow_s
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
            path
            for path in paths
            if (hint := hints.get(path)) is not None and hint.stage not in _UNHURRIED
        }

    def unsettled(self) -> Iterator[bytes]:
        """Yield the paths that wait, but those that were reported and are only followed."""
        for path, hint in self._hints.items():
            if hint.stage is not Stage.FOLLOWED:
                yield path

    # Notifications

    def add_created(self, path: bytes, now_s: float) -> None:
        """Add a path at which something was created or linked: due when it rested."""
        hint = self._touch(path, Stage.CREATED, now_s, self.rest_s)
        hint.is_open = True

    def add_written(self, path: bytes, now_s: float) -> None:
        """Add a path that was written to: due when it rested."""
        hint = self._touch(path, Stage.WRITTEN, now_s, self.rest_s)
        hint.is_open = True

    def add_vanished(self, path: bytes, now_s: float) -> None:
        """Add a path that was removed or renamed away: due when it had the time to come back."""
        self._touch(path, Stage.VANISHED, now_s, self.rest_s)

    def add_closed(self, path: bytes, now_s: float) -> None:
        """Add a path that was closed by its writer or renamed into place: due when quiet."""
        hint = self._touch(path, Stage.CLOSED, now_s, self._quiet_s)
        hint.is_open = False

    def add_attributes(self, path: bytes, now_s: float) -> None:
        """Add a path whose attributes changed: due when quiet; one that waits is touched."""
        hint = self._hints.get(path)
        if hint is None or hint.stage is Stage.FOLLOWED:
            self._touch(path, Stage.ATTRIBUTES, now_s, self._quiet_s).attributes_only = True
            return
        if not hint.is_notified:
            hint.is_notified = hint.attributes_only = True
        is_quick = hint.stage in {Stage.CLOSED, Stage.ATTRIBUTES}
        self._delay(path, hint, now_s, self._quiet_s if is_quick else self.rest_s)

    def add_urgent(self, path: bytes, now_s: float) -> None:
        """Add a path that is due now, whatever is known of its writer."""
        self._put(path, Hint(Stage.CLOSED, now_s, now_s))

    def add_renamed(self, old_path: bytes, path: bytes, now_s: float) -> None:
        """Add a path that something was renamed to, which waits on if its writer has it open."""
        former = self._hints.get(old_path)
        if former is not None and former.is_open:
            self.add_written(path, now_s)
            self._hints[path].first_s = former.first_s
        else:
            self.add_closed(path, now_s)
        self.add_vanished(old_path, now_s)
        self._hints[old_path].is_open = False

    # Scans and inspections

    def add_recheck(self, path: bytes, now_s: float, expected_ctime_ns: int | None = None) -> None:
        """Add a path to be inspected again: due when it rested; a notification takes precedence.

        Args:
            path: The path.
            now_s: The time.
            expected_ctime_ns: Its change time, if it differs from the index in nothing else.
        """
        hint = self._hints.get(path)
        if hint is None or hint.stage is Stage.FOLLOWED:
            due_s = now_s + self.rest_s
            self._put(
                path,
                Hint(
                    Stage.FOUND,
                    now_s,
                    due_s,
                    is_notified=False,
                    expected_ctime_ns=expected_ctime_ns,
                ),
            )
        elif hint.stage is Stage.ATTRIBUTES:
            hint.stage = Stage.FOUND
            self._delay(path, hint, now_s, self.rest_s)

    def add_first_look(self, path: bytes, now_s: float) -> None:
        """Add a path that may have changed, to be looked at now; one that waits is looked at then.

        It is for notifications that say neither what happened nor whether it is over.
        """
        hint = self._hints.get(path)
        if hint is None or hint.stage in _UNHURRIED:
            hint = Hint(Stage.FOUND, now_s, now_s, is_notified=False, is_first_look=True)
            self._put(path, hint)

    def add_look(self, entry: Entry, now_s: float, rest_s: float) -> None:
        """Add an entry that differs from the index: due when it may be seen to have rested."""
        hint = self._hints.get(entry.path)
        if hint is None or hint.stage in _UNHURRIED:
            hint = Hint(Stage.FOUND, now_s, now_s, is_notified=False)
            self._wait_on(entry.path, hint, entry, now_s, rest_s)

    # Output

    def take(self, now_s: float, limit: int) -> dict[bytes, Hint]:
        """Remove and return up to ``limit`` due paths, in the order in which they became due."""
        taken: dict[bytes, Hint] = {}
        while len(taken) < limit and (due_s := self.due_s()) is not None and due_s <= now_s:
            _, _, path = heapq.heappop(self._queue)
            taken[path] = self._hints.pop(path)
        return taken

    def is_complete(  # noqa: PLR0911 - one return for each stage reads best
        self, hint: Hint, entry: Entry, now_s: float, rest_s: float, *, needs_looks: bool
    ) -> bool:
        """Return whether the entry found at a due path is to be reported; else it waits on.

        Args:
            hint: The hint that ``take`` returned for the path.
            entry: The entry that is there.
            now_s: The time.
            rest_s: Seconds between two looks that must agree.
            needs_looks: Writes to the file notify nobody, so that only looks show whether it rests.
        """
        if hint.stage is Stage.FOLLOWED:
            self._follow(hint, entry, now_s, rest_s)
            return False
        if entry.path in self._hints:
            return False  # touched since it was taken
        if now_s >= hint.first_s + self._max_wait_s:
            return True
        is_linked = hint.stage is Stage.CREATED and entry.size > 0
        if needs_looks or is_linked or hint.look is not None:
            if not _agree(hint.look, entry):
                self._wait_on(entry.path, hint, entry, now_s, rest_s)
                return False
            if is_linked:
                self._begin_to_follow(entry, now_s)
            return True
        if entry.size == 0 and hint.stage in OPEN_STAGES:
            hint.due_s = hint.first_s + self._max_wait_s
            self._put(entry.path, hint)
            return False
        return True

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

    def _touch(self, path: bytes, stage: Stage, now_s: float, rest_s: float) -> Hint:
        """Let a path wait from now on, as a notification shows it."""
        hint = self._hints.get(path)
        if hint is None or hint.stage in _UNHURRIED:
            hint = Hint(stage, now_s, now_s + rest_s)
            self._put(path, hint)
            return hint
        if stage is not Stage.CREATED or hint.stage not in _KNOWN_CONTENT:
            hint.stage = stage
        hint.is_notified, hint.attributes_only, hint.look = True, False, None
        self._delay(path, hint, now_s, rest_s)
        return hint

    def _delay(self, path: bytes, hint: Hint, now_s: float, rest_s: float) -> None:
        """Let a path wait until it rested from now on."""
        due_s = min(now_s + rest_s, hint.first_s + self._max_wait_s)
        is_earlier, hint.due_s = due_s < hint.due_s, due_s
        if is_earlier:
            self._put(path, hint)

    def _wait_on(self, path: bytes, hint: Hint, look: Entry, now_s: float, rest_s: float) -> None:
        """Let an entry that was looked at wait until it may be looked at again."""
        hint.look, hint.rested_s = look, now_s
        hint.due_s = min(now_s + rest_s, hint.first_s + self._max_wait_s)
        self._put(path, hint)

    def _begin_to_follow(self, entry: Entry, now_s: float) -> None:
        if len(self._hints) < FOLLOWED_MAX:
            hint = Hint(Stage.FOLLOWED, now_s, now_s, is_notified=False)
            self._wait_on(entry.path, hint, entry, now_s, max(self.rest_s, FOLLOW_MIN_S))

    def _follow(self, hint: Hint, entry: Entry, now_s: float, rest_s: float) -> None:
        """Look at a reported file ever more rarely, until it rested for long enough."""
        if entry.path in self._hints:
            return
        if not _agree(hint.look, entry):
            self._wait_on(entry.path, Hint(Stage.CREATED, now_s, now_s), entry, now_s, rest_s)
        elif (rested_s := now_s - hint.rested_s) < self._follow_s:
            hint.due_s = now_s + min(max(rested_s, FOLLOW_MIN_S), self._follow_s)
            self._put(entry.path, hint)

    def _put(self, path: bytes, hint: Hint) -> None:
        hint.ticket = next(self._tickets)
        self._hints[path] = hint
        heapq.heappush(self._queue, (hint.due_s, hint.ticket, path))
        if len(self._queue) > MIN_QUEUE_PLACES + 2 * len(self._hints):
            self._queue = [(each.due_s, each.ticket, path) for path, each in self._hints.items()]
            heapq.heapify(self._queue)


def _agree(look: Entry | None, entry: Entry) -> bool:
    """Return whether two looks at a path show the same file, which nobody has written to."""
    # The inode is not among them: some network file systems make it up anew.
    return look is not None and (look.size, look.mtime_ns, look.ctime_ns) == (
        entry.size,
        entry.mtime_ns,
        entry.ctime_ns,
    )
