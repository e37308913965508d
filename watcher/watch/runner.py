"""What a watch does, one turn at a time: it opens its place, reads hints, scans, and waits.

Belongs to one thread, but never sleeps for long in it: a turn returns how long there is nothing to
do. ``lifecycle.py`` says what a turn may do in which state, and ``scan_plan.py`` when it scans.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from watcher.changes.detector import Appearance
from watcher.changes.digest_learning import DigestLearning
from watcher.changes.reconciler import Interrupted, Reconciler
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.limits.turns import pause
from watcher.model import Rescan
from watcher.sources.observations import Inspection
from watcher.status_values import HeldBack
from watcher.telemetry.tracing import span
from watcher.watch.baseline import Baseline
from watcher.watch.detection import make_detector
from watcher.watch.groups import forget_groups, make_groups
from watcher.watch.lifecycle import (
    Ended,
    JournalFull,
    Lifecycle,
    Opened,
    ReadFailed,
    Resumed,
    ScanCompleted,
    ScanStarted,
)
from watcher.watch.scan_plan import ScanPlan
from watcher.watch.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from watcher.changes.reconciler import ScanResult
    from watcher.clock import Clock
    from watcher.delivery.outbox import Outbox
    from watcher.delivery.publisher import Publisher
    from watcher.limits.quotas import QuotaShare
    from watcher.limits.turns import Turn
    from watcher.model import Identity
    from watcher.sources.protocol import Source
    from watcher.spec import Spec
    from watcher.state.port import WatchStore
    from watcher.watch.reporter import StatusReporter

PAUSE_S = 1.0
"""Longest time in seconds that a turn asks to wait for when nothing is due."""

GROUP_COMMIT_S = 0.005
"""Group-commit window in seconds: after a commit, wait this long for more changes.

A commit costs as much as a hundred changes. A single change is never delayed.
"""


class WatchRunner:
    """Reads one place, keeps its index and writes its journal, one turn at a time.

    Args:
        spec: What to watch.
        identity: The watch, as it is named in traces.
        source: Reads the place; opened and closed here.
        store: The state of the watch; closed here.
        outbox: Writes the journal.
        publisher: Confirms what streams have written.
        reporter: Follows the lifecycle.
        share: What the watch may hold.
        turn: Had while hints are read and what they name is compared.
        clock: The time.
        wake: Called from any thread when a turn may have something to do before it is due.
        stop: Set when the watch is to end: a turn then returns soon.

    Attributes:
        held: Deletions that wait for a second scan to agree.
        steps: Rises at each checkpoint, and with each part of the end.
    """

    def __init__(  # noqa: PLR0913 - all that a turn deals with
        self,
        *,
        spec: Spec,
        identity: Identity,
        source: Source,
        store: WatchStore,
        outbox: Outbox,
        publisher: Publisher,
        reporter: StatusReporter,
        share: QuotaShare,
        turn: Turn,
        clock: Clock,
        wake: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self.held = 0
        self.steps = 0
        self._spec = spec
        self._name = identity.name
        self._source = source
        self._store = store
        self._outbox = outbox
        self._publisher = publisher
        self._reporter = reporter
        self._share = share
        self._turn = turn
        self._clock = clock
        self._wake = wake
        self._stop = stop
        self._is_released = threading.Event()
        self._is_restored = threading.Event()
        self._lifecycle = Lifecycle(reporter.on_transition)
        self._plan = ScanPlan(spec, store, source, clock)
        self._baseline = Baseline(spec, store, clock, source.window)
        self._groups = make_groups(spec, store, source, outbox, clock)
        self._detector = make_detector(spec, source, store.index, clock)
        self._reconciler = Reconciler(
            source,
            store.index,
            self._detector,
            outbox,
            self._checkpoint,
            clock,
            None if self._groups is None else self._groups.recorder,
            spec.conditions,
        )
        self._reconciler.record_window = self._baseline.begin
        self._learning = DigestLearning(source, store.index)
        self._volumes = Volumes(spec.where.place, source, self._baseline, self._reconciler)
        self._committed_at_s = 0.0

    # From any thread

    def release(self) -> int:
        """Have the next turn scan again if deletions are held, and return how many there are."""
        self._is_released.set()
        return self.held

    def release_mount(self, prefix: bytes) -> Future[None]:
        """Have the next turn accept that a mount is gone for good; see ``Volumes``."""
        return self._volumes.request_release(prefix)

    def renew_ids(self) -> None:
        """Give the next changes new ids, since an acknowledgement shows that theirs were used."""
        self._is_restored.set()

    @property
    def is_baselined(self) -> bool:
        """Whether the baseline scan is over: what happens from now on is reported."""
        return self._baseline.is_complete

    # From the thread of the watch

    def open(self) -> None:
        """Open the place and make sure that the index is about it.

        Raises:
            NotFoundError: There is no such place, or of a new watch, no such queue.
            DeniedError: The place may not be read, or of a new watch, the queue.
            UnavailableError: The place cannot be reached now, or is another volume.
            ConfigError: The server's own state is in there.
            StateError: The state cannot be used.
        """
        self._source.expect_volumes(self._baseline.volumes())
        if self._lifecycle.is_starting and not self._baseline.was_complete():
            # A wrong queue fails the start of a new watch; a watch that has worked goes on.
            self._source.verify_hints()
        self._source.open(self._wake)
        self._reconciler.is_reopened = True
        try:
            self._baseline.check(self._source.volume_id)
        except UnavailableError:
            self._source.close()
            raise
        self._store.note_node(self._source.only_node)
        if self._lifecycle.is_starting:
            if self._groups is None:
                forget_groups(self._store)
            else:
                self._groups.resume()
            self._baseline.resume(self._reconciler.drop)
            is_known = self._baseline.is_current and not HeldBack.of(self._store.index.gates).total
            if self._plan.resume(is_known=is_known):
                self._reconciler.is_reopened = False
        self._lifecycle.apply(Opened(self._source.mode, self._store.index.entries))
        self._reporter.set_parts(self._source.part_status)
        if self._source.degraded:
            # That nothing is amiss any more, only a scan can show.
            self._check_degradation()

    def turn(self) -> float:
        """Do what is due, and return how many seconds there is nothing to do unless woken.

        Raises:
            LimitError: The index has outgrown the quota of its principal.
            ConfigError: The server's own state is in the place.
            StateError: The state cannot be used.
        """
        self._publisher.confirm_if_due()
        self._outbox.seal()
        self._renew_ids()
        self._release_mounts()
        if self._lifecycle.must_reopen:
            # Even with a full journal: the scan that follows finds out whether it has room.
            if self._plan.is_due():
                self._read()
        elif self._share.is_journal_full(was_full=self._lifecycle.is_paused):
            self._pause()
            if streams := self._publisher.disconnect_stalled():
                self._reporter.disconnect(streams)
        else:
            self._read()
        self._reporter.plan(self._plan.due_s)
        return self._idle_s()

    def close(self, streams: int = 0) -> None:
        """Close the place, confirm what has been written, and let any server own the watch.

        Args:
            streams: Number of streams of this server that go on, wherever the watch runs then.
        """
        trouble = None
        self.steps += 1
        try:
            self._source.close()
            self.steps += 1
            self._publisher.confirm()
            self.steps += 1
            self._renew_ids()
        except WatcherError as error:
            trouble = error
        finally:
            self.held = 0
            self._volumes.refuse_releases("the watch has stopped")
            trouble = self._release_state(streams) or trouble
            self._lifecycle.apply(Ended(trouble))

    def _release_state(self, streams: int) -> WatcherError | None:
        """Close the state, and return why other servers must wait until the lease has run out."""
        try:
            self._store.release(streams)
        except WatcherError as error:
            return error
        return None

    def _idle_s(self) -> float:
        now_s = self._clock.monotonic()
        due_in_s: list[float | None] = [self._publisher.due_in_s()]
        if (seal_s := self._outbox.seal_due_s()) is not None:
            due_in_s.append(seal_s - now_s)
        if not self._lifecycle.is_paused:
            due_in_s.append(self._plan.due_s - now_s)
        if self._lifecycle.awaits_hints:
            due_in_s.append(self._source.due_in_s())
            if self._groups is not None and self._is_known:
                due_in_s.append(self._groups.due_s() - now_s)
        return max(0.0, min((each for each in due_in_s if each is not None), default=PAUSE_S))

    def _read(self) -> None:
        """Open the place again or read its hints, and scan it when that is due."""
        was_unavailable = self._lifecycle.must_reopen
        try:
            if was_unavailable:
                self.open()
            else:
                self._resume()
            if self._is_released.is_set():
                self._is_released.clear()
                if self.held:
                    self._request_scan(Rescan.RELEASED, is_allowed=not was_unavailable)
            if self._plan.is_due():
                self._scan()
            self._complete_groups()
        except (UnavailableError, NotFoundError, DeniedError) as error:
            self._source.close()
            requests, wait_s = self._plan.fail()
            self._lifecycle.apply(ReadFailed(error, wait_s, requests))
            if requests:
                self._reporter.degrade(self._plan.shortfall or self._source.degraded)
        except Interrupted:
            self._plan.interrupt()
            if not self._stop.is_set():
                self._pause()

    def _complete_groups(self) -> None:
        if self._groups is None:
            return
        if self._is_known:
            self._groups.complete_due(self._checkpoint)
        if (waiting := self._groups.report()) is not None:
            self._reporter.set_groups(waiting)

    @property
    def _is_known(self) -> bool:
        """Whether the index is as the place was when it was last read, so that groups may rest."""
        return self.is_baselined and not (
            self.held or self._reconciler.is_reopened or self._plan.is_out_of_turn
        )

    def _release_mounts(self) -> None:
        if self._lifecycle.must_reopen:
            self._volumes.refuse_releases("the place cannot be read now")
        for _ in self._volumes.release_requested():
            self._request_scan(Rescan.RELEASED)

    def _renew_ids(self) -> None:
        if self._is_restored.is_set():
            self._is_restored.clear()
            former_uid = self._store.uid
            self._outbox.renew_ids()
            self._reporter.renew_ids(former_uid, self._store.uid, self._store.journal.next_seq)

    def _resume(self) -> None:
        if self._lifecycle.is_paused:
            self._request_scan(Rescan.JOURNAL_FULL)
        # A watch that has just started is not shown as watching before it has looked.
        is_new = self._lifecycle.is_starting and self._plan.is_due()
        if self.is_baselined and not is_new:
            self._lifecycle.apply(Resumed())
            self._observe()

    def _observe(self) -> None:
        next_seq = self._store.journal.next_seq
        wait_s = self._committed_at_s + GROUP_COMMIT_S - self._clock.monotonic()
        if wait_s > 0:
            self._stop.wait(wait_s)
        with self._turn.taken():
            for observation in self._source.observe():
                pause()
                self._reconciler.apply(observation)
                self._checkpoint(0)
                if self._groups is not None and not isinstance(observation, Inspection):
                    self._groups.expedite()
        if self._store.journal.next_seq > next_seq:
            self._committed_at_s = self._clock.monotonic()
        self._learn_digests()
        if not self._plan.is_due():
            self._volumes.accept_new()
        self._check_degradation()
        if reason := self._reconciler.rescan_reason:
            self._reconciler.rescan_reason = None
            self._request_scan(reason)

    def _learn_digests(self) -> None:
        if self._learning.is_active:
            if self._learning.advance():
                self._wake()
            self._reporter.digest(self._learning.learnt, is_done=not self._learning.is_active)

    def _scan(self) -> None:
        # Before the index says anything of them; otherwise a crash could make them unknown.
        self._baseline.record_volumes(self._source.volumes)
        reason, is_baseline = self._plan.begin(), not self.is_baselined
        self._lifecycle.apply(ScanStarted(reason))
        is_first = self._reconciler.is_reopened
        result = self._reconcile(reason, is_baseline=is_baseline)
        if is_first and self._detector.rule.is_content:
            self._learning.begin()
        self.held = result.held
        self._baseline.record(self._source.volume_id, in_use=bool(self._publisher.streams))
        self._volumes.accept_new()
        self._check_degradation()
        if self._groups is not None:
            self._groups.expedite()
        interval_s = self._plan.complete(is_held=bool(result.held))
        self._lifecycle.apply(
            ScanCompleted(
                result=result,
                is_baseline=is_baseline,
                entries=self._store.index.entries,
                next_scan_s=interval_s,
                cost=self._source.cost,
            )
        )
        if is_baseline:
            self._baseline.is_complete = True
            self._publisher.notify()

    def _reconcile(self, reason: str, *, is_baseline: bool) -> ScanResult:
        self._detector.appearance = self._baseline.appearance()
        try:
            with span("scan", watch=self._name, place=self._spec.where.place, reason=reason):
                return self._reconciler.scan(is_baseline=is_baseline)
        finally:
            self._detector.appearance = lambda _path: Appearance.NEW

    def _checkpoint(self, scanned: int) -> None:
        """Leave a reading by ``Interrupted`` if the watch must stop or its journal is full."""
        self.steps += 1
        self._reporter.progress(scanned)
        self._share.check_entries()
        is_full = self._share.is_journal_full(was_full=self._lifecycle.is_paused)
        if self._stop.is_set() or is_full:
            raise Interrupted
        self._renew_ids()
        self._publisher.confirm_if_due()

    def _request_scan(self, reason: Rescan, *, is_allowed: bool = False) -> None:
        self._plan.request(reason, is_allowed=is_allowed)
        self._reporter.request_rescan(reason)

    def _check_degradation(self) -> None:
        self._reporter.set_parts(self._source.part_status)
        degradation = self._source.degraded
        self._reporter.degrade(degradation)
        self._reporter.set_mode(self._source.mode)
        self._reporter.set_hints(self._source.hint_status)
        self._plan.adjust(degradation)

    def _pause(self) -> None:
        self._lifecycle.apply(JournalFull(self._store.journal.depth, self._publisher.blockage))
