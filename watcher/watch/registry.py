"""The watches of a server by identity: starts, shares, replaces and ends them, on the event loop.

A watch that had no stream for the idle timeout is ended; what it has counted stays in the totals.
One lock per identity orders start, stop and replay, so that no state is opened twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from watcher.errors import AwayError, ConflictError, LimitError, UnavailableError
from watcher.limits.state_threads import StateThreads, answered
from watcher.spec import BucketSpec, HintKind
from watcher.telemetry.status import Totals
from watcher.watch.factory import WatchFactory
from watcher.watch.queue_claims import QueueClaims
from watcher.watch.report import describe_unanswered
from watcher.watch.start_failures import StartFailures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.clock import Clock
    from watcher.delivery.publisher import Subscriber
    from watcher.delivery.subscription import Subscription
    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.quotas import StoredUsage
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.sources.factory import Sources
    from watcher.sources.s3.hints.records import Hint
    from watcher.spec import AuthorizedSpec, Spec
    from watcher.state.port import StateEngine, Summary
    from watcher.watch.watch import Watch

STOP_TIMEOUT_S = 10.0
"""Longest wait in seconds for a watch to stop before another one replaces it.

A request to an object store can take that long.
"""

CLOSE_TIMEOUT_S = 2.0
"""Longest wait in seconds for all watches to stop when the server does."""


class WatchRegistry:
    """The watches of one server.

    Args:
        settings: Limits and timeouts.
        state: Keeps the state of all watches.
        sources: Makes their sources.
        fair_queue: Orders the building of watches.
        clock: The time.

    Attributes:
        threads: Where calls wait for the state.
    """

    def __init__(
        self,
        settings: ServerSettings,
        state: StateEngine,
        sources: Sources,
        fair_queue: FairQueue,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state = state
        self._sources = sources
        self._fair_queue = fair_queue
        self.threads = StateThreads()
        self._clock = clock
        self._factory: WatchFactory | None = None
        self._start_failures = StartFailures(clock)
        self._queue_claims = QueueClaims(settings.idle_timeout_s)
        self._running: dict[Identity, Watch] = {}
        # A lock lives as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self._idle_since_s: dict[Identity, float] = {}
        self._ending: dict[Identity, asyncio.Task[None]] = {}
        self._unanswered: set[Identity] = set()
        self._ended_totals = Totals()
        self._making = 0
        self._log = structlog.get_logger("watcher")

    # Running, idle and ended watches

    def running(self) -> list[tuple[Identity, Watch]]:
        """Return the running watches with their identities."""
        return list(self._running.items())

    def idle(self) -> dict[Identity, StoredUsage]:
        """Return what each watch occupies that does not run."""
        return self._factory.idle() if self._factory else {}

    def known(self) -> list[Identity]:
        """Return the identities of all watches whose state is kept, running or not."""
        return self._factory.identities() if self._factory else []

    def totals(self) -> Totals:
        """Return what all watches have counted since the server started, ended ones included."""
        totals = Totals()
        totals.add(self._ended_totals)
        for watch in self._running.values():
            totals.add(watch.totals)
        return totals

    @property
    def descriptors(self) -> int:
        """Watch descriptors of inotify(7) in use."""
        return self._sources.descriptors

    # For streams and operators

    async def join(
        self, identity: Identity, authorized: AuthorizedSpec, subscriber: Subscriber
    ) -> tuple[Watch, Subscription]:
        """Connect a stream to the watch of an identity, starting the watch if it does not run.

        Args:
            identity: The watch.
            authorized: What it must watch. Only the spec is compared with that of a running watch:
                the rest depends on the principal, which is part of the identity.
            subscriber: How the stream is reached.

        Raises:
            ConflictError: The watch has streams, and another configuration; or another watch reads
                the same queue.
            ConfigError: The place holds the server's own state.
            NotFoundError: There is no such place.
            DeniedError: The place may not be read.
            UnavailableError: The place cannot be reached now, or the server is shutting down.
            LimitError: There are too many watches, or this one occupies too much.
            StateError: The state cannot be used.
        """
        self.check_state()
        async with self._lock(identity):
            watch = await self._find(identity, authorized.spec)
            if watch is None:
                watch = await self._start(identity, authorized)
            self._idle_since_s.pop(identity, None)
            return watch, watch.publisher.subscribe(subscriber)

    def check_state(self) -> None:
        """Make sure that nothing waits for the state already.

        Raises:
            AwayError: It is away.
        """
        if away_s := self._state.away_s():
            raise AwayError(
                f"the database has been away for {away_s:.0f} s",
                place=self._state.place,
                hint="try it again",
            )

    def leave(self, identity: Identity, watch: Watch, subscription: Subscription) -> None:
        """Disconnect a stream from its watch."""
        watch.publisher.unsubscribe(subscription)
        if not watch.publisher.streams and self._running.get(identity) is watch:
            self._idle_since_s[identity] = self._clock.monotonic()

    async def replay(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Write confirmed events of a watch again, now or when it runs; see ``Publisher.replay``.

        Raises:
            StateError: The state cannot be used.
        """
        async with self._lock(identity):
            watch = self._running.get(identity)
            if watch is not None and watch.is_running:
                replay = partial(watch.publisher.replay, seq=seq, time_s=time_s)
                return await answered(self.threads.run(replay))
            return await self._opened().rewind(identity, seq=seq, time_s=time_s)

    def hint(self, principal: str, hints: Sequence[Hint]) -> int:
        """Have watches look at keys of which somebody says that they have changed.

        Args:
            principal: Whose watches these are.
            hints: The keys, by bucket.

        Returns:
            The number of running watches that take hints about one of the buckets from a webhook.
        """
        keys: dict[str, list[bytes]] = {}
        for hint in hints:
            keys.setdefault(hint.bucket, []).extend(hint.keys)
        hinted = 0
        for identity, watch in self._running.items():
            bucket = _hinted_bucket(watch.spec)
            if identity.principal == principal and bucket in keys and watch.is_running:
                watch.hint(keys[bucket])
                hinted += 1
        return hinted

    # For the server

    async def open(self) -> None:
        """Remove state that is no longer used, and let streams join; the server owns the state.

        Raises:
            StateError: The state cannot be read.
        """
        summaries = await asyncio.to_thread(self._read_state)
        self._factory = WatchFactory(
            self._settings, self._state, summaries, self._sources, self._fair_queue, self._clock
        )

    def _read_state(self) -> Mapping[Identity, Summary]:
        self._state.remove_unused()
        return self._state.summaries()

    async def end_idle(self) -> None:
        """Begin to stop the watches that had no stream for the idle timeout, and return at once.

        A watch may take long to stop while its place does not answer.
        """
        latest_s = self._clock.monotonic() - self._settings.idle_timeout_s
        idle = [identity for identity, since_s in self._idle_since_s.items() if since_s <= latest_s]
        for identity in idle:
            if identity not in self._ending:
                self._ending[identity] = asyncio.create_task(self._end_idle(identity))

    async def end_failed(self) -> None:
        """End the watches whose state is of no further use."""
        for watch in self._running.values():
            watch.check_state()

    async def report_unanswered(self) -> None:
        """Log each watch whose place has not answered for long, and when it answers again."""
        unanswered = {
            identity: text
            for identity, watch in self._running.items()
            if (text := describe_unanswered(watch.unanswered_s))
        }
        for identity in unanswered.keys() - self._unanswered:
            self._log.warning("watch.unanswered", **identity.labels, error=unanswered[identity])
        for identity in self._unanswered - unanswered.keys():
            self._log.info("watch.answered", **identity.labels)
        self._unanswered = set(unanswered)

    async def close(self) -> None:
        """Stop all watches and wait for them; no stream can join until they are opened again."""
        if self._factory is not None:
            self._factory.close()
            self._factory = None
        watches = list(self._running.values())
        for watch in watches:
            watch.stop()
        if busy := await _wait_ended(watches, CLOSE_TIMEOUT_S):
            # Nothing is lost: changes that were not committed are found again by the next scan.
            self._log.warning("watch.abandoned", watches=busy)
        for watch in watches:
            self._ended_totals.add(watch.totals)
        self._running.clear()
        self._idle_since_s.clear()

    # Starting and stopping, under the lock of the identity

    def _opened(self) -> WatchFactory:
        """Return the factory.

        Raises:
            UnavailableError: The watches are closed.
        """
        if self._factory is None:
            raise UnavailableError("no watch can be started now", hint="connect again")
        return self._factory

    def _lock(self, identity: Identity) -> asyncio.Lock:
        return self._locks.setdefault(identity, asyncio.Lock())

    async def _find(self, identity: Identity, spec: Spec) -> Watch | None:
        """Return the watch that runs with a spec; stop one that has ended or has another spec."""
        watch = self._running.get(identity)
        if watch is None:
            return None
        if watch.spec == spec and isinstance(watch.failure, LimitError):
            # Clients reconnect every few seconds; it is tried again after the idle timeout only.
            raise watch.failure.with_traceback(None)
        if watch.spec == spec and watch.is_running:
            return watch
        if watch.is_running and watch.publisher.streams:
            raise ConflictError(
                f"{identity.name!r} is already streamed with another configuration",
                place=identity.place,
                hint="set a different id: in one of the two configurations",
            )
        await self._stop(identity, watch)
        return None

    async def _start(self, identity: Identity, authorized: AuthorizedSpec) -> Watch:
        """Start a watch and wait until its place is open; a failed start leaves no new state."""
        factory = self._opened()
        self._start_failures.check(identity, authorized.spec)
        running = len(self._running) + self._making
        if running >= self._settings.max_watches:
            raise LimitError(
                f"the server runs {running} watches, and no more",
                place=identity.place,
                hint="use fewer event sources, or start it with a higher --max-watches",
            )
        self._queue_claims.claim(identity, authorized.spec)
        self._making += 1
        try:
            watch, is_new = await factory.make(identity, authorized)
        except BaseException:
            self._queue_claims.release(identity)
            raise
        finally:
            self._making -= 1
        self._queue_claims.keep_until(watch.ended, identity)
        self._running[identity] = watch
        watch.start()
        opened = asyncio.wrap_future(watch.opened)
        # Retrieves the exception when the stream leaves meanwhile, or asyncio would log it.
        opened.add_done_callback(asyncio.Future.exception)
        try:
            await asyncio.shield(opened)
        except BaseException:
            # If it does not stop in time, ``end_idle`` finds it.
            self._idle_since_s[identity] = self._clock.monotonic()
            if watch.failure is not None:
                self._start_failures.add(identity, authorized.spec, watch.failure, watch.requests)
            await self._stop(identity, watch)
            if is_new and watch.failure is not None:
                await factory.remove(identity)
            raise
        self._start_failures.forget(identity)
        self._idle_since_s[identity] = self._clock.monotonic()
        return watch

    async def _stop(self, identity: Identity, watch: Watch) -> None:
        watch.stop()
        if await _wait_ended([watch], STOP_TIMEOUT_S):
            raise UnavailableError(
                "the watch is still stopping", place=identity.place, hint="connect again"
            )
        if self._running.pop(identity, None) is not None:
            self._ended_totals.add(watch.totals)
            if self._factory is not None:
                self._factory.retire(identity)
        self._idle_since_s.pop(identity, None)

    async def _end_idle(self, identity: Identity) -> None:
        try:
            async with self._lock(identity):
                watch = self._running.get(identity)
                if watch is not None and not watch.publisher.streams:
                    unconfirmed = watch.publisher.journal.depth
                    self._log.info("watch.idle", **identity.labels, unconfirmed=unconfirmed)
                    with suppress(UnavailableError):
                        # If it does not stop in time, the next round finds it.
                        await self._stop(identity, watch)
        finally:
            del self._ending[identity]


def _hinted_bucket(spec: Spec) -> str | None:
    """Return the bucket that a webhook names for a watch; None if the watch has no webhook.

    Stores name the bucket of a tenant without the tenant.
    """
    where = spec.where
    if not isinstance(where, BucketSpec) or where.notifications is None:
        return None
    if where.notifications.kind is not HintKind.WEBHOOK:
        return None
    return where.bucket.partition(":")[2] if where.has_tenant else where.bucket


async def _wait_ended(watches: Sequence[Watch], timeout_s: float) -> int:
    """Wait for watches to end, and return how many have not; blocks no thread."""
    if not watches:
        return 0
    endings = [asyncio.wrap_future(watch.ended) for watch in watches]
    try:
        _, busy = await asyncio.wait(endings, timeout=timeout_s)
    finally:
        for ending in endings:
            ending.cancel()
    return len(busy)
