"""Decides whether an object has rested: listings at least ``quiet`` apart agree on it. Pure.

Gateways over file systems list files that are still being written. Such an object differs from
listing to listing, and is reported when it no longer does. Only the watch's own clock is asked.
What waits is in memory: a new process meets it again, and lets it rest anew.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, NamedTuple

from watcher.clock import NS_PER_S
from watcher.limits.fair_share import FairShare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock
    from watcher.model import Entry

WAITING_MAX = 100_000
"""Maximum number of objects of a bucket that rest at a time; each takes about 400 bytes.

Further ones begin to rest once there is room.
"""
ALL_WAITING_MAX = 250_000
"""Maximum number of resting objects of all buckets, above which the largest take no more."""
_ALL_BUCKETS = FairShare(ALL_WAITING_MAX)


class Sight(NamedTuple):
    """An object as it was listed.

    Attributes:
        state: Its etag, size and last-modified, see ``state_of``.
        since_s: When it was first seen in this state, on the monotonic clock.
    """

    state: tuple[str, int, int]
    since_s: float


class QuietCheck:
    """The objects of one bucket that differ from the index and have not rested. For one thread.

    Args:
        quiet_s: Seconds between two listings that must agree on an object; 0 lets none wait.
        clock: The clock of the server.
        all_buckets: What the objects of all buckets share.
    """

    def __init__(self, quiet_s: float, clock: Clock, all_buckets: FairShare = _ALL_BUCKETS) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._all_buckets = all_buckets
        self._share = object()
        # A bucket is closed whenever it cannot be read, and what waits must outlast that.
        weakref.finalize(self, all_buckets.admit, self._share, 0).atexit = False
        self._begun_s = 0.0
        self._former: dict[bytes, Sight] = {}
        self._met: dict[bytes, Sight] = {}
        self._has_more = False

    def __len__(self) -> int:
        """Return the number of objects that rest."""
        return len(self._former) + len(self._met)

    @property
    def is_waiting(self) -> bool:
        """Whether a listing has to decide about objects that rest."""
        return self._has_more or bool(self._met)

    def unsettled(self) -> Iterator[bytes]:
        """Yield the keys that rest; an empty one if there was no room for others."""
        if self._has_more:
            yield b""
        yield from self._met

    def begin_listing(self, *, is_former_complete: bool) -> None:
        """Begin a new listing, before its first request.

        Args:
            is_former_complete: The listing before was read to its end. Objects that it did not meet
                in the state that was known of them are gone, or as the index has them.
        """
        self._former = self._met if is_former_complete else self._former | self._met
        self._met, self._has_more = {}, False
        self._begun_s = self._clock.monotonic()
        self._all_buckets.admit(self._share, len(self))

    def sort_out(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the objects that have rested; the others wait for a later listing.

        Args:
            entries: Objects of the present listing that differ from the index.
        """
        if not self._quiet_s:
            return list(entries)
        # An object was listed after the begin of this listing, and before now.
        now_s = self._clock.monotonic()
        rested: list[Entry] = []
        for entry in entries:
            state = state_of(entry)
            sight = self._take(entry.path)
            if sight is None or sight.state != state:
                sight = Sight(state, now_s)
            if self._begun_s - sight.since_s >= self._quiet_s:
                rested.append(entry)
            elif len(self) < WAITING_MAX and self._all_buckets.admit(self._share, len(self) + 1):
                self._met[entry.path] = sight
            else:
                self._has_more = True
        self._all_buckets.admit(self._share, len(self))
        return rested

    def forget(self, paths: Iterable[bytes]) -> None:
        """Forget objects that were compared otherwise than by a listing."""
        for path in paths:
            self._take(path)

    def _take(self, path: bytes) -> Sight | None:
        """Remove and return what is known of an object; None if nothing is."""
        return self._met.pop(path, None) or self._former.pop(path, None)


def state_of(entry: Entry) -> tuple[str, int, int]:
    """Return etag, size and last-modified, with an etag in whole seconds.

    Some stores write the same moment with more digits in one answer than in another.
    """
    time = entry.mtime_ns // NS_PER_S if entry.etag else entry.mtime_ns
    return entry.etag, entry.size, time
