"""The streams of one publisher: how they are reached, how far they are, and what was written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - the fields of a NamedTuple
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.delivery.position import StreamPosition
    from watcher.delivery.subscription import Subscription, Wait


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


class Audience:
    """The connected streams. Safe between threads, but where a method asks for the lock.

    Args:
        clock: Times writes.

    Attributes:
        lock: Held while streams come and go, and while all of their positions are looked up.
    """

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.Lock()
        self._clock = clock
        self._subscribers: dict[Subscription, Subscriber] = {}
        # What streams had been written by another publisher, where it is counted.
        self._counted: dict[Subscription, DeliveryCounts] = {}
        self._left = DeliveryCounts(0, 0, 0.0)

    def __len__(self) -> int:
        """Return the number of streams."""
        return len(self._subscribers)

    # The caller holds the lock

    def add(self, subscription: Subscription, subscriber: Subscriber) -> None:
        """Add a stream, which may have been another audience's."""
        self._counted[subscription] = self._counts_of(subscription.position)
        self._subscribers[subscription] = subscriber

    def remove(self, subscription: Subscription) -> bool:
        """Remove a stream, and return whether it was there."""
        if self._subscribers.pop(subscription, None) is None:
            return False
        self._left = self._add(self._left, subscription)
        del self._counted[subscription]
        return True

    def written_seq(self) -> int:
        """Return the highest sequence number that any stream was written; 0 without streams."""
        return max((each.position.written_seq for each in self._subscribers), default=0)

    def confirmed_seqs(self, window_s: float) -> list[int]:
        """Return up to where each stream counts as delivered; see ``StreamPosition``."""
        now_s = self._clock.monotonic()
        return [each.position.confirmed_seq(now_s, window_s) for each in self._subscribers]

    # From any thread

    def counts(self) -> DeliveryCounts:
        """Return what was written since the start, also to streams that have left."""
        with self.lock:
            counts = self._left
            for subscription in self._subscribers:
                counts = self._add(counts, subscription)
        return counts

    def waiting(self) -> Counter[Wait]:
        """Return how many streams have something to write and wait, by what they wait for."""
        with self.lock:
            subscriptions = list(self._subscribers)
        return Counter(wait for each in subscriptions if (wait := each.waits_for()) is not None)

    def notify(self) -> None:
        """Notify all streams that something has changed."""
        with self.lock:
            subscribers = list(self._subscribers.values())
        for subscriber in subscribers:
            subscriber.notify()

    def rewind(self, seq: int) -> None:
        """Make all streams go on after a sequence number."""
        with self.lock:
            for subscription in self._subscribers:
                subscription.position.rewind(seq)

    def disconnect_stalled(self, window_s: float, *, spares_all: bool) -> int:
        """Disconnect streams whose clients have not read for a time, and return their number.

        Args:
            window_s: That time in seconds.
            spares_all: Disconnect none if all are like that.
        """
        now_s = self._clock.monotonic()
        with self.lock:
            stalled = [
                subscriber
                for subscription, subscriber in self._subscribers.items()
                if subscription.position.is_stalled(now_s, window_s)
            ]
            if spares_all and len(stalled) == len(self._subscribers):
                return 0
        for subscriber in stalled:
            subscriber.disconnect()
        return len(stalled)

    def _add(self, counts: DeliveryCounts, subscription: Subscription) -> DeliveryCounts:
        written, counted = self._counts_of(subscription.position), self._counted[subscription]
        return DeliveryCounts(
            counts.written + written.written - counted.written,
            counts.redelivered + written.redelivered - counted.redelivered,
            counts.blocked_s + written.blocked_s - counted.blocked_s,
        )

    def _counts_of(self, position: StreamPosition) -> DeliveryCounts:
        blocked_s = position.blocked_s(self._clock.monotonic())
        return DeliveryCounts(position.written, position.redelivered, blocked_s)
