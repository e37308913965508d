"""A reconciler of a source with its state, and what works beside it."""

from __future__ import annotations

from collections.abc import Callable

from support.clock import FakeClock
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Reconciler
from watcher.clock import Clock
from watcher.delivery.outbox import Outbox
from watcher.model import ChangeType
from watcher.sources.protocol import Source
from watcher.spec import BucketSpec, Conditions, Spec
from watcher.state.port import WatchStore
from watcher.watch.detection import make_detector


class Reconciling(Reconciler):
    """A reconciler that is never interrupted, and publishes to nobody.

    Args:
        source: What is read.
        store: Index and journal.
        spec: What the payloads are about.
        clock: The clock; None for one that stands still.
        make_outbox: Makes the outbox.
        conditions: What an entry must satisfy to be reported.

    Attributes:
        outbox: The outbox.
    """

    def __init__(
        self,
        source: Source,
        store: WatchStore,
        spec: Spec,
        clock: Clock | None = None,
        make_outbox: Callable[..., Outbox] = Outbox,
        conditions: Conditions | None = None,
    ) -> None:
        clock = clock or FakeClock()
        detector = ChangeDetector(frozenset(ChangeType), store.index.new_rows)
        if isinstance(spec.where, BucketSpec) and spec.where.versions:
            detector = make_detector(spec, source, store.index, clock)
        self.outbox = make_outbox(spec, store, clock=clock, publish=lambda *_: None)
        super().__init__(
            source,
            store.index,
            detector,
            self.outbox,
            lambda _count: None,
            clock,
            conditions=conditions or spec.conditions,
        )

    def record_existing(self, appearance: Appearance = Appearance.IGNORED_EXISTING) -> None:
        """Record what is there, silently by default."""
        self._detector.appearance = lambda _path: appearance
        self.scan(is_baseline=True)
        self._detector.appearance = lambda _path: Appearance.NEW
