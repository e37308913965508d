"""The watches that streams of a server read, wherever they run: one place to join, move and leave.

A watch runs here, or another server that shares the state owns it and it is followed. One lock per
identity orders start, stop, following and replay, so that no state is opened twice. A watch that
had no stream anywhere for the idle timeout is ended; what it has counted stays in the totals. For
the event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from watcher.errors import (
    AwayError,
    ConflictError,
    LimitError,
    OwnedElsewhereError,
    StateError,
    UnavailableError,
    WatcherError,
)
from watcher.limits.state_threads import StateThreads
from watcher.settings import WatchLimits
from watcher.state.survey import Survey
from watcher.watch.elsewhere import Elsewhere
from watcher.watch.factory import WatchFactory
from watcher.watch.followed_watch import FollowedWatch
from watcher.watch.followers import Followers
from watcher.watch.idle_timeout import IdleTimeout
from watcher.watch.running import RunningWatches, wait_ended

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from watcher.clock import Clock
    from watcher.delivery.audience import Subscriber
    from watcher.delivery.subscription import Subscription
    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.quotas import StoredUsage
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.sources.factory import Sources
    from watcher.spec import AuthorizedSpec, Spec
    from watcher.state.port import StateEngine, Summary
    from watcher.telemetry.status import Totals
    from watcher.watch.watch import Watch

    StreamedWatch: TypeAlias = Watch | FollowedWatch

HAND_OVER_S = 10.0
"""Longest wait in seconds until the watches of a server that stops are released."""


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
        asking: Where calls wait for what other servers answer, which takes seconds if one is gone.
        runs: The watches that run here.
        followers: Those of other servers that have streams here.
        elsewhere: The other servers and their watches.
    """

    def __init__(
        self,
        settings: ServerSettings,
        state: StateEngine,
        sources: Sources,
        fair_queue: FairQueue,
        clock: Clock,
    ) -> None:
        self._state = state
        self._sources = sources
        self._clock = clock
        self.threads, self.asking = StateThreads(), StateThreads()
        self.elsewhere = Elsewhere(state, self.threads, fair_queue)
        make_factory = partial(WatchFactory, settings, state, sources, fair_queue, clock)
        self.runs = RunningWatches(settings, make_factory, clock)
        limits = WatchLimits(settings.redelivery_window_s, settings.journal_retention_s)
        self.followers = Followers(
            state, self.threads, self.asking, fair_queue, limits, settings.journal_cap, clock
        )
        # A lock lives as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self._idle_timeout = IdleTimeout(self.runs, self.lock, settings.idle_timeout_s, clock)
        self._is_leaving = False
        self._log = structlog.get_logger("watcher")

    # Running, idle and ended watches

    @property
    def is_shared(self) -> bool:
        """Whether other servers can use the state."""
        return bool(self._state.membership.me.id)

    def running(self) -> list[tuple[Identity, Watch]]:
        """Return the watches that run here with their identities."""
        return list(self.runs)

    def idle(self) -> dict[Identity, StoredUsage]:
        """Return what each watch occupies that runs nowhere."""
        if not self.runs.is_open:
            return {}
        owned = self.elsewhere.owned()
        stored = self.runs.factory.idle()
        return {identity: usage for identity, usage in stored.items() if identity not in owned}

    def known(self) -> list[Identity]:
        """Return the identities of all watches whose state is kept, running or not."""
        return self.runs.factory.identities() if self.runs.is_open else []

    def totals(self) -> Totals:
        """Return what all watches have counted since the server started, ended ones included."""
        totals = self.runs.totals()
        totals.add(self.followers.totals())
        return totals

    @property
    def descriptors(self) -> int:
        """Watch descriptors of inotify(7) in use."""
        return self._sources.descriptors

    # For streams

    async def join(
        self, identity: Identity, authorized: AuthorizedSpec, subscriber: Subscriber
    ) -> tuple[StreamedWatch, Subscription]:
        """Connect a stream to the watch of an identity, starting the watch if no server runs it.

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
        async with self.lock(identity):
            watch: StreamedWatch | None = await self._find(identity, authorized.spec)
            if watch is None:
                watch = await self._start_or_follow(identity, authorized)
            return watch, await self._subscribe(identity, watch, subscriber)

    async def move(
        self,
        identity: Identity,
        authorized: AuthorizedSpec,
        watch: StreamedWatch,
        subscription: Subscription,
        subscriber: Subscriber,
    ) -> tuple[StreamedWatch, Subscription]:
        """Connect a stream of a watch that was handed over to where the watch is now.

        Args:
            identity: The watch.
            authorized: What the stream asks for.
            watch: The watch that was handed over.
            subscription: The part of the stream in it; ends here.
            subscriber: How the stream is reached.

        Raises:
            ConflictError: The watch has another configuration now.
            UnavailableError: The watch has not stopped in time, or the server is shutting down.
            StateError: The state cannot be used.
        """
        async with self.lock(identity):
            running = self.runs.get(identity)
            if running is watch and not running.is_fenced:
                # Until it has ended, this server owns it.
                await self.runs.stop(identity, running)
            target: StreamedWatch
            if running is not None and running.is_running:
                target = running
            else:
                target = self.followers.get(identity) or await self.followers.follow(
                    identity, authorized
                )
                if not isinstance(watch, FollowedWatch):
                    await self.followers.begin_move(identity, target, watch.publisher)
            if target.spec != authorized.spec:
                raise ConflictError(
                    f"{identity.name!r} has another configuration now", place=identity.place
                )
            joined = await self._subscribe(identity, target, subscriber, subscription)
            self.leave(identity, watch, subscription)
            return target, joined

    def leave(self, identity: Identity, watch: StreamedWatch, subscription: Subscription) -> None:
        """Disconnect a stream from its watch."""
        watch.publisher.unsubscribe(subscription)
        if isinstance(watch, FollowedWatch):
            self.followers.leave(identity, watch)
            return
        self.followers.note_left(identity, watch.publisher)
        if not watch.publisher.streams and self.runs.get(identity) is watch:
            self.runs.idle_since_s[identity] = self._clock.monotonic()

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

    def lock(self, identity: Identity) -> asyncio.Lock:
        """Return the lock of an identity, which orders what changes where its watch is."""
        return self._locks.setdefault(identity, asyncio.Lock())

    # For the placement of watches that servers share

    async def take(self, identity: Identity, authorized: AuthorizedSpec) -> None:
        """Run a watch here that no server owns; streams that follow it move to it.

        Raises:
            OwnedElsewhereError: Another server has taken it.
            WatcherError: As ``join``.
        """
        async with self.lock(identity):
            watch = self.runs.get(identity)
            if self._is_leaving or (watch is not None and watch.is_running):
                return
            if watch is not None and isinstance(watch.failure, LimitError):
                # It is tried again after the idle timeout only.
                raise watch.failure.with_traceback(None)
            await self._start(identity, authorized, is_used=False)

    async def replace(self, identity: Identity, authorized: AuthorizedSpec) -> None:
        """Run a watch of this server with another configuration, unless it has streams anywhere.

        Raises:
            ConflictError: It has streams.
            WatcherError: As ``join``.
        """
        async with self.lock(identity):
            if await self._find(identity, authorized.spec) is None and not self._is_leaving:
                await self._start(identity, authorized)

    async def hand_over(self) -> None:
        """Release all watches to other servers before this one stops; streams go on.

        Those with streams on other servers are the first: somebody waits for them.
        """
        self._is_leaving = True
        if len(self._state.membership.servers) < 2:  # noqa: PLR2004 - nobody else is there
            return
        watches = sorted(
            (watch for _, watch in self.runs), key=lambda watch: -watch.publisher.streams_elsewhere
        )
        for watch in watches:
            watch.hand_over()
        if busy := await wait_ended(watches, HAND_OVER_S):
            self._log.warning("watch.abandoned", watches=busy)

    # For the server

    async def open(self) -> None:
        """Remove state that is no longer used, and let streams join.

        Raises:
            StateError: The state cannot be read.
        """
        self._is_leaving = False
        self.runs.open(await asyncio.to_thread(self._read_state))
        if self.is_shared:
            self.followers.open()

    def _read_state(self) -> Mapping[Identity, Summary]:
        self._state.remove_unused()
        return self._state.summaries()

    async def end_idle(self) -> None:
        """Begin to stop the watches that had no stream for the idle timeout, and return at once."""
        await self._idle_timeout.end_idle(is_shared=self.is_shared)

    async def close(self) -> None:
        """Stop all watches and wait for them; no stream can join until they are opened again."""
        await self.runs.close()
        await self.followers.close()
        self.elsewhere.survey = Survey()

    def close_threads(self) -> None:
        """Begin no more calls that wait for the state or for other servers; returns at once."""
        self.threads.close()
        self.asking.close()

    # Under the lock of the identity

    async def _find(self, identity: Identity, spec: Spec) -> Watch | None:
        """Return the watch that runs with a spec; stop one that has ended or has another spec."""
        watch = self.runs.get(identity)
        if watch is None:
            return None
        if watch.spec == spec and isinstance(watch.failure, LimitError):
            # Clients reconnect every few seconds; it is tried again after the idle timeout only.
            raise watch.failure.with_traceback(None)
        if watch.spec == spec and watch.is_running:
            return watch
        if watch.is_fenced:
            return None
        publisher = watch.publisher
        if watch.is_running and (publisher.streams or publisher.streams_elsewhere):
            raise _other_configuration(identity)
        await self.runs.stop(identity, watch)
        return None

    async def _start_or_follow(
        self, identity: Identity, authorized: AuthorizedSpec
    ) -> StreamedWatch:
        followed = self.followers.get(identity)
        if followed is not None and followed.spec == authorized.spec:
            return followed
        if followed is not None:
            raise _other_configuration(identity)
        if self._is_leaving:
            raise UnavailableError("the server is shutting down", hint="connect again")
        if not self.elsewhere.owns(identity):
            with suppress(OwnedElsewhereError):
                return await self._start(identity, authorized)
        try:
            return await self.followers.follow(identity, authorized)
        except AwayError:
            raise
        except StateError:
            # Its owner could not start it, and has removed it again.
            return await self._start(identity, authorized)

    async def _start(
        self, identity: Identity, authorized: AuthorizedSpec, *, is_used: bool = True
    ) -> Watch:
        """Start a watch, and have the streams that have followed it move to it, or fail with it."""
        if (former := self.runs.get(identity)) is not None:
            await self.runs.stop(identity, former)
        try:
            watch = await self.runs.start(identity, authorized, is_used=is_used)
        except (StateError, LimitError):
            # Another server may be able to.
            raise
        except WatcherError as error:
            if (followed := self.followers.get(identity)) is not None:
                followed.fail(error)
            raise
        if (followed := self.followers.get(identity)) is not None:
            followed.hand_over()
        return watch

    async def _subscribe(
        self,
        identity: Identity,
        watch: StreamedWatch,
        subscriber: Subscriber,
        former: Subscription | None = None,
    ) -> Subscription:
        if isinstance(watch, FollowedWatch):
            try:
                return await self.followers.join(watch, subscriber, former)
            except BaseException:
                self.followers.leave(identity, watch)
                raise
        self.runs.idle_since_s.pop(identity, None)
        return watch.publisher.subscribe(subscriber, former)


def _other_configuration(identity: Identity) -> ConflictError:
    return ConflictError(
        f"{identity.name!r} is already streamed with another configuration",
        place=identity.place,
        hint="set a different id: in one of the two configurations",
    )
