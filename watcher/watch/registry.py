"""The running watches by identity: opens, shares, replaces and idles them out. The asyncio side of ``watch.py``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from watcher.errors import ConflictError, LimitError, StateError, UnavailableError
from watcher.limits.fair_queue import run_in_thread
from watcher.limits.quotas import Quotas, StoredUsage
from watcher.settings import WatchLimits
from watcher.state.usage import LiveUsage
from watcher.telemetry.status import Totals
from watcher.watch.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.clock import Clock
    from watcher.delivery.publisher import Subscriber
    from watcher.delivery.subscription import Subscription
    from watcher.limits.fair_queue import FairQueue
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.sources.factory import Sources
    from watcher.spec import AuthorizedSpec
    from watcher.state.port import StateEngine, Summary, WatchStore

STOP_TIMEOUT_S = 10.0
"""How long a watch may take to stop before another takes over its place; a request to a store can be under way."""

CLOSE_TIMEOUT_S = 2.0
"""How long all watches may take to stop when the server does."""


class WatchRegistry:
    """The watches of one server.

    Args:
        settings: WatchLimits and times.
        state: The engine of state.
        sources: Makes the sources.
        fair_queue: In which watches are made, since their globs may be costly.
        clock: The time.

    Raises:
        StateError: The state directory cannot be read.
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
        self._clock = clock
        self._running: dict[Identity, Watch] = {}
        self._idle_since_s: dict[Identity, float] = {}
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self._quotas = Quotas(
            settings, {identity: _held(summary) for identity, summary in state.summaries().items()}
        )
        self._ended = Totals()
        self._making = 0
        self._ending: dict[Identity, asyncio.Task[None]] = {}
        self._is_closing = False
        self._log = structlog.get_logger("watcher")

    def running(self) -> list[tuple[Identity, Watch]]:
        """Return the watches that run, with their identities."""
        return list(self._running.items())

    def idle(self) -> dict[Identity, StoredUsage]:
        """Return what the watches hold of which there is only the state."""
        return self._quotas.stored()

    def totals(self) -> Totals:
        """Return what all watches have counted since the start of the server, also those that have ended."""
        totals = Totals()
        totals.add(self._ended)
        for watch in self._running.values():
            totals.add(watch.totals)
        return totals

    @property
    def descriptors(self) -> int:
        """Watch descriptors of the kernel that are in use."""
        return self._sources.descriptors

    async def join(
        self, identity: Identity, authorized: AuthorizedSpec, subscriber: Subscriber
    ) -> tuple[Watch, Subscription]:
        """Connect a stream to the watch of an identity, starting it if need be.

        Args:
            identity: Names the watch.
            authorized: What it must be running. Only its spec is compared: the principal, which is part
                of the identity, decides the rest.
            subscriber: How the stream is reached.

        Raises:
            ConflictError: It runs with another configuration for other streams.
            ConfigError: The place holds the server's own state.
            NotFoundError: There is no such place.
            DeniedError: The place may not be read.
            UnavailableError: The place cannot be reached now, or the server is shutting down.
            LimitError: There are too many watches, or this one has outgrown what it may hold.
            StateError: The state cannot be used.
        """
        spec = authorized.spec
        async with self._lock(identity):
            watch = self._running.get(identity)
            if watch is not None and watch.spec == spec and isinstance(watch.failure, LimitError):
                # Clients come back every few seconds. It stays as it is for the idle timeout, and is tried again only then.
                raise watch.failure.with_traceback(None)
            if watch is not None and not (watch.is_running and watch.spec == spec):
                if watch.is_running and watch.publisher.streams:
                    message = f"{identity.name!r} is already streamed with another configuration"
                    raise ConflictError(
                        message,
                        place=identity.place,
                        hint="set a different id: in one of the two configurations",
                    )
                await self._stop(identity, watch)
                watch = None
            if watch is None:
                watch = await self._start(identity, authorized)
            self._idle_since_s.pop(identity, None)
            return watch, watch.publisher.subscribe(subscriber)

    def leave(self, identity: Identity, watch: Watch, subscription: Subscription) -> None:
        """Disconnect a stream."""
        watch.publisher.unsubscribe(subscription)
        if not watch.publisher.streams and self._running.get(identity) is watch:
            self._idle_since_s[identity] = self._clock.monotonic()

    def known(self) -> list[Identity]:
        """Return the identities of all watches, running or not."""
        return self._quotas.identities()

    async def replay(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Have confirmed events of a watch written again, whether it runs or not; see ``Publisher.replay``.

        Raises:
            StateError: The state cannot be used.
        """
        async with self._lock(identity):
            watch = self._running.get(identity)
            if watch is not None and watch.is_running:
                return await asyncio.to_thread(watch.publisher.replay, seq=seq, time_s=time_s)
            seqs = await asyncio.to_thread(self._state.rewind, identity, seq=seq, time_s=time_s)
            self._quotas.store(
                identity, _held(await asyncio.to_thread(self._state.summary, identity))
            )
            return seqs

    async def end_idle(self) -> None:
        """Begin to stop the watches that no stream has used for the idle timeout; one may be busy with a place that does not answer."""
        latest_s = self._clock.monotonic() - self._settings.idle_timeout_s
        for identity in [
            identity for identity, since_s in self._idle_since_s.items() if since_s <= latest_s
        ]:
            if identity not in self._ending:
                self._ending[identity] = asyncio.create_task(self._end_idle(identity))

    async def _end_idle(self, identity: Identity) -> None:
        try:
            async with self._lock(identity):
                watch = self._running.get(identity)
                if watch is not None and not watch.publisher.streams:
                    self._log.info(
                        "watch.idle", **identity.labels, unconfirmed=watch.publisher.journal.depth
                    )
                    with suppress(UnavailableError):
                        # A later round finds it stopped.
                        await self._stop(identity, watch)
        finally:
            del self._ending[identity]

    async def close(self) -> None:
        """Stop all watches and wait for them; no stream can join any more."""
        self._is_closing = True
        watches = list(self._running.values())
        for watch in watches:
            watch.stop()
        if busy := await _wait_ended(watches, CLOSE_TIMEOUT_S):
            # Nothing is lost: what was not committed is found again.
            self._log.warning("watch.abandoned", watches=busy)
        self._running.clear()

    def _lock(self, identity: Identity) -> asyncio.Lock:
        return self._locks.setdefault(identity, asyncio.Lock())

    async def _start(self, identity: Identity, authorized: AuthorizedSpec) -> Watch:
        running = len(self._running) + self._making
        if running >= self._settings.max_watches:
            message = f"the server runs {running} watches, and no more"
            raise LimitError(
                message,
                place=identity.place,
                hint="use fewer event sources, or start it with a higher --max-watches",
            )
        self._making += 1
        try:
            watch, store = await self._make(identity, authorized)
        finally:
            self._making -= 1
        self._running[identity] = watch
        watch.start()
        opened = asyncio.wrap_future(watch.opened)
        # A stream that leaves meanwhile does not ask how it went, and asyncio would log that nobody did.
        opened.add_done_callback(asyncio.Future.exception)
        try:
            await asyncio.shield(opened)
        except BaseException:
            # If it does not stop in time, it is found with those that are idle.
            self._idle_since_s[identity] = self._clock.monotonic()
            await self._stop(identity, watch)
            if store.is_new and watch.failure is not None:
                # A place that is not there, or not allowed, leaves nothing behind.
                await asyncio.to_thread(self._state.remove, identity)
                self._quotas.forget(identity)
            raise
        self._idle_since_s[identity] = self._clock.monotonic()
        return watch

    async def _make(
        self, identity: Identity, authorized: AuthorizedSpec
    ) -> tuple[Watch, WatchStore]:
        """Return a watch that is still to be started, and its state."""
        settings = self._settings
        self._check_open()
        store = await self._open(identity)
        limits = WatchLimits(settings.redelivery_window_s, settings.journal_retention_s)
        share = self._quotas.open(identity, LiveUsage(store))
        make_source = partial(self._sources.make, authorized)
        try:
            async with self._fair_queue.turn(identity.principal):
                watch = await run_in_thread(
                    lambda: Watch(
                        authorized.spec, make_source, store, limits, share, identity, self._clock
                    )
                )
            # It may have taken a while.
            self._check_open()
        except BaseException:
            store.close()
            self._quotas.close(identity)
            raise
        return watch, store

    def _check_open(self) -> None:
        if self._is_closing:
            raise UnavailableError("the server is shutting down", hint="connect again")

    async def _open(self, identity: Identity) -> WatchStore:
        is_new = self._quotas.admit(identity)
        try:
            # What is opened must not stay open for nobody, nor be opened by another before it is closed.
            return await run_in_thread(lambda: self._state.open(identity), _close)
        except StateError:
            if is_new:
                self._quotas.forget(identity)
            raise

    async def _stop(self, identity: Identity, watch: Watch) -> None:
        watch.stop()
        if await _wait_ended([watch], STOP_TIMEOUT_S):
            raise UnavailableError(
                "the watch is still stopping", place=identity.place, hint="connect again"
            )
        if self._running.pop(identity, None) is not None:
            self._ended.add(watch.totals)
            self._quotas.close(identity)
        self._idle_since_s.pop(identity, None)


def _close(store: WatchStore) -> None:
    store.close()


def _held(summary: Summary) -> StoredUsage:
    return StoredUsage(summary.entries, summary.journal_bytes, summary.depth, summary.oldest_at)


async def _wait_ended(watches: Sequence[Watch], timeout_s: float) -> int:
    """Wait for watches to end, and return how many are still busy; no thread waits, for they may be many, and long."""
    if not watches:
        return 0
    endings = [asyncio.wrap_future(watch.ended) for watch in watches]
    try:
        _, busy = await asyncio.wait(endings, timeout=timeout_s)
    finally:
        for ending in endings:
            ending.cancel()
    return len(busy)
