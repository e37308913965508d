"""The keys that were hinted and wait to be inspected. Thread-safe."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WAITING_KEYS_MAX = 10_000
"""Maximum number of keys that wait in one inbox; ten megabytes of the longest keys."""


class Ticket(Protocol):
    """What is to be done for a message once its keys were looked at. Called from any thread."""

    def done(self) -> None:
        """Note that the comparison of all keys of the message is committed."""

    def fail(self) -> None:
        """Note that a key could not be inspected: the message is left to its queue."""


class HintInbox:
    """Keys that wait, each once however many hints there were, with the tickets of their hints.

    Args:
        wake: Called from the thread that puts keys in.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[bytes, list[Ticket]] = {}

    def __len__(self) -> int:
        """Return the number of keys that wait."""
        return len(self._waiting)

    def put(self, keys: Sequence[bytes], ticket: Ticket | None = None) -> bool:
        """Add keys, or none of them if they do not fit; return whether they were added.

        Args:
            keys: Keys to inspect.
            ticket: Notified once all of them are; None where nobody waits for that.
        """
        with self._lock:
            if len(self._waiting) + len(keys) > WAITING_KEYS_MAX:
                return False
            for key in keys:
                tickets = self._waiting.setdefault(key, [])
                if ticket is not None:
                    tickets.append(ticket)
        self._wake()
        return True
