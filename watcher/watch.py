"""A watch: one running spec, with a thread of its own that reads the place, keeps the index and writes the journal.

The thread alone touches source, tracker and index; streams come and go from other threads, and deal with its courier. The thread sleeps
until a hint, a timer or a stream wakes it.

States:  starting ─→ scanning ⇄ watching        the place is read
                        ⇅          ⇅
                     unavailable / paused        it cannot be read now / the journal is full
                        └────→ stopped           asked to, or failed
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from watcher.audience import Audience
from watcher.baseline import Baseline
from watcher.courier import Courier
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.outbox import Outbox
from watcher.reconciler import Interrupted, Reconciler
from watcher.schedule import Schedule
from watcher.spec import Confirm
from watcher.status import State, Status, Totals
from watcher.traces import span
from watcher.tracker import Appearance, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.limits import Share
    from watcher.recent import RecentChanges
    from watcher.sources.base import Source
    from watcher.spec import Spec
    from watcher.status import Limits
    from watcher.store import Store

PAUSE_S = 1.0
"""So long it sleeps when nothing is due."""

PROGRESS_INTERVAL_S = 5.0
RESUME_SHARE = 0.5
"""A watch whose journal was full looks again when no more than this share of the cap waits."""

GROUP_WAIT_S = 0.005
"""So long after a commit the next changes are left to gather, since it costs as much as a hundred of them; one alone never waits."""


class Watch:
    """One running spec.

    Args:
        spec: What to watch.
        make_source: Makes what reads it, from the spec and what tells a long reading to stop; opened and closed by the watch.
        store: Its state; closed by the watch.
        limits: What the server grants.
        share: What it grants this one among the watches of its principal.
        name: For log and traces.

    Attributes:
        courier: What streams see of it.
        status: What it is doing.
        opened: Done when the place was found, or failed with the reason why not.
        ended: Done when the thread has let go of everything.
    """

    def __init__(  # noqa: PLR0913 - all that a watch is made of
        self,
        spec: Spec,
        make_source: Callable[[Spec, Callable[[], bool]], Source],
        store: Store,
        limits: Limits,
        share: Share,
        *,
        name: str,
    ) -> None:
        self.spec = spec
        self.status = Status()
        self.opened: Future[None] = Future()
        self.ended: Future[None] = Future()
        # Who waits for it no longer must not be able to cancel it.
        self.ended.set_running_or_notify_cancel()
        self._baseline = Baseline(spec, store)
        self._name = name
        self._store = store
        self._limits = limits
        self._share = share
        self._log = structlog.get_logger("watcher").bind(watch=name, place=spec.where.place)
        self._wake = threading.Event()
        self._is_released = threading.Event()
        self._stop = threading.Event()
        self._source = make_source(spec, self._stop.is_set)
        self._audience = Audience(store.next_seq - 1, spec.ack_timeout_s if spec.confirm is Confirm.ACK else None)
        self._outbox = Outbox(spec, store, time_ns=time.time_ns, clock=time.monotonic, committed=self._audience.tell)
        self.courier = Courier(store, self._outbox, self._audience, limits, self._wake.set)
        self._tracker = Tracker(spec.events, store.index.new_row)
        self._reconciler = Reconciler(self._source, store.index, self._tracker, self._outbox, self._checkpoint)
        self._thread = threading.Thread(target=self._run, name=f"watch {name}", daemon=True)
        self._failure: WatcherError | None = None
        self._schedule = Schedule()
        self._changed_at_s = 0.0
        self._progress_due_s = 0.0
        self._warned = ""

    # For streams and the registry, from any thread

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

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
        status, courier = self.status, self.courier
        return Totals(
            events=Counter(self.by_type),
            rescans=status.rescans.copy(),
            errors=status.errors.copy(),
            scans=status.scans,
            holds=status.holds,
            requests=self._source.requests,
            written=courier.written,
            rewritten=courier.rewritten,
            blocked_s=courier.blocked_s,
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
            self._log.exception("watch.failed")
            failure = UnavailableError("the watch failed", place=self.spec.where.place, hint="see the server's log")
            failure.__cause__ = error
            self._fail(failure)
        finally:
            self._stop.set()
            self._close()

    def _fail(self, error: WatcherError) -> None:
        self._failure = error
        self.status.errors[error.cause] += 1
        if not self.opened.done():
            self.opened.set_exception(error)
        else:
            self._log.error("watch.stopped", error=str(error))

    def _close(self) -> None:
        self._enter(State.STOPPED)
        try:
            self._source.close()
            self.courier.confirm()
        except WatcherError as error:
            self._log.warning("watch.close", error=str(error))
        finally:
            self._store.close()
            if not self.opened.done():
                self.opened.set_exception(self._failure or UnavailableError("the watch has stopped", place=self.spec.where.place))
            self.ended.set_result(None)
            self._audience.tell()

    def _turn(self) -> None:
        """Do all that is due, then sleep until something may be."""
        self._wake.clear()
        self.courier.confirm_if_due()
        self._outbox.seal()
        if self.status.state is State.UNAVAILABLE:
            # Its source is closed, so it comes back by opening it, also when the journal is full meanwhile.
            if self._schedule.is_due(time.monotonic()):
                self._look()
        elif self._is_full():
            self._enter(State.PAUSED)
            if streams := self.courier.dismiss_stalled():
                self._log.warning("stream.dismissed", streams=streams, hint="their clients did not read, and held up others")
        else:
            self._look()
        self._wake.wait(self._sleep_s())

    def _look(self) -> None:
        try:
            if self.status.state is State.UNAVAILABLE:
                self._open()
            if self.status.state is State.PAUSED:
                self._request_scan("the journal was full")
            if self.is_baselined:
                self._enter(State.WATCHING)
                self._observe()
            if self._is_released.is_set():
                self._is_released.clear()
                if self.status.held:
                    self._request_scan("deletions were released")
            if self._schedule.is_due(time.monotonic()):
                self._scan()
                self._enter(State.WATCHING)
        except (UnavailableError, NotFoundError, DeniedError) as error:
            self._on_unavailable(error)
        except Interrupted:
            if not self._stop.is_set():
                self._enter(State.PAUSED)

    def _observe(self) -> None:
        next_seq = self._store.next_seq
        if (wait_s := self._changed_at_s + GROUP_WAIT_S - time.monotonic()) > 0:
            self._stop.wait(wait_s)
        for observation in self._source.observe():
            self._reconciler.apply(observation)
            self._checkpoint(0)
        if self._store.next_seq > next_seq:
            self._changed_at_s = time.monotonic()
        self._note_degraded()
        if reason := self._reconciler.rescan_reason:
            self._reconciler.rescan_reason = ""
            self._request_scan(reason)

    def _request_scan(self, reason: str) -> None:
        self._schedule.request(reason)
        self.status.rescans[reason] += 1

    def _scan(self) -> None:
        self._enter(State.SCANNING)
        if reason := self._schedule.begin():
            self._log.info("scan.out_of_turn", reason=reason)
        is_baseline = not self.is_baselined
        self._tracker.appearance = self._baseline.appearance()
        self._progress_due_s = time.monotonic() + PROGRESS_INTERVAL_S
        try:
            with span("scan", watch=self._name, place=self.spec.where.place, reason=reason):
                result = self._reconciler.scan(is_baseline=is_baseline)
        finally:
            self._tracker.appearance = lambda _path: Appearance.NEW
        self._baseline.record(self._source.identity, in_use=bool(self.courier.streams))
        status = self.status
        status.scans.observe(result.duration_s)
        status.scan_s, status.scanned_at, status.error = result.duration_s, time.time(), ""
        self._note_degraded()
        interval_s = self._source.scan_interval_s
        if result.held:
            status.holds += 1
            interval_s = min(interval_s, self.spec.where.poll_interval_s)
            hint = "the next scan reports them if it agrees; if they should not be gone, bring the entries back before it"
            self._log.warning("scan.held", deletions=result.held, entries=self._store.entries, next_scan_s=round(interval_s, 1), hint=hint)
        status.held = result.held
        if self._source.cost is not None and status.scans.count == 1:
            self._log.info("watch.cost", entries=result.entries, **asdict(self._source.cost))
        if is_baseline:
            self._log.info("watch.baselined", entries=result.entries, mode=self._source.mode, seconds=round(result.duration_s, 3))
            self._baseline.is_complete = True
            self._audience.tell()
        self._schedule.succeed(time.monotonic(), interval_s)

    def _checkpoint(self, scanned: int) -> None:
        self.status.scanned = scanned
        self._share.check_entries()
        if self._stop.is_set() or self._is_full():
            raise Interrupted
        self.courier.confirm_if_due()
        if scanned and time.monotonic() >= self._progress_due_s:
            self._progress_due_s = time.monotonic() + PROGRESS_INTERVAL_S
            self._log.info("scan.progress", entries=scanned)

    def _is_full(self) -> bool:
        depth, cap = self._store.depth, self._limits.journal_cap
        if self.status.state is State.PAUSED:
            return depth > cap * RESUME_SHARE or self._share.is_journal_full(RESUME_SHARE)
        return depth >= cap or self._share.is_journal_full(1.0)

    def _sleep_s(self) -> float:
        now_s = time.monotonic()
        times = []
        if self.status.state is not State.PAUSED:
            times.append(self._schedule.due_s - now_s)
            due_in_s = self._source.due_in_s() if self.status.state is State.WATCHING else None
            if due_in_s is not None:
                times.append(due_in_s)
        if (seal_s := self._outbox.seal_due_s()) is not None:
            times.append(seal_s - now_s)
        if (due_in_s := self.courier.due_in_s()) is not None:
            times.append(due_in_s)
        return max(0.0, min(times, default=PAUSE_S))

    # Opening, and what to do when the place cannot be read

    def _open(self) -> None:
        """Open the place and make sure that it is the one that the index speaks of."""
        self._source.open(self._wake.set)
        try:
            self._baseline.check(self._source.identity)
        except UnavailableError:
            self._source.close()
            raise
        if self.status.state is State.STARTING:
            self._baseline.resume(self._reconciler.drop)
        self.status.mode = self._source.mode
        self._schedule.request()
        self._log.info("watch.opened", mode=self._source.mode, entries=self._store.entries)
        self._note_degraded()

    def _note_degraded(self) -> None:
        """Pass on why less is noticed than was asked for, and warn of each reason once."""
        former, self.status.degraded = self.status.degraded, self._source.degraded
        reason = self.status.degraded
        if reason and reason != former:
            # From now on it is the scans that find what is not notified.
            self._schedule.expedite(time.monotonic(), self._source.scan_interval_s)
        if reason and reason != self._warned:
            self._warned = reason
            self._log.warning("watch.degraded", reason=reason)

    def _on_unavailable(self, error: WatcherError) -> None:
        self._source.close()
        if self.status.error != str(error):
            self._log.warning("watch.unavailable", error=str(error), retry_s=round(self._schedule.backoff_s, 1))
        self.status.error = str(error)
        self.status.errors[error.cause] += 1
        self._enter(State.UNAVAILABLE)
        self._schedule.fail(time.monotonic())

    def _enter(self, state: State) -> None:
        status = self.status
        if status.state is state:
            return
        if status.state is State.UNAVAILABLE and state is not State.STOPPED:
            self._log.info("watch.available")
        if state is State.PAUSED:
            self._log.warning("watch.paused", unconfirmed=self._store.depth, hint="the client reads too slowly, or not at all")
        status.state, status.since = state, time.time()
