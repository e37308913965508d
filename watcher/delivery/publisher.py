"""The publisher of one watch: brings its journal to the streams and decides what is confirmed."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - the fields of a NamedTuple
from typing import TYPE_CHECKING, NamedTuple

from watcher.delivery.payload_cache import PayloadCache
from watcher.delivery.position import BLOCKED_S, AckPosition, StreamPosition
from watcher.delivery.rate import TokenBucket
from watcher.delivery.subscription import Subscription, Wait
from watcher.delivery.unacknowledged import UnacknowledgedLimit
from watcher.formatting import format_rate
from watcher.spec import Confirm
from watcher.telemetry.last_hour import LagSeries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from watcher.clock import Clock
    from watcher.model import Payload
    from watcher.settings import WatchLimits
    from watcher.spec import Spec
    from watcher.state.port import WatchStore

CONFIRM_INTERVAL_S = 1.0
"""Seconds between two confirmations, each of which is a commit."""

EXPIRE_INTERVAL_S = 60.0
"""Seconds between two removals of payloads whose retention is over."""


class Subscriber(NamedTuple):
    """How a stream is reached. Both are called from any thread and must return at once.

    Attributes:
        notify: There may be something to write, or the watch has stopped.
        disconnect: The stream is to end because its client does not read and holds up others.
    """

    notify: Callable[[], None]
    disconnect: Callable[[], None] = lambda: None


class DeliveryCounts(NamedTuple):
    """What was written to streams since the start.

    Attributes:
        written: Payloads.
        redelivered: Payloads among them whose changes may have been written before.
        blocked_s: Seconds in which flow control kept streams from writing, summed over streams.
    """

    written: int
    redelivered: int
    blocked_s: float


class Publisher:
    """The streams of one watch and what they have confirmed. Safe between threads.

    Args:
        spec: What confirms an event, and how fast and how far streams may write.
        store: Has the journal; tidied up after confirmations.
        limits: Redelivery window and retention.
        clock: Times writes and confirmations.
        wake: Wakes the watch's thread, since something was confirmed or nobody reads any more.

    Attributes:
        journal: What is published, and the cursor.
        needs_acknowledgements: Whether consumers acknowledge events one by one.
        lag: How long the oldest unconfirmed payload has waited in the last hour.

    Raises:
        StateError: The state cannot be read.
    """

    def __init__(
        self,
        spec: Spec,
        store: WatchStore,
        limits: WatchLimits,
        *,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self.journal = store.journal
        self.needs_acknowledgements = spec.confirm is Confirm.ACK
        self.lag = LagSeries(clock)
        self.lag.note(self.journal.oldest_at)
        self._store = store
        self._limits = limits
        self._ack_timeout_s = spec.ack_timeout_s
        self._rate_per_s = spec.rate_per_s
        self._unacknowledged = (
            None
            if spec.max_unacknowledged is None
            else UnacknowledgedLimit(self.journal, spec.max_unacknowledged)
        )
        self._clock = clock
        self._wake = wake
        self._cache = PayloadCache(self.journal.next_seq - 1)
        self._lock = threading.Lock()
        self._subscribers: dict[Subscription, Subscriber] = {}
        # An earlier run may have written everything.
        self._delivered_before_seq = self.journal.next_seq - 1
        self._former = DeliveryCounts(0, 0, 0.0)
        self._confirming = threading.Lock()
        self._confirm_due_s = 0.0
        # What an earlier run has confirmed is retained, too.
        self._expire_due_s = 0.0
        self._retain()

    # For streams

    @property
    def streams(self) -> int:
        """The number of connected streams."""
        return len(self._subscribers)

    def subscribe(self, subscriber: Subscriber) -> Subscription:
        """Connect a stream; it begins after the last confirmed event.

        Args:
            subscriber: How the stream is reached.
        """
        with self._lock:
            written_seq = max((each.position.written_seq for each in self._subscribers), default=0)
            before_seq = self._delivered_before_seq = max(self._delivered_before_seq, written_seq)
            position = (
                AckPosition(self.journal.cursor, before_seq, self._ack_timeout_s)
                if self.needs_acknowledgements
                else StreamPosition(self.journal.cursor, before_seq)
            )
            subscription = Subscription(
                position,
                self.journal,
                self._cache,
                self._clock,
                bucket=self._bucket(),
                limit=self._unacknowledged,
            )
            self._subscribers[subscription] = subscriber
            self._cache.open()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Disconnect a stream; its position no longer counts."""
        position = subscription.position
        with self._lock:
            if self._subscribers.pop(subscription, None) is None:
                return
            self._delivered_before_seq = max(self._delivered_before_seq, position.written_seq)
            self._former = self._add(self._former, position)
            if not self._subscribers:
                self._cache.close()
        self._wake()

    def counts(self) -> DeliveryCounts:
        """Return what was written since the start, also to streams that have ended."""
        with self._lock:
            counts = self._former
            for subscription in self._subscribers:
                counts = self._add(counts, subscription.position)
        return counts

    def waiting(self) -> Counter[Wait]:
        """Return how many streams have something to write and wait, by what they wait for."""
        if self._rate_per_s is None and self._unacknowledged is None:
            return Counter()
        with self._lock:
            subscriptions = list(self._subscribers)
        return Counter(wait for each in subscriptions if (wait := each.waits_for()) is not None)

    @property
    def blockage(self) -> str:
        """What keeps events from being confirmed when the journal is full."""
        if self._rate_per_s is not None and self.waiting()[Wait.RATE]:
            return f"changes come faster than the rate of {format_rate(self._rate_per_s)}"
        if self.needs_acknowledgements:
            return "nobody acknowledges"
        return "the client reads too slowly, or not at all"

    def _bucket(self) -> TokenBucket | None:
        if self._rate_per_s is None:
            return None
        return TokenBucket(self._rate_per_s, self._clock.monotonic())

    def _add(self, counts: DeliveryCounts, position: StreamPosition) -> DeliveryCounts:
        return DeliveryCounts(
            counts.written + position.written,
            counts.redelivered + position.redelivered,
            counts.blocked_s + position.blocked_s(self._clock.monotonic()),
        )

    # For the watch's thread

    def publish(self, payloads: Collection[Payload], dropped_seq: int | None = None) -> None:
        """Take payloads that were committed to the journal, and notify all streams.

        Args:
            payloads: The newest committed payloads, in order.
            dropped_seq: Sequence number of the last committed payload before them that only the
                journal has; None if there is none.

        Raises:
            StateError: The state cannot be read.
        """
        self._cache.extend(payloads, dropped_seq=dropped_seq)
        if self._unacknowledged is not None:
            self._unacknowledged.extend()
        self.lag.note(self.journal.oldest_at)
        self.notify()

    def notify(self) -> None:
        """Notify all streams that something has changed."""
        with self._lock:
            subscribers = list(self._subscribers.values())
        for subscriber in subscribers:
            subscriber.notify()

    def due_in_s(self) -> float | None:
        """Return the seconds until there may be something to confirm or tidy; None for never."""
        is_unconfirmed = (
            self.journal.depth and self._subscribers and not self.needs_acknowledgements
        )
        if not is_unconfirmed and not self._store.is_untidy:
            return None
        return max(0.0, self._confirm_due_s - self._clock.monotonic())

    def confirm_if_due(self) -> None:
        """Do what ``confirm`` does, once in ``CONFIRM_INTERVAL_S``.

        Raises:
            StateError: The state cannot be written.
        """
        now_s = self._clock.monotonic()
        if now_s >= self._confirm_due_s:
            self._confirm_due_s = now_s + CONFIRM_INTERVAL_S
            self.confirm()

    def confirm(self) -> None:
        """Confirm what time has confirmed, drop what was retained long enough, and give back space.

        Raises:
            StateError: The state cannot be written.
        """
        now_s, keep_s = self._clock.monotonic(), self._limits.retention_s
        if not self.needs_acknowledgements:
            # A replay in between would be undone by the confirmation.
            with self._confirming:
                confirmed = self._confirmed_seq(now_s)
                if confirmed is not None and confirmed > self.journal.cursor:
                    self.journal.confirm(confirmed, keep_s=keep_s)
                    self._retain()
                    self.lag.note(self.journal.oldest_at)
        if keep_s and now_s >= self._expire_due_s:
            self.journal.expire(keep_s)
            # Later ones would find nothing, and write to a database all the same.
            is_last = now_s >= self._retained_until_s
            self._expire_due_s = math.inf if is_last else now_s + EXPIRE_INTERVAL_S
        if self._store.is_untidy:
            self._store.tidy()

    def _retain(self) -> None:
        """Remove what is confirmed now when its retention is over."""
        now_s = self._clock.monotonic()
        # The clock that dates payloads is another one, so one removal more.
        self._retained_until_s = now_s + self._limits.retention_s + EXPIRE_INTERVAL_S
        self._expire_due_s = min(self._expire_due_s, now_s + EXPIRE_INTERVAL_S)

    def _confirmed_seq(self, now_s: float) -> int | None:
        """Return the last sequence number delivered on every stream; None without streams."""
        window_s = self._limits.window_s
        with self._lock:
            confirmed = [each.position.confirmed_seq(now_s, window_s) for each in self._subscribers]
        return min(confirmed, default=None)

    def disconnect_stalled(self) -> int:
        """Disconnect streams whose clients have not read for a window, unless all are like that.

        Where consumers acknowledge, no event waits for a stream, and nothing is done.

        Returns:
            How many streams were disconnected.
        """
        if self.needs_acknowledgements:
            return 0
        now_s, window_s = self._clock.monotonic(), max(self._limits.window_s, BLOCKED_S)
        with self._lock:
            stalled = [
                subscriber
                for subscription, subscriber in self._subscribers.items()
                if subscription.position.is_stalled(now_s, window_s)
            ]
            if len(stalled) == len(self._subscribers):
                return 0
        for subscriber in stalled:
            subscriber.disconnect()
        return len(stalled)

    # For consumers and operators; these wait for the disk

    @property
    def uids(self) -> set[str]:
        """The first parts of the ids of its events."""
        return {self._store.uid, *self._store.former_uids}

    def has_issued(self, uid: str, seq: int) -> bool:
        """Return whether a change may have the id with these two parts."""
        end_seq = self._store.former_uids.get(uid, self.journal.next_seq)
        return uid in self.uids and 0 < seq < end_seq

    def is_restored(self, uid: str, seq: int) -> bool:
        """Return whether an id shows that the state is a restored backup: it is yet to be given."""
        return uid == self._store.uid and seq >= self.journal.next_seq

    def acknowledge(self, seqs: Iterable[int]) -> None:
        """Confirm payloads by the sequence numbers of changes in them; confirmed ones stay so.

        Raises:
            StateError: The state cannot be written.
        """
        keep_s = self._limits.retention_s
        if self._unacknowledged is None:
            self.journal.acknowledge(seqs, keep_s=keep_s)
        elif self._unacknowledged.acknowledge(seqs, keep_s=keep_s):
            self.notify()
        self._retain()
        self.lag.note(self.journal.oldest_at)
        self._wake()

    def replay(self, *, seq: int | None = None, time_s: float | None = None) -> range:
        """Write confirmed payloads to all streams again, as far as they are retained.

        Args:
            seq: From this sequence number on.
            time_s: From what was found at this time on, seconds since the epoch.

        Returns:
            The sequence numbers that are written again.

        Raises:
            StateError: The state cannot be written.
        """
        with self._confirming:
            before, limit = self.journal.cursor, self._unacknowledged
            journal = self.journal if limit is None else limit
            cursor = journal.rewind(seq=seq, time_s=time_s)
            # With a limit also where the cursor stays: acknowledgements beyond it may be revoked,
            # and what was written since is no longer among the oldest.
            if cursor < before or limit is not None:
                with self._lock:
                    for subscription in self._subscribers:
                        subscription.position.rewind(cursor)
            self.lag.note(self.journal.oldest_at)
        self.notify()
        return range(cursor + 1, before + 1)
