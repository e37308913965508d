"""The streams of one watch: who is told of news, and how far all of them have come. Safe between threads; knows nothing of gRPC."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from watcher.delivery import Position

if TYPE_CHECKING:
    from collections.abc import Callable


class Audience:
    """The connected streams of a watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[Position, Callable[[], None]] = {}

    def __len__(self) -> int:
        """Return how many streams are connected."""
        return len(self._listeners)

    def join(self, seq: int, listener: Callable[[], None]) -> Position:
        """Connect a stream that begins after a sequence number.

        Args:
            seq: Everything up to it is confirmed.
            listener: Called from any thread when there is news; returns at once.
        """
        position = Position(seq)
        with self._lock:
            self._listeners[position] = listener
        return position

    def leave(self, position: Position) -> None:
        """Disconnect a stream; its position no longer counts."""
        with self._lock:
            self._listeners.pop(position, None)

    def tell(self) -> None:
        """Call every listener."""
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener()

    def confirmed_seq(self, now_s: float, window_s: float) -> int | None:
        """Return the last sequence number that counts as delivered on every stream; None without streams."""
        with self._lock:
            return min((position.confirmed_seq(now_s, window_s) for position in self._listeners), default=None)
