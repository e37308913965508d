"""The keys that were hinted and wait to be inspected, and the messages that wait for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from watcher.sources.s3.hints.shapes import KEY_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from watcher.clock import Clock
    from watcher.filters.key_window import KeyWindow
    from watcher.sources.s3.quiet import Sight

WAITING_KEYS_MAX = 10_000
"""Maximum number of keys that wait in one inbox; ten megabytes of the longest keys."""


class Ticket(Protocol):
    """What is to be done for a message once its keys were looked at.

    One of the two methods is called, once, from any thread: also before ``HintInbox.put`` returns.
    """

    def done(self) -> None:
        """Note that the comparison of all keys of the message is committed."""

    def fail(self) -> None:
        """Note that a key could not be inspected: the message is left to its queue."""


class OpenTicket:
    """A ticket, and how many of its keys are not settled. For the thread of the watch.

    Args:
        ticket: The ticket.
        keys: Number of its keys.
    """

    __slots__ = ("_open", "_ticket")

    def __init__(self, ticket: Ticket, keys: int) -> None:
        self._ticket = ticket
        self._open = keys

    def settle(self) -> None:
        """Note that the comparison of one more key is committed."""
        self._open -= 1
        if self._open == 0:
            self._ticket.done()

    def fail(self) -> None:
        """Note that one of its keys could not be inspected."""
        if self._open > 0:
            self._open = 0
            self._ticket.fail()


@dataclass(slots=True)
class HintedKey:
    """A key to be inspected.

    Attributes:
        key: The key.
        since_s: When it was first hinted, on the monotonic clock.
        tickets: Those that wait for it.
        failures: How often it could not be inspected.
        sight: How the object was when it was inspected last; None for an object that need not rest.
        is_outdated: What is being found out about it is older than what is known by now.
    """

    key: bytes
    since_s: float
    tickets: list[OpenTicket] = field(default_factory=list)
    failures: int = 0
    sight: Sight | None = None
    is_outdated: bool = False

    def merge(self, other: HintedKey) -> None:
        """Take over what another one knows and who waits for it; its key is the same."""
        self.tickets += other.tickets
        self.since_s = min(self.since_s, other.since_s)
        self.failures = max(self.failures, other.failures)
        self.sight = self.sight or other.sight

    def settle(self) -> None:
        """Note that its comparison is committed."""
        for ticket in self.tickets:
            ticket.settle()
        self.tickets.clear()

    def fail(self) -> None:
        """Note that it could not be inspected."""
        for ticket in self.tickets:
            ticket.fail()
        self.tickets.clear()


class HintInbox:
    """Keys that wait, each once however many hints there were. Thread-safe.

    Keys that cannot be in the place never wait: they are settled at once.

    Args:
        place: The keys that belong to the place.
        wake: Called from the thread that puts keys in.
        clock: The time.
    """

    def __init__(self, place: KeyWindow, wake: Callable[[], None], clock: Clock) -> None:
        self._place = place
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[bytes, HintedKey] = {}
        self._taken = 0
        self._has_overflowed = False

    def __len__(self) -> int:
        """Return the number of keys that wait."""
        return len(self._waiting)

    @property
    def keys(self) -> int:
        """Number of keys in the place that were put in since the start."""
        return self._taken

    @property
    def oldest_since_s(self) -> float | None:
        """When the key that waits longest was put in, on the monotonic clock; None for none."""
        with self._lock:
            first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_s

    def waiting(self) -> list[bytes]:
        """Return the keys that wait."""
        with self._lock:
            return list(self._waiting)

    def put(self, keys: Iterable[bytes], ticket: Ticket | None = None) -> bool:
        """Add keys, or none of them if they do not fit; return whether they were added.

        Args:
            keys: Keys to inspect.
            ticket: Notified once all of them are settled; None where nobody waits for that.
        """
        wanted = {key for key in keys if self._is_possible(key)}
        if not wanted:
            if ticket is not None:
                ticket.done()
            return True
        opened = None if ticket is None else OpenTicket(ticket, len(wanted))
        now_s = self._clock.monotonic()
        with self._lock:
            new = sum(key not in self._waiting for key in wanted)
            if len(self._waiting) + new > WAITING_KEYS_MAX:
                return False
            self._taken += len(wanted)
            for key in wanted:
                hinted = self._waiting.setdefault(key, HintedKey(key, now_s))
                if opened is not None:
                    hinted.tickets.append(opened)
        self._wake()
        return True

    def put_or_list(self, keys: Sequence[bytes]) -> None:
        """Add keys; if they do not fit, the place is listed instead."""
        if not self.put(keys):
            self.overflow()

    def overflow(self) -> None:
        """Have the place listed, since keys are forgotten."""
        self._has_overflowed = True
        self._wake()

    def take_overflow(self) -> bool:
        """Return whether keys were forgotten since the last call: the caller lists the place."""
        has_overflowed, self._has_overflowed = self._has_overflowed, False
        return has_overflowed

    def take(self, limit: int, busy: Collection[bytes] = ()) -> list[HintedKey]:
        """Remove and return the keys that wait longest.

        Args:
            limit: Maximum number.
            busy: Keys that are inspected now, and wait on until that is over.
        """
        with self._lock:
            free = (hinted for key, hinted in self._waiting.items() if key not in busy)
            taken = list(islice(free, limit))
            for hinted in taken:
                del self._waiting[hinted.key]
        return taken

    def _is_possible(self, key: bytes) -> bool:
        """Return whether there may be an object of the place at a key."""
        if not self._place.admits(key) or not 0 < len(key) <= KEY_MAX_BYTES or b"\0" in key:
            return False
        try:
            key.decode()
        except UnicodeDecodeError:
            return False
        return True
