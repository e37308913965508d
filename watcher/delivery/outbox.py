"""The outbox: numbers and renders changes, and commits payloads and index in one transaction.

A batch that may wait is kept in the state file as rendered events until it is full or its time is
over. They are as durable as the journal, so a batch is cut once and is the same after a crash.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from watcher.delivery.payload_cache import NewestPayloads
from watcher.delivery.renderer import Renderer
from watcher.model import Delta, Payload
from watcher.spec import Format
from watcher.telemetry.recent_changes import RecentChanges

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from watcher.clock import Clock
    from watcher.model import Change, ChangeSet
    from watcher.spec import Spec
    from watcher.state.port import WatchStore

NEWEST_BYTES = 1024 * 1024
"""Maximum size of the payloads of one commit that stay in memory for streams, in bytes.

A commit of 1,000 events with 4 KiB of metadata has 5 MB, and 75 MB where all characters of paths of
4 KiB must be escaped: so it is rendered while it is written, and only its end stays.
"""


class _Rendering:
    """The payloads of one step, rendered while they are iterated, each time from the beginning.

    Args:
        render: Returns the payloads; puts the events of one that is not full into a list.

    Attributes:
        newest: The last payloads of the last iteration.
        waiting: The events that it has left.
    """

    def __init__(self, render: Callable[[list[Payload]], Iterator[Payload]]) -> None:
        self.newest = NewestPayloads(NEWEST_BYTES)
        self.waiting: list[Payload] = []
        self._render = render

    def __iter__(self) -> Iterator[Payload]:
        self.newest.clear()
        self.waiting.clear()
        return self.newest.passing(self._render(self.waiting))


class Outbox:
    """The way of one watch's changes into its journal. Used by the watch's thread alone.

    Args:
        spec: Format, metadata and batch of the payloads.
        store: Where they are committed.
        clock: Times events and batches.
        publish: Takes the newest payloads of each commit that wrote any, and the last sequence
            number of those before them; None when these are all.

    Attributes:
        by_type: Changes committed since the start, by type.
        recent: The last changes committed.

    Raises:
        StateError: Events that wait since an earlier run cannot be read or sealed.
    """

    def __init__(
        self,
        spec: Spec,
        store: WatchStore,
        *,
        clock: Clock,
        publish: Callable[[Collection[Payload], int | None], None],
    ) -> None:
        self.by_type: dict[str, int] = {}
        self.recent = RecentChanges(clock)
        self._spec = spec
        self._max_wait_s = spec.batch.max_wait_s
        self._renderer = Renderer(spec, store.uid)
        self._store = store
        self._clock = clock
        self._publish = publish
        self._pending = self._take_over(spec)
        self._seal_at_s = clock.monotonic() + self._max_wait_s if self._pending else None

    def _take_over(self, spec: Spec) -> list[Payload]:
        """Return the events that wait since an earlier run.

        Those of another format leave at once, in an envelope of their own.
        """
        former = self._store.meta("format")
        waiting = self._store.journal.pending()
        if former == spec.format:
            return waiting
        if waiting and former is not None:
            renderer = Renderer(replace(spec, format=Format(former)), self._store.uid)
            payloads = _Rendering(lambda rest: renderer.payloads(waiting, rest, is_last=True))
            self._store.commit(Delta(), payloads)
            self._publish(payloads.newest.payloads, payloads.newest.dropped_seq)
            waiting = []
        self._store.set_meta(format=spec.format.value)
        return waiting

    def commit(self, step: ChangeSet) -> None:
        """Make a step durable and publish its payloads.

        Raises:
            StateError: Nothing of it was written.
        """
        if not step.changes:
            if step.delta.upserts or step.delta.deletes or step.delta.groups is not None:
                self._store.commit(step.delta)
            return
        self._write(step.delta, step.changes, seal=self._max_wait_s == 0)

    def deferring(self) -> AbstractContextManager[None]:
        """Return a block in which what reports nothing may be durable later; see ``WatchStore``."""
        return self._store.deferring()

    def renew_ids(self) -> None:
        """Give the changes from now on ids that no event has had; see ``WatchStore.renew_ids``.

        Raises:
            StateError: Nothing was written.
        """
        self._store.renew_ids()
        self._renderer = Renderer(self._spec, self._store.uid)

    def seal(self, *, now: bool = False) -> None:
        """Publish the batch that waits if its time is over.

        Args:
            now: Publish it in any case.

        Raises:
            StateError: Nothing was written; the batch goes on waiting.
        """
        if self._seal_at_s is not None and (now or self._seal_at_s <= self._clock.monotonic()):
            self._write(Delta(), (), seal=True)

    def seal_due_s(self) -> float | None:
        """Return the monotonic time at which the waiting batch is due; None when none waits."""
        return self._seal_at_s

    def _write(self, delta: Delta, changes: Sequence[Change], *, seal: bool) -> None:
        first_seq, now_ns = self._store.journal.next_seq, self._clock.wall_ns()

        def render(waiting: list[Payload]) -> Iterator[Payload]:
            events = (
                Payload(seq, self._renderer.event(change, seq, now_ns))
                for seq, change in enumerate(changes, start=first_seq)
            )
            return self._renderer.payloads(chain(self._pending, events), waiting, is_last=seal)

        payloads = _Rendering(render)
        newest, waiting = payloads.newest, payloads.waiting
        self._store.commit(delta, payloads, waiting, changes=len(changes))
        now_s = self._clock.monotonic()
        if changes:
            self.recent.add(changes, first_seq)
        for change in changes:
            self.by_type[change.type] = self.by_type.get(change.type, 0) + 1
        self._pending = waiting
        if not waiting:
            self._seal_at_s = None
        elif newest.payloads or self._seal_at_s is None:
            self._seal_at_s = now_s + self._max_wait_s
        if newest.payloads:
            self._publish(newest.payloads, newest.dropped_seq)
