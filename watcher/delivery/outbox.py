"""The outbox: gives changes their numbers and bytes, and commits them together with the index. Decides what goes into one payload.

With a batch that may wait, rendered events are kept in the state file until their batch is full or its time has come. They are as
durable as the journal, so a batch is cut once and is the same after a crash.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.delivery.payload_cache import Newest, PayloadCache
from watcher.delivery.renderer import Renderer
from watcher.model import Delta, Payload
from watcher.spec import Format
from watcher.telemetry.recent_changes import RecentChanges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from watcher.model import Change, ChangeSet
    from watcher.spec import Spec
    from watcher.state.port import WatchStore


PORTION_BYTES = 1024 * 1024
"""So much of a step is rendered at once, and so much of its end stays in memory for those who read; the step itself is in one piece."""


class Outbox:
    """Where the changes of one watch become payloads. Written by the watch's thread; ``after`` may be called from any.

    Args:
        spec: Format, metadata and batch of the payloads.
        store: Where they are committed.
        time_ns: Wall clock, nanoseconds since the epoch.
        clock: Monotonic seconds.
        committed: Called after each commit that put something into the journal.

    Attributes:
        by_type: Changes committed since the start, by type.
        recent: The last of them.
    """

    def __init__(
        self,
        spec: Spec,
        store: WatchStore,
        *,
        time_ns: Callable[[], int],
        clock: Callable[[], float],
        committed: Callable[[], None],
    ) -> None:
        self.by_type: dict[str, int] = {}
        self.recent = RecentChanges()
        self._batch = spec.batch
        self._renderer = Renderer(spec, store.uid)
        self._store = store
        self._time_ns = time_ns
        self._clock = clock
        self._committed = committed
        self._pending = self._taken_over(spec)
        self._seal_at_s = clock() + spec.batch.max_wait_s if self._pending else None
        self._tail = PayloadCache(store.journal.next_seq - 1 - len(self._pending))

    def _taken_over(self, spec: Spec) -> list[Payload]:
        """Return the events that wait since an earlier run; those of another format leave at once, in an envelope of their own."""
        former = self._store.meta("format")
        if former == spec.format:
            return self._store.journal.pending()
        waiting = self._store.journal.pending()
        if waiting and former is not None:
            renderer = Renderer(replace(spec, format=Format(former)), self._store.uid)
            payloads, cut = _cut(waiting, renderer, spec.batch.max_events, seal=True)
            self._store.commit(Delta(), payloads)
            waiting = waiting[cut:]
        self._store.set_meta(format=spec.format.value)
        return waiting

    def commit(self, step: ChangeSet) -> None:
        """Make a step durable and hand its changes on.

        Raises:
            StateError: Nothing of it was written.
        """
        if not step.changes:
            if step.delta.upserts or step.delta.deletes:
                self._store.commit(step.delta)
            return
        now_ns = self._time_ns()
        first = self._store.journal.next_seq
        events = (
            Payload(seq, self._renderer.event(change, seq, now_ns))
            for seq, change in enumerate(step.changes, start=first)
        )
        self._write(step.delta, events, step.changes)

    def seal(self, *, now: bool = False) -> None:
        """Send off the batch that waits, if its time has come.

        Args:
            now: Its time has come, whatever the clock says.

        Raises:
            StateError: Nothing was written; the batch goes on waiting.
        """
        if self._seal_at_s is not None and (now or self._seal_at_s <= self._clock()):
            self._write(Delta(), [], (), seal=True)

    def seal_due_s(self) -> float | None:
        """Return when the batch that waits is to be sent off, on the clock; None when none waits."""
        return self._seal_at_s

    def after(self, seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return payloads after a sequence number, in order, from memory or from the state file; see ``Journal.read``."""
        payloads = self._tail.after(seq, limit=limit, max_bytes=max_bytes)
        return (
            self._store.journal.read(seq, limit=limit, max_bytes=max_bytes)
            if payloads is None
            else payloads
        )

    def after_from_memory(self, seq: int, *, limit: int, max_bytes: int) -> list[Payload] | None:
        """Return payloads after a sequence number without touching the disk, or None when that cannot be done."""
        return self._tail.after(seq, limit=limit, max_bytes=max_bytes)

    def remember(self) -> None:
        """Keep the newest payloads in memory from now on, for somebody reads."""
        self._tail.open()

    def forget(self) -> None:
        """Keep none of them, for nobody does."""
        self._tail.close()

    def _write(
        self,
        delta: Delta,
        events: Iterable[Payload],
        changes: Sequence[Change],
        *,
        seal: bool = False,
    ) -> None:
        first = self._store.journal.next_seq
        waiting, newest = self._pending.copy(), Newest(PORTION_BYTES)
        payloads = self._payloads(events, waiting, seal=seal or self._batch.max_wait_s == 0)
        self._store.commit(delta, newest.passing(payloads), waiting, changes=len(changes))
        if changes:
            self.recent.add(changes, first, at=self._time_ns() / 1e9, now_s=self._clock())
        for change in changes:
            self.by_type[change.type] = self.by_type.get(change.type, 0) + 1
        self._pending = waiting
        if not self._pending:
            self._seal_at_s = None
        elif newest.payloads or self._seal_at_s is None:
            self._seal_at_s = self._clock() + self._batch.max_wait_s
        if newest.payloads:
            self._tail.extend(newest.payloads, left_out=newest.left_out)
            self._committed()

    def _payloads(
        self, events: Iterable[Payload], waiting: list[Payload], *, seal: bool
    ) -> Iterator[Payload]:
        """Yield the payloads that can leave now, made while they are asked for: all of a large step would not fit into memory.

        Args:
            events: Come after those that wait.
            waiting: Those that wait; in the end, those that go on waiting.
            seal: See ``_cut``.
        """
        for portion in _portions(events):
            waiting += portion
            payloads, cut = _cut(waiting, self._renderer, self._batch.max_events, seal=False)
            yield from payloads
            del waiting[:cut]
        if seal and waiting:
            payloads, _ = _cut(waiting, self._renderer, self._batch.max_events, seal=True)
            yield from payloads
            waiting.clear()


def _portions(events: Iterable[Payload]) -> Iterator[list[Payload]]:
    """Yield events in lists of ``PORTION_BYTES`` and the last one over."""
    portion: list[Payload] = []
    size_bytes = 0
    for event in events:
        portion.append(event)
        size_bytes += len(event.data)
        if size_bytes >= PORTION_BYTES:
            yield portion
            portion, size_bytes = [], 0
    yield portion


def _cut(
    waiting: list[Payload], renderer: Renderer, max_events: int, *, seal: bool
) -> tuple[list[Payload], int]:
    """Return the payloads that can leave now and how many events they hold; only with ``seal`` the last may be less than full."""
    payloads: list[Payload] = []
    cut = 0
    while cut < len(waiting):
        batch = waiting[cut : cut + max_events]
        count = renderer.fitting([event.data for event in batch])
        if count == len(batch) < max_events and not seal:
            break
        batch = batch[:count]
        data = renderer.payload(batch[0].seq, batch[-1].seq, [event.data for event in batch])
        payloads.append(Payload(batch[-1].seq, data))
        cut += count
    return payloads, cut
