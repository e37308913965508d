"""One watch: a thread that takes turns until it is stopped, and what other threads may ask of it.

The thread alone touches source, detector and index; ``runner.py`` says what it does in a turn. It
sleeps between turns until a hint, a timer or a stream wakes it. Streams come and go on other
threads and deal with the publisher.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

from watcher.changes.reconciler import Interrupted
from watcher.delivery.outbox import Outbox
from watcher.delivery.publisher import Publisher
from watcher.errors import FencedError, LimitError, UnavailableError, WatcherError
from watcher.status_values import HeldBack
from watcher.telemetry.status import Totals
from watcher.watch.held_back import list_held_back
from watcher.watch.reporter import StatusReporter
from watcher.watch.runner import WatchRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.clock import Clock
    from watcher.limits.quotas import QuotaShare
    from watcher.limits.turns import Turn
    from watcher.model import Identity
    from watcher.settings import WatchLimits
    from watcher.sources.protocol import Source
    from watcher.spec import Spec
    from watcher.state.port import WatchStore
    from watcher.status_values import HintStatus
    from watcher.watch.held_back import HeldBackEntry


class Watch:
    """One running spec.

    Args:
        spec: What to watch.
        make_source: Returns the source, given a function that returns whether a long reading
            should stop. The watch opens and closes it.
        store: The state of the watch, which closes it.
        limits: What the server grants every watch.
        share: The part of this watch in the quota of its principal.
        turn: When its thread may compute, beside those of other watches.
        identity: The watch, as it is named in log and traces.
        clock: The time.

    Attributes:
        spec: What is watched.
        outbox: What has been committed: changes by type, and the newest.
        publisher: What streams read from.
        status: What the watch is doing.
        opened: Done when the place was found, or failed with the reason why not.
        ended: Done when the thread has released everything.
    """

    def __init__(  # noqa: PLR0913 - all that a watch is made of
        self,
        *,
        spec: Spec,
        make_source: Callable[[Callable[[], bool]], Source],
        store: WatchStore,
        limits: WatchLimits,
        share: QuotaShare,
        turn: Turn,
        identity: Identity,
        clock: Clock,
    ) -> None:
        self.spec = spec
        self.opened: Future[None] = Future()
        self.ended: Future[None] = Future()
        # Cancelling one wait for it must not cancel it for the others.
        self.ended.set_running_or_notify_cancel()
        self._store = store
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._reporter = StatusReporter(identity, clock)
        self.status = self._reporter.status
        self._source = make_source(self._stop.is_set)
        self.publisher = Publisher(spec, store, limits, clock=clock, wake=self._wake.set)
        self.outbox = Outbox(spec, store, clock=clock, publish=self.publisher.publish)
        self._runner = WatchRunner(
            spec=spec,
            identity=identity,
            source=self._source,
            store=store,
            outbox=self.outbox,
            publisher=self.publisher,
            reporter=self._reporter,
            share=share,
            turn=turn,
            clock=clock,
            wake=self._wake.set,
            stop=self._stop,
        )
        self._thread = threading.Thread(
            target=self._run, name=f"watch {identity.name}", daemon=True
        )
        self._failure: WatcherError | None = None
        # Its thread opens the watch, and any other one may make it fail at the same moment.
        self._opening = threading.Lock()
        self._is_released = False

    # For streams and the registry, from any thread

    def start(self) -> None:
        """Start the thread; if the process can have no more threads, the watch fails."""
        try:
            self._thread.start()
        except RuntimeError:
            self._fail(
                LimitError(
                    "the server can have no more threads",
                    place=self.spec.where.place,
                    hint="raise the limit of its process (pids limit, ulimit -u), "
                    "or use fewer event sources",
                )
            )
            self._stop.set()
            self._close()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stop.set()
        self._wake.set()

    def hand_over(self) -> None:
        """Ask the thread to end, and let another server own the watch; the streams are to move."""
        self._is_released = True
        self.stop()

    def release(self) -> int:
        """Scan again now to confirm the held deletions, and return how many there are."""
        held = self._runner.release()
        self._wake.set()
        return held

    def release_mount(self, prefix: bytes) -> Future[None]:
        """Accept that a mount is gone for good; see ``WatchRunner.release_mount``."""
        done = self._runner.release_mount(prefix)
        self._wake.set()
        return done

    def hint(self, keys: Sequence[bytes]) -> None:
        """Have keys looked at of which somebody says that they have changed."""
        self._source.hint(keys)

    def renew_ids(self) -> None:
        """Give the next changes new ids, since an acknowledgement shows that theirs were used."""
        self._runner.renew_ids()
        self._wake.set()

    def fail(self, error: WatcherError) -> None:
        """End the watch because its state cannot be used."""
        if self.is_running:
            self._fail(error)
            self.stop()

    def check_state(self) -> None:
        """End the watch if its state is of no further use, though nothing was asked of it since."""
        if (failure := self._store.failure) is not None:
            self.fail(failure)

    @property
    def failure(self) -> WatcherError | None:
        """Why the watch stopped by itself; None while it runs, or if it was asked to stop."""
        return self._failure

    @property
    def is_running(self) -> bool:
        """Whether streams can join."""
        return not self._stop.is_set()

    @property
    def is_handed_over(self) -> bool:
        """Whether its streams are to move to where the watch is now: another server may own it."""
        return self._is_released or self.is_fenced

    @property
    def is_fenced(self) -> bool:
        """Whether another server has taken the watch, so that nothing is written here any more."""
        return isinstance(self._failure, FencedError)

    @property
    def is_baselined(self) -> bool:
        """Whether the baseline scan is over: what happens from now on is reported."""
        return self._runner.is_baselined

    @property
    def blockage(self) -> str:
        """What keeps events from being confirmed when the journal is full."""
        return self.publisher.blockage

    @property
    def entries(self) -> int:
        """Entries in the index."""
        return self._store.index.entries

    @property
    def held_back(self) -> HeldBack:
        """Entries in the index that conditions hold back."""
        return HeldBack.of(self._store.index.gates)

    @property
    def ids_renewed_at(self) -> float:
        """When the ids were last renewed, seconds since the epoch; 0 for never."""
        return self._store.ids_renewed_at

    def list_held_back(self) -> list[HeldBackEntry]:
        """Return some of the entries that are held back, with the reasons; may read the disk.

        Raises:
            StateError: The state cannot be read, for example since the watch has ended.
        """
        return list_held_back(self.spec, self._store.index)

    @property
    def steps(self) -> int:
        """Rises while the watch does anything, and with each part of its end."""
        return self._runner.steps

    @property
    def unanswered_s(self) -> float:
        """Seconds for which the place has not answered, and the thread waits; 0 if it does not."""
        return self._source.unanswered_s

    @property
    def hint_status(self) -> HintStatus | None:
        """What arrives of the hints about the place; None where none do."""
        return self._source.hint_status

    @property
    def requests(self) -> int:
        """LIST requests sent since the start, retries included; 0 where none are."""
        return self._source.requests

    @property
    def totals(self) -> Totals:
        """What the watch has counted since its start."""
        status, delivered = self.status, self.publisher.counts()
        totals = Totals(
            events=Counter(self.outbox.by_type),
            rescans=status.rescans.copy(),
            errors=status.errors.copy(),
            scans=status.scans,
            holds=status.holds,
            held_at=status.held_at,
            requests=self._source.requests,
            failed_requests=status.failed_requests,
            written=delivered.written,
            redelivered=delivered.redelivered,
            blocked_s=delivered.blocked_s,
        )
        if (hints := self.hint_status) is not None:
            totals.count_hints(hints)
        return totals

    # The thread

    def _run(self) -> None:
        try:
            self._runner.open()
            with self._opening:
                if not self.opened.done():
                    self.opened.set_result(None)
            while not self._stop.is_set():
                self._wake.clear()
                self._wake.wait(self._runner.turn())
            self.outbox.seal(now=True)
        except Interrupted:
            pass
        except WatcherError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - streams must end and the log must have the trace
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
        with self._opening:
            self._failure = error
            is_starting = not self.opened.done()
            requests = self._source.requests if is_starting else 0
            self._reporter.fail(error, is_reported=is_starting, requests=requests)
            if is_starting:
                self.opened.set_exception(error)

    def _close(self) -> None:
        try:
            self._runner.close(self.publisher.streams if self._is_released else 0)
        finally:
            with self._opening:
                if not self.opened.done():
                    self.opened.set_exception(
                        self._failure
                        or UnavailableError("the watch has stopped", place=self.spec.where.place)
                    )
            self.ended.set_result(None)
            self.publisher.notify()
