"""The publisher of one watch: brings its journal to the streams and decides what is confirmed."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - the fields of a NamedTuple
from typing import TYPE_CHECKING

from watcher.delivery.audience import Audience
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
    from watcher.delivery.audience import DeliveryCounts, Subscriber
    from watcher.model import Payload
    from watcher.settings import WatchLimits
    from watcher.spec import Spec
    from watcher.state.following import PublishedStore, Refreshed

CONFIRM_INTERVAL_S = 1.0
"""Seconds between two confirmations, each of which is a commit."""

EXPIRE_INTERVAL_S = 60.0
"""Seconds between two removals of payloads whose retention is over."""


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
        store: PublishedStore,
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
        self._audience = Audience(clock)
        # An earlier run may have written everything.
        self._delivered_before_seq = self.journal.next_seq - 1
        self._confirming = threading.Lock()
        self._confirming_seq = 0
        self._confirm_due_s = 0.0
        self._streams_elsewhere = 0
        self._confirmed_elsewhere_seq: int | None = None
        # What an earlier run has confirmed is retained, too.
        self._expire_due_s = 0.0
        self._retain()

    # For streams

    @property
    def streams(self) -> int:
        """The number of connected streams."""
        return len(self._audience)

    @property
    def streams_elsewhere(self) -> int:
        """The number of streams on other servers, as of the last survey."""
        return self._streams_elsewhere

    def subscribe(self, subscriber: Subscriber, former: Subscription | None = None) -> Subscription:
        """Connect a stream; it begins after the last confirmed event, or goes on where it is.

        Args:
            subscriber: How the stream is reached.
            former: Its part of the journal until now, if it moves here from another publisher of
                the same watch; it is read from no more.
        """
        with self._audience.lock:
            written_seq = self._audience.written_seq()
            before_seq = self._delivered_before_seq = max(self._delivered_before_seq, written_seq)
            # What is being confirmed now would pass a stream that begins before it.
            seq = max(self.journal.cursor, self._confirming_seq)
            if former is not None:
                position, bucket = former.position, former.bucket
                position.is_bound = True
            else:
                position, bucket = self._begin(seq, before_seq), self._bucket()
            subscription = Subscription(
                position,
                self.journal,
                self._cache,
                self._clock,
                bucket=bucket,
                limit=self._unacknowledged,
            )
            self._audience.add(subscription, subscriber)
            self._cache.set_readers(len(self._audience))
            self._store.note_streams(len(self._audience))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Disconnect a stream; its position no longer counts."""
        written_seq = subscription.position.written_seq
        with self._audience.lock:
            if not self._audience.remove(subscription):
                return
            self._delivered_before_seq = max(self._delivered_before_seq, written_seq)
            self._cache.set_readers(len(self._audience))
            self._store.note_streams(len(self._audience))
        self._wake()

    def counts(self) -> DeliveryCounts:
        """Return what was written since the start, also to streams that have ended."""
        return self._audience.counts()

    def waiting(self) -> Counter[Wait]:
        """Return how many streams have something to write and wait, by what they wait for."""
        if self._rate_per_s is None and self._unacknowledged is None:
            return Counter()
        return self._audience.waiting()

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

    def _begin(self, seq: int, before_seq: int) -> StreamPosition:
        if self.needs_acknowledgements:
            return AckPosition(seq, before_seq, self._ack_timeout_s)
        return StreamPosition(seq, before_seq)

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
        self._announce()

    def _announce(self) -> None:
        self.lag.note(self.journal.oldest_at)
        self.notify()

    def notify(self) -> None:
        """Notify all streams that something has changed."""
        self._audience.notify()

    def due_in_s(self) -> float | None:
        """Return the seconds until there may be something to confirm or tidy; None for never."""
        streams = len(self._audience) + self._streams_elsewhere
        is_unconfirmed = self.journal.depth and streams and not self.needs_acknowledgements
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
                try:
                    confirmed = self._begin_confirming()
                    if confirmed > self.journal.cursor:
                        self.journal.confirm(confirmed, keep_s=keep_s)
                        self._retain()
                        self.lag.note(self.journal.oldest_at)
                finally:
                    self._confirming_seq = 0
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

    def _begin_confirming(self) -> int:
        """Return the last sequence number delivered on every stream; 0 without streams."""
        with self._audience.lock:
            confirmed = self._audience.confirmed_seqs(self._limits.window_s)
            if self._confirmed_elsewhere_seq is not None:
                confirmed.append(self._confirmed_elsewhere_seq)
            self._confirming_seq = min(confirmed, default=0)
            self._store.begin_confirming()
        return self._confirming_seq

    def disconnect_stalled(self, *, spares_all: bool = True) -> int:
        """Disconnect streams whose clients have not read for a window.

        Where consumers acknowledge, no event waits for a stream, and nothing is done.

        Args:
            spares_all: Disconnect none if all are like that, here and on other servers.

        Returns:
            How many streams were disconnected.
        """
        if self.needs_acknowledgements:
            return 0
        window_s = max(self._limits.window_s, BLOCKED_S)
        spares_all = spares_all and not self._streams_elsewhere
        return self._audience.disconnect_stalled(window_s, spares_all=spares_all)

    # For what other servers do

    def set_readers(self, confirmed_seq: int | None, streams: int) -> None:
        """Take the position of the streams on other servers, which counts like those here.

        For the owner of the watch; see ``SurveyedWatch.confirmed_elsewhere``.

        Args:
            confirmed_seq: Up to here all of these streams have the journal; None without any.
            streams: Their number.
        """
        former = (self._confirmed_elsewhere_seq, self._streams_elsewhere)
        self._confirmed_elsewhere_seq, self._streams_elsewhere = confirmed_seq, streams
        if former != (confirmed_seq, streams):
            self._wake()

    def take(self, refreshed: Refreshed) -> None:
        """Take what is new of a watch that is followed, and notify all streams.

        Raises:
            StateError: The state cannot be read.
        """
        if refreshed.rewound_to is not None:
            # Positions that were looked up before must be noted before.
            with self._confirming:
                self._audience.rewind(refreshed.rewound_to)
                refreshed.store.resume()
        # Before what may fail: the next refreshing does not bring these payloads again.
        self._cache.extend(refreshed.payloads, dropped_seq=refreshed.dropped_seq)
        if self._unacknowledged is not None:
            self._unacknowledged.refresh()
        self._announce()

    def take_acknowledgements(self, acknowledgements: int) -> None:
        """Take in what was acknowledged on other servers; for the owner of the watch.

        Args:
            acknowledgements: That of the survey; see ``Journal.refresh_acknowledged``.

        Raises:
            StateError: The state cannot be written.
        """
        keep_s = self._limits.retention_s
        if self.journal.refresh_acknowledged(acknowledgements, keep_s=keep_s):
            if self._unacknowledged is not None:
                self._unacknowledged.refresh()
                self.notify()
            self._note_acknowledged()

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
        self._note_acknowledged()

    def _note_acknowledged(self) -> None:
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
                self._audience.rewind(cursor)
            self.lag.note(self.journal.oldest_at)
        self.notify()
        return range(cursor + 1, before + 1)
