"""A publisher and an outbox over one state file, and what a stream writes."""

from __future__ import annotations

from typing import Any

from support.clock import FakeClock
from watcher.delivery.audience import Subscriber
from watcher.delivery.outbox import Outbox
from watcher.delivery.publisher import Publisher
from watcher.delivery.subscription import Subscription
from watcher.model import Change, ChangeSet, ChangeType, Entry
from watcher.settings import WatchLimits
from watcher.spec import DirectorySpec, Spec
from watcher.state.port import WatchStore

WINDOW_S = 30.0
KEEP_S = 3600.0
ACK_TIMEOUT_S = 10.0


class Bench:
    """A publisher over a real state file, for a spec with these fields."""

    def __init__(self, store: WatchStore, clock: FakeClock, **keys: Any) -> None:  # noqa: ANN401 - any field of a spec
        self.clock = clock
        self.store = store
        self.wakes = self.notified = 0
        limits = WatchLimits(WINDOW_S, KEEP_S)
        spec = Spec(DirectorySpec("/data"), ack_timeout_s=ACK_TIMEOUT_S, **keys)
        self.publisher = Publisher(spec, store, limits, clock=clock, wake=self._wake)
        self.outbox = Outbox(spec, store, clock=clock, publish=self.publisher.publish)

    def _wake(self) -> None:
        self.wakes += 1

    def change(self, count: int = 1) -> None:
        changes = [Change(ChangeType.CREATED, Entry(b"a", 1, 1)) for _ in range(count)]
        self.outbox.commit(ChangeSet(changes=changes))

    def _note(self) -> None:
        self.notified += 1

    def join(self) -> Subscription:
        return self.publisher.subscribe(Subscriber(self._note))

    def in_memory(self) -> bool:
        """Return whether the last payload is in memory."""
        last_seq = self.store.journal.next_seq - 1
        return bool(self.publisher._cache.after(last_seq - 1, limit=1, max_bytes=1))


def write(subscription: Subscription) -> list[int]:
    """Write what is to be written now; returns the sequence numbers."""
    return [payload.seq for payload in subscription.writing(subscription.read())]
