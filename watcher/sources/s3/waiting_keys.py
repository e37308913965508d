"""Decides which hinted key is inspected next: one of the inbox, or one that was postponed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.s3.postponed_keys import PostponedKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintedKey, HintInbox


class WaitingKeys:
    """The keys that wait to be inspected. For one thread, but for ``len``.

    Args:
        inbox: Where hints arrive.
        clock: The time.
    """

    def __init__(self, inbox: HintInbox, clock: Clock) -> None:
        self._inbox = inbox
        self._postponed = PostponedKeys(clock)
        self._clock = clock
        self._is_postponed_next = True

    def __len__(self) -> int:
        """Return the number of keys; one that was hinted again since it was postponed is two."""
        return len(self._inbox) + len(self._postponed)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the keys."""
        yield from self._inbox.waiting()
        yield from self._postponed

    def take(self, busy: Mapping[bytes, HintedKey]) -> HintedKey | None:
        """Remove and return the key that is to be inspected next; None if none is due.

        Those in the inbox and postponed ones take turns, so that neither delay the others.

        Args:
            busy: Keys that are inspected now, and wait on until that is over.
        """
        self._is_postponed_next = not self._is_postponed_next
        if self._is_postponed_next:
            return self._take_postponed(busy) or self._take_hinted(busy)
        return self._take_hinted(busy) or self._take_postponed(busy)

    def postpone(self, hinted: HintedKey, delay_s: float = 0.0) -> None:
        """Have a key wait for seconds; where too many do, its messages fail and all is listed."""
        if (former := self._postponed.pop(hinted.key)) is not None:
            hinted.merge(former)
        if self._postponed.is_full:
            hinted.fail()
            self._inbox.overflow()
        else:
            self._postponed.put(hinted, delay_s)

    @property
    def has_postponed(self) -> bool:
        """Whether any key is postponed."""
        return bool(self._postponed)

    def rests(self, key: bytes) -> bool:
        """Return whether a key is postponed until its object has rested."""
        return self._postponed.rests(key)

    def due_s(self, *, is_idle: bool) -> float:
        """Return when a key is due, on the monotonic clock; infinity if none is.

        Args:
            is_idle: No key is inspected now; else the inbox is looked at when that is over.
        """
        if len(self._inbox) and is_idle:
            return self._clock.monotonic()
        return self._postponed.due_s()

    def _take_postponed(self, busy: Mapping[bytes, HintedKey]) -> HintedKey | None:
        while (hinted := self._postponed.pop_due()) is not None:
            if (under_way := busy.get(hinted.key)) is None:
                return hinted
            # It has rested since that request was sent, whose response is not used.
            under_way.merge(hinted)
            under_way.is_outdated = True
        return None

    def _take_hinted(self, busy: Mapping[bytes, HintedKey]) -> HintedKey | None:
        for hinted in self._inbox.take(1, busy):
            if (former := self._postponed.pop(hinted.key)) is not None:
                hinted.merge(former)
            return hinted
        return None
