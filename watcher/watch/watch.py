"""A watch: one running spec, with a thread of its own that reads the place, keeps the index and writes the journal.

The thread alone touches source, detector and index; streams come and go from other threads, and deal with its publisher. The thread sleeps
until a hint, a timer or a stream wakes it.

States:  starting ─→ scanning ⇄ watching        the place is read
                        ⇅          ⇅
                     unavailable / paused        it cannot be read now / the journal is full
                        └────→ stopped           asked to, or failed
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Interrupted, Reconciler
from watcher.delivery.audience import Audience
from watcher.delivery.outbox import Outbox
from watcher.delivery.publisher import Publisher
from watcher.errors import DeniedError, LimitError, NotFoundError, UnavailableError, WatcherError
from watcher.model import Rescan
from watcher.spec import Confirm
from watcher.telemetry.status import State, Totals
from watcher.telemetry.tracing import span
from watcher.watch.baseline import Baseline
from watcher.watch.reporter import StatusReporter
from watcher.watch.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.limits.quotas import QuotaShare
    from watcher.model import Identity
    from watcher.settings import WatchLimits
    from watcher.sources.protocol import Source
    from watcher.spec import Spec
    from watcher.state.sqlite.store import WatchStore
    from watcher.telemetry.recent_changes import RecentChanges

PAUSE_S = 1.0
"""So long it sleeps when nothing is due."""

RESUME_SHARE = 0.5
"""A watch whose journal was full looks again when no more than this share of the cap waits."""

GROUP_WAIT_S = 0.005
"""So long after a commit the next changes are left to gather, since it costs as much as a hundred of them; one alone never waits."""


class Watch:
    """One running spec.

    Args:
        spec: What to watch.
        make_source: Makes the source, from what tells a long reading to stop; the watch opens and closes it.
        store: Its state; closed by the watch.
        limits: What the server grants.
        share: What it grants this one among the watches of its principal.
        identity: For log and traces.
        clock: The time.

    Attributes:
        publisher: What streams see of it.
        status: What it is doing.
        opened: Done when the place was found, or failed with the reason why not.
        ended: Done when the thread has let go of everything.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a watch is made of
        self,
        spec: Spec,
        make_source: Callable[[Callable[[], bool]], Source],
        store: WatchStore,
        limits: WatchLimits,
        share: QuotaShare,
        identity: Identity,
        clock: Clock,
    ) -> None:
        self.spec = spec
        self.opened: Future[None] = Future()
        self.ended: Future[None] = Future()
        # Who waits for it no longer must not be able to cancel it.
        self.ended.set_running_or_notify_cancel()
        self._baseline = Baseline(spec, store, clock)
        self._clock = clock
        self._name = identity.name
        self._store = store
        self._limits = limits
        self._share = share
        self._reporter = StatusReporter(identity, clock)
        self.status = self._reporter.status
        self._wake = threading.Event()
        self._is_released = threading.Event()
        self._stop = threading.Event()
        self._source = make_source(self._stop.is_set)
        self._audience = Audience(
            store.next_seq - 1, spec.ack_timeout_s if spec.confirm is Confirm.ACK else None
        )
        self._outbox = Outbox(
            spec, store, time_ns=clock.wall_ns, clock=clock.monotonic, committed=self._audience.tell
        )
        self.publisher = Publisher(store, self._outbox, self._audience, limits, self._wake.set)
        self._detector = ChangeDetector(spec.events, store.index.new_row)
        self._reconciler = Reconciler(
            self._source, store.index, self._detector, self._outbox, self._checkpoint
        )
        self._thread = threading.Thread(
            target=self._run, name=f"watch {identity.name}", daemon=True
        )
        self._failure: WatcherError | None = None
        self._schedule = Schedule(clock)
        self._changed_at_s = 0.0

    # For streams and the registry, from any thread

    def start(self) -> None:
        """Start the thread; where there can be no more threads, the watch has failed."""
        try:
            self._thread.start()
        except RuntimeError:
            hint = "let its process have more of them (pids limit, ulimit -u), or use fewer event sources"
            self._fail(
                LimitError(
                    "the server can have no more threads", place=self.spec.where.place, hint=hint
                )
            )
            self._stop.set()
            self._close()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stop.set()
        self._wake.set()

    def release(self) -> int:
        """Have the second scan, on which held deletions wait, made now; return how many those are."""
        self._is_released.set()
        self._wake.set()
        return self.status.held

    def fail(self, error: WatcherError) -> None:
        """End the watch because its state cannot be read; called by a stream that met it."""
        if self.is_running:
            self._fail(error)
            self.stop()

    @property
    def failure(self) -> WatcherError | None:
        """Why the watch stopped by itself; None while it runs, or when it was asked to stop."""
        return self._failure

    @property
    def is_running(self) -> bool:
        """Whether streams can join."""
        return not self._stop.is_set()

    @property
    def is_baselined(self) -> bool:
        """Whether the first scan of all is over: what happens from now on is reported."""
        return self._baseline.is_complete

    @property
    def blockage(self) -> str:
        """What keeps events from being confirmed when the journal is full."""
        return (
            "nobody acknowledges"
            if self.publisher.waits_for_acknowledgements
            else "the client reads too slowly, or not at all"
        )

    @property
    def entries(self) -> int:
        """Entries in the index."""
        return self._store.entries

    @property
    def next_seq(self) -> int:
        """Sequence number that the next change gets."""
        return self._store.next_seq

    @property
    def by_type(self) -> dict[str, int]:
        """Changes reported since the start, by type."""
        return dict(self._outbox.by_type)

    @property
    def recent(self) -> RecentChanges:
        """The last changes reported."""
        return self._outbox.recent

    @property
    def totals(self) -> Totals:
        """What it has counted since its start."""
        status, publisher = self.status, self.publisher
        return Totals(
            events=Counter(self.by_type),
            rescans=status.rescans.copy(),
            errors=status.errors.copy(),
            scans=status.scans,
            holds=status.holds,
            held_at=status.held_at,
            requests=self._source.requests,
            written=publisher.written,
            rewritten=publisher.rewritten,
            blocked_s=publisher.blocked_s,
        )

    # The thread

    def _run(self) -> None:
        try:
            self._open()
            self.opened.set_result(None)
            while not self._stop.is_set():
                self._turn()
            self._outbox.seal(now=True)
        except Interrupted:
            pass
        except WatcherError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, streams must end and the log must tell
            self._reporter.crash()
            failure = UnavailableError(
                "the watch failed", place=self.spec.where.place, hint="see the server's log"
            )
            failure.__cause__ = error
            self._fail(failure)
        finally:
            self._stop.set()
            self._close()

    def _fail(self, error: WatcherError) -> None:
        self._failure = error
        is_starting = not self.opened.done()
        self._reporter.fail(error, is_told=is_starting)
        if is_starting:
            self.opened.set_exception(error)

    def _close(self) -> None:
        trouble = None
        try:
            self._source.close()
            self.publisher.confirm()
        except WatcherError as error:
            trouble = error
        finally:
            self._reporter.close(trouble)
            self._store.close()
            if not self.opened.done():
                self.opened.set_exception(
                    self._failure
                    or UnavailableError("the watch has stopped", place=self.spec.where.place)
                )
            self.ended.set_result(None)
            self._audience.tell()

    def _turn(self) -> None:
        """Do all that is due, then sleep until something may be."""
        self._wake.clear()
        self.publisher.confirm_if_due()
        self._outbox.seal()
        if self.status.state is State.UNAVAILABLE:
            # Its source is closed, so it comes back by opening it, also when the journal is full meanwhile.
            if self._schedule.is_due():
                self._look()
        elif self._is_full():
            self._pause()
            if streams := self.publisher.dismiss_stalled():
                self._reporter.dismiss(streams)
        else:
            self._look()
        self._wake.wait(self._sleep_s())

    def _look(self) -> None:
        try:
            if self.status.state is State.UNAVAILABLE:
                # It stays so until a scan has shown that all of it can be read.
                self._open()
            else:
                self._resume()
            if self._is_released.is_set():
                self._is_released.clear()
                if self.status.held:
                    self._request_scan(Rescan.RELEASED)
            if self._schedule.is_due():
                self._scan()
                self._reporter.enter(State.WATCHING)
        except (UnavailableError, NotFoundError, DeniedError) as error:
            self._on_unavailable(error)
        except Interrupted:
            if not self._stop.is_set():
                self._pause()

    def _resume(self) -> None:
        if self.status.state is State.PAUSED:
            self._request_scan(Rescan.JOURNAL_FULL)
        if self.is_baselined:
            self._reporter.enter(State.WATCHING)
            self._observe()

    def _observe(self) -> None:
        next_seq = self._store.next_seq
        if (wait_s := self._changed_at_s + GROUP_WAIT_S - self._clock.monotonic()) > 0:
            self._stop.wait(wait_s)
        for observation in self._source.observe():
            self._reconciler.apply(observation)
            self._checkpoint(0)
        if self._store.next_seq > next_seq:
            self._changed_at_s = self._clock.monotonic()
        self._note_degraded()
        if reason := self._reconciler.rescan_reason:
            self._reconciler.rescan_reason = None
            self._request_scan(reason)

    def _request_scan(self, reason: Rescan) -> None:
        self._schedule.request(reason)
        self.status.rescans[reason] += 1

    def _scan(self) -> None:
        reason, is_baseline = self._schedule.begin(), not self.is_baselined
        self._detector.appearance = self._baseline.appearance()
        self._reporter.begin_scan(reason)
        try:
            with span("scan", watch=self._name, place=self.spec.where.place, reason=reason):
                result = self._reconciler.scan(is_baseline=is_baseline)
        finally:
            self._detector.appearance = lambda _path: Appearance.NEW
        self._baseline.record(self._source.volume_id, in_use=bool(self.publisher.streams))
        self._note_degraded()
        interval_s = self._source.scan_interval_s
        if result.held:
            interval_s = min(interval_s, self.spec.where.poll_interval_s)
        self._reporter.end_scan(result, self._store.entries, interval_s)
        if self._source.cost is not None and self.status.scans.count == 1:
            self._reporter.bill(self._source.cost, result.entries)
        if is_baseline:
            self._reporter.baseline(result)
            self._baseline.is_complete = True
            self._audience.tell()
        self._schedule.succeed(interval_s)

    def _checkpoint(self, scanned: int) -> None:
        self._reporter.progress(scanned)
        self._share.check_entries()
        if self._stop.is_set() or self._is_full():
            raise Interrupted
        self.publisher.confirm_if_due()

    def _pause(self) -> None:
        self._reporter.pause(self._store.depth, self.blockage)

    def _is_full(self) -> bool:
        depth, cap = self._store.depth, self._limits.journal_cap
        if self.status.state is State.PAUSED:
            return depth > cap * RESUME_SHARE or self._share.is_journal_full(RESUME_SHARE)
        return depth >= cap or self._share.is_journal_full(1.0)

    def _sleep_s(self) -> float:
        now_s = self._clock.monotonic()
        times = []
        if self.status.state is not State.PAUSED:
            times.append(self._schedule.due_s - now_s)
            due_in_s = self._source.due_in_s() if self.status.state is State.WATCHING else None
            if due_in_s is not None:
                times.append(due_in_s)
        if (seal_s := self._outbox.seal_due_s()) is not None:
            times.append(seal_s - now_s)
        if (due_in_s := self.publisher.due_in_s()) is not None:
            times.append(due_in_s)
        return max(0.0, min(times, default=PAUSE_S))

    # Opening, and what to do when the place cannot be read

    def _open(self) -> None:
        """Open the place and make sure that it is the one that the index speaks of."""
        self._source.open(self._wake.set)
        try:
            self._baseline.check(self._source.volume_id)
        except UnavailableError:
            self._source.close()
            raise
        if self.status.state is State.STARTING:
            self._baseline.resume(self._reconciler.drop)
        self._schedule.request()
        self._reporter.open(self._source.mode, self._store.entries)
        if self._source.degraded:
            # Whether all is well again, a scan must show.
            self._note_degraded()

    def _note_degraded(self) -> None:
        if self._reporter.degrade(self._source.degraded):
            # From now on it is the scans that find what is not notified.
            self._schedule.expedite(self._source.scan_interval_s)

    def _on_unavailable(self, error: WatcherError) -> None:
        self._source.close()
        self._reporter.miss(error, self._schedule.backoff_s)
        self._schedule.fail()
