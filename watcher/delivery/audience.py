"""The streams of one watch: who is told of news, and how far all of them have come. Safe between threads; knows nothing of gRPC."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable  # noqa: TC003 - the fields of a NamedTuple
from typing import NamedTuple

from watcher.delivery.position import AckPosition, StreamPosition


class Subscriber(NamedTuple):
    """How a stream is reached; see ``Audience.join``."""

    tell: Callable[[], None]
    dismiss: Callable[[], None]


class Audience:
    """The connected streams of a watch.

    Args:
        delivered_before_seq: Everything up to it may have been written in an earlier run.
        ack_timeout_s: After so many seconds without an acknowledgement an event is written again; None where time confirms.

    Attributes:
        ack_timeout_s: The same.
    """

    def __init__(self, delivered_before_seq: int = 0, ack_timeout_s: float | None = None) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[StreamPosition, Subscriber] = {}
        self._told_seq = delivered_before_seq
        self.ack_timeout_s = ack_timeout_s
        self._written = 0
        self._rewritten = 0
        self._blocked_s = 0.0

    def __len__(self) -> int:
        """Return how many streams are connected."""
        return len(self._listeners)

    def join(
        self, seq: int, tell: Callable[[], None], dismiss: Callable[[], None]
    ) -> StreamPosition:
        """Connect a stream that begins after a sequence number.

        Args:
            seq: Everything up to it is confirmed.
            tell: Called from any thread when there is news; returns at once.
            dismiss: Called likewise when the stream is to end.
        """
        with self._lock:
            delivered_before_seq = max(
                (position.written_seq for position in self._listeners), default=0
            )
            self._told_seq = max(self._told_seq, delivered_before_seq)
            position = (
                StreamPosition(seq, self._told_seq)
                if self.ack_timeout_s is None
                else AckPosition(seq, self._told_seq, self.ack_timeout_s)
            )
            self._listeners[position] = Subscriber(tell, dismiss)
        return position

    def leave(self, position: StreamPosition) -> None:
        """Disconnect a stream; its position no longer counts."""
        with self._lock:
            if self._listeners.pop(position, None) is not None:
                self._told_seq = max(self._told_seq, position.written_seq)
                self._written += position.written
                self._rewritten += position.rewritten
                self._blocked_s += position.blocked_s(time.monotonic())

    def tell(self) -> None:
        """Call every listener."""
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener.tell()

    def confirmed_seq(self, now_s: float, window_s: float) -> int | None:
        """Return the last sequence number that counts as delivered on every stream; None without streams."""
        with self._lock:
            return min(
                (position.confirmed_seq(now_s, window_s) for position in self._listeners),
                default=None,
            )

    def rewind(self, seq: int) -> None:
        """Have every stream go on after a sequence number that it has passed already."""
        with self._lock:
            for position in self._listeners:
                position.rewind(seq)

    def dismiss_stalled(self, now_s: float, window_s: float) -> int:
        """End the streams whose clients have not read for a window, if others have; return how many those are."""
        with self._lock:
            stalled = [
                listener
                for position, listener in self._listeners.items()
                if position.is_stalled(now_s, window_s)
            ]
            if len(stalled) == len(self._listeners):
                return 0
        for listener in stalled:
            listener.dismiss()
        return len(stalled)

    @property
    def written(self) -> int:
        """Payloads written since the start, to any stream."""
        with self._lock:
            return self._written + sum(position.written for position in self._listeners)

    @property
    def rewritten(self) -> int:
        """Those among them that had been written before, or may have been."""
        with self._lock:
            return self._rewritten + sum(position.rewritten for position in self._listeners)

    @property
    def blocked_s(self) -> float:
        """Seconds since the start in which flow control kept streams from writing, summed over them."""
        now_s = time.monotonic()
        with self._lock:
            return self._blocked_s + sum(position.blocked_s(now_s) for position in self._listeners)
