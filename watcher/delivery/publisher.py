"""The publisher of one watch: brings its journal to the streams, and decides what is confirmed. The side of a watch that streams see.

Streams come and go from other threads than the watch's: they read payloads, and leave a position behind by which time confirms; or,
with ``confirm: ack``, somebody says of each payload that it has arrived.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from watcher.delivery.position import BLOCKED_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from watcher.delivery.audience import Audience
    from watcher.delivery.outbox import Outbox
    from watcher.delivery.position import StreamPosition
    from watcher.model import Payload
    from watcher.settings import WatchLimits
    from watcher.state.port import WatchStore

CONFIRM_INTERVAL_S = 1.0
EXPIRE_INTERVAL_S = 60.0


class Publisher:
    """What is said about one place, on its way. Safe between threads.

    Args:
        store: Has the journal and the cursor.
        outbox: Has the newest payloads in memory.
        audience: The streams.
        limits: What the server grants.
        wake: Called when something was confirmed that nobody waits for.
    """

    def __init__(
        self,
        store: WatchStore,
        outbox: Outbox,
        audience: Audience,
        limits: WatchLimits,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._audience = audience
        self._limits = limits
        self._wake = wake
        self._confirming = threading.Lock()
        self._confirm_due_s = 0.0
        self._expire_due_s = 0.0

    @property
    def streams(self) -> int:
        """How many streams are connected."""
        return len(self._audience)

    @property
    def depth(self) -> int:
        """Changes in the journal from the first that is not confirmed on."""
        return self._store.journal.depth

    @property
    def uid(self) -> str:
        """The first part of every event's id."""
        return self._store.uid

    @property
    def written(self) -> int:
        """Payloads written to streams since the start."""
        return self._audience.written

    @property
    def rewritten(self) -> int:
        """Those among them that had been written before, or may have been."""
        return self._audience.rewritten

    @property
    def blocked_s(self) -> float:
        """Seconds in which flow control kept streams from writing, summed over them."""
        return self._audience.blocked_s

    @property
    def oldest_at(self) -> float | None:
        """When the first payload that is not confirmed was committed, seconds since the epoch; None when all are."""
        return self._store.journal.oldest_at

    # For streams

    def join(
        self, listener: Callable[[], None], dismiss: Callable[[], None] = lambda: None
    ) -> StreamPosition:
        """Connect a stream.

        Args:
            listener: Called from any thread when there are new payloads or the watch has stopped; returns at once.
            dismiss: Called likewise when the stream is to end because it holds the others up.

        Returns:
            The stream's position: behind the last confirmed event, so what is not confirmed is sent again.
        """
        position = self._audience.join(self._store.journal.cursor, listener, dismiss)
        self._outbox.remember()
        return position

    def leave(self, position: StreamPosition) -> None:
        """Disconnect a stream; its position no longer counts."""
        self._audience.leave(position)
        if not self._audience:
            self._outbox.forget()
        self._wake()

    def payloads_in_memory(
        self, after_seq: int, *, limit: int, max_bytes: int
    ) -> list[Payload] | None:
        """Return payloads after a sequence number without touching the disk; None when that cannot be done."""
        return self._outbox.after_from_memory(after_seq, limit=limit, max_bytes=max_bytes)

    def payloads(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return payloads after a sequence number, in order; may wait for the disk.

        Raises:
            StateError: The state cannot be read.
        """
        return self._outbox.after(after_seq, limit=limit, max_bytes=max_bytes)

    def unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads with these sequence numbers that are not confirmed, in order; may wait for the disk.

        Raises:
            StateError: The state cannot be read.
        """
        return self._store.journal.read_unconfirmed(seqs, limit=limit, max_bytes=max_bytes)

    def is_acknowledged(self, seq: int) -> bool:
        """Tell whether a payload is confirmed though one in front of it is not."""
        return seq in self._store.journal.acknowledged

    # For consumers and operators; these wait for the disk

    def has_said(self, seq: int) -> bool:
        """Tell whether a sequence number has been used."""
        return 0 < seq < self._store.journal.next_seq

    @property
    def waits_for_acknowledgements(self) -> bool:
        """Whether events are confirmed one by one."""
        return self._audience.ack_timeout_s is not None

    def acknowledge(self, seqs: Iterable[int]) -> None:
        """Confirm payloads by the sequence numbers of changes in them; with those that are confirmed already nothing happens.

        Raises:
            StateError: The state cannot be written.
        """
        self._store.journal.acknowledge(seqs, keep_s=self._limits.retention_s)
        self._wake()

    def replay(self, *, seq: int | None = None, time_s: float | None = None) -> range:
        """Have what was confirmed written again to all streams, as far as it is kept.

        Args:
            seq: From this sequence number on.
            time_s: From what was found then on, seconds since the epoch.

        Returns:
            The sequence numbers that are written again.

        Raises:
            StateError: The state cannot be written.
        """
        with self._confirming:
            before = self._store.journal.cursor
            cursor = self._store.journal.rewind(seq=seq, time_s=time_s)
            if cursor < before:
                self._audience.rewind(cursor)
        self._audience.tell()
        return range(cursor + 1, before + 1)

    # For the watch's thread

    def notify(self) -> None:
        """Wake all streams."""
        self._audience.tell()

    def due_in_s(self) -> float | None:
        """Return in how many seconds there may be something to confirm or to tidy; None when nothing waits for that."""
        is_awaited = (
            not self.waits_for_acknowledgements and self._store.journal.depth and self._audience
        )
        return (
            max(0.0, self._confirm_due_s - time.monotonic())
            if is_awaited or self._store.is_untidy
            else None
        )

    def confirm_if_due(self) -> None:
        """Confirm what time has confirmed, and tidy up behind it, once in a while.

        Raises:
            StateError: The state cannot be written.
        """
        now_s = time.monotonic()
        if now_s >= self._confirm_due_s:
            self._confirm_due_s = now_s + CONFIRM_INTERVAL_S
            self.confirm()

    def confirm(self) -> None:
        """Confirm what time has confirmed, drop what has been kept for long enough, and give back the room that it had.

        Raises:
            StateError: The state cannot be written.
        """
        now_s, keep_s = time.monotonic(), self._limits.retention_s
        if not self.waits_for_acknowledgements:
            with self._confirming:
                confirmed = self._audience.confirmed_seq(now_s, self._limits.window_s)
                if confirmed is not None:
                    self._store.journal.confirm(confirmed, keep_s=keep_s)
        if keep_s and now_s >= self._expire_due_s:
            self._expire_due_s = now_s + EXPIRE_INTERVAL_S
            self._store.journal.expire(keep_s)
        if self._store.is_untidy:
            self._store.tidy()

    def dismiss_stalled(self) -> int:
        """End the streams that hold up others because their clients do not read; return how many.

        Where acknowledgements confirm, nobody waits for a stream.
        """
        if self.waits_for_acknowledgements:
            return 0
        return self._audience.dismiss_stalled(
            time.monotonic(), max(self._limits.window_s, BLOCKED_S)
        )
