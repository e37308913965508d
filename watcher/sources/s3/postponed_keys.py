"""Keys that are inspected at a later time: they rest, or could not be inspected. Pure."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintedKey

POSTPONED_KEYS_MAX = 10_000
"""Maximum number of postponed keys of one bucket, ten megabytes of the longest."""


class PostponedKeys:
    """Keys by the time at which they are due. For one thread, but for ``len``.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[bytes, tuple[float, HintedKey]] = {}
        self._order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._keys)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the keys."""
        return iter(self._keys)

    @property
    def is_full(self) -> bool:
        """Whether no more keys should be postponed."""
        return len(self._keys) >= POSTPONED_KEYS_MAX

    def put(self, hinted: HintedKey, delay_s: float = 0.0) -> None:
        """Postpone a key that is not postponed."""
        due_s = self._clock.monotonic() + delay_s
        self._keys[hinted.key] = due_s, hinted
        heappush(self._order, (due_s, hinted.key))

    def rests(self, key: bytes) -> bool:
        """Return whether a key is postponed until its object has rested."""
        hinted = self._keys[key][1] if key in self._keys else None
        return hinted is not None and hinted.sight is not None and not hinted.failures

    def pop(self, key: bytes) -> HintedKey | None:
        """Remove and return a key; None if it is not postponed."""
        return self._keys.pop(key, (0.0, None))[1]

    def pop_due(self) -> HintedKey | None:
        """Remove and return a key that is due; None if none is."""
        if self.due_s() > self._clock.monotonic():
            return None
        return self.pop(heappop(self._order)[1])

    def due_s(self) -> float:
        """Return when the next key is due, on the monotonic clock; infinity if there is none."""
        while self._order:
            due_s, key = self._order[0]
            if key in self._keys and self._keys[key][0] == due_s:
                return due_s
            # It was removed, and perhaps postponed again.
            heappop(self._order)
        return float("inf")
