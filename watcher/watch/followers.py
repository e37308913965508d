"""The watches of other servers that streams of this one read.

Watches are followed from their first stream here to their last. Each call is made under the lock of
the identity, which the registry holds; for the event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from watcher.limits.deadline import limited
from watcher.limits.fair_queue import run_in_thread
from watcher.state.requests import RequestKind
from watcher.telemetry.status import Totals
from watcher.watch.documents import encode_document, parse_document
from watcher.watch.followed_watch import FollowedWatch
from watcher.watch.follower_pump import FollowerPump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.delivery.audience import Subscriber
    from watcher.delivery.publisher import Publisher
    from watcher.delivery.subscription import Subscription
    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.state_threads import StateThreads
    from watcher.model import Identity
    from watcher.settings import WatchLimits
    from watcher.spec import AuthorizedSpec, Spec
    from watcher.state.following import FollowedStore
    from watcher.state.port import StateEngine

FOLLOW_S = 8.0
"""Longest wait in seconds for the state while a stream joins."""


class Followers:
    """The followed watches of one server by identity.

    Args:
        state: Has their journals.
        threads: Where calls wait for the state.
        asking: Where calls wait for other servers.
        fair_queue: Gives turns to the parsing of configurations.
        limits: Redelivery window and retention.
        journal_cap: Unconfirmed changes that a watch may have.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that followed watches are made from
        self,
        state: StateEngine,
        threads: StateThreads,
        asking: StateThreads,
        fair_queue: FairQueue,
        limits: WatchLimits,
        journal_cap: int,
        clock: Clock,
    ) -> None:
        self._state = state
        self._threads = threads
        self._asking = asking
        self._fair_queue = fair_queue
        self._limits = limits
        self._journal_cap = journal_cap
        self._clock = clock
        self._watches: dict[Identity, FollowedWatch] = {}
        self._by_number: dict[int, FollowedWatch] = {}
        self._ended_totals = Totals()
        self._pump: FollowerPump | None = None

    def __iter__(self) -> Iterator[tuple[Identity, FollowedWatch]]:
        """Yield the watches with their identities; they may come and go meanwhile."""
        return iter([*self._watches.items()])

    def get(self, identity: Identity) -> FollowedWatch | None:
        """Return the followed watch of an identity; None if there is none that streams can join."""
        watch = self._watches.get(identity)
        return watch if watch is not None and watch.is_running else None

    def totals(self) -> Totals:
        """Return what was written to streams since the server started."""
        totals = Totals()
        totals.add(self._ended_totals)
        for watch in self._watches.values():
            totals.add(_totals(watch))
        return totals

    def open(self) -> None:
        """Begin to bring what is new; does nothing if it has begun."""
        if self._pump is None:
            self._pump = FollowerPump(
                self._state.following,
                self._state.news,
                self._find,
                lambda: [*self._watches.values()],
                self._journal_cap,
                self._clock,
            )
            self._pump.start()

    def look(self, numbers: AbstractSet[int]) -> None:
        """Look at watches soon, of which this server has changed something itself."""
        if self._pump is not None and numbers:
            self._pump.look(numbers)

    async def close(self) -> None:
        """End all followed watches; streams of theirs end."""
        for identity, watch in self:
            watch.stop()
            self._forget(identity, watch)
        pump, self._pump = self._pump, None
        if pump is not None:
            await asyncio.to_thread(pump.stop)

    async def follow(self, identity: Identity, authorized: AuthorizedSpec) -> FollowedWatch:
        """Begin to follow a watch that has the configuration that a stream asks for.

        It is followed until its last stream has left.

        Args:
            identity: The watch, which is not followed.
            authorized: What the stream asks for.

        Raises:
            ConflictError: It has streams, and another configuration.
            UnavailableError: It has another configuration, and its owner has not answered.
            StateError: There is no such watch, or the state cannot be used.
        """
        store = await self._open(identity)
        try:
            is_same = await self._has(identity, authorized)
        except BaseException:
            store.close()
            raise
        if not is_same:
            store.close()
            await self._replace(store.number, authorized)
            store = await self._open(identity)
        return await self._add(identity, authorized.spec, store)

    async def _open(self, identity: Identity) -> FollowedStore:
        with limited(FOLLOW_S):
            return await run_in_thread(
                partial(self._state.following.open, identity), lambda store: store.close()
            )

    async def _has(self, identity: Identity, authorized: AuthorizedSpec) -> bool:
        """Whether a watch has a configuration, in these words or in others."""
        document = await self._threads.run(partial(self._state.document, identity))
        if document == authorized.document:
            return True
        if not document:
            return False
        spec = await parse_document(document, identity.principal, self._fair_queue)
        return spec == authorized.spec

    async def _replace(self, number: int, authorized: AuthorizedSpec) -> None:
        """Have the owner of a watch restart it with another configuration, unless it has streams.

        Raises:
            ConflictError: It has some.
            UnavailableError: Its owner has not answered.
        """
        # Streams of the former one may just have left here.
        await self._threads.run(self._state.following.report)
        argument = {"document": encode_document(authorized.document)}
        await self._asking.run(
            partial(self._state.requests.ask, number, RequestKind.CHECK, argument)
        )

    async def _add(self, identity: Identity, spec: Spec, store: FollowedStore) -> FollowedWatch:
        former = self._watches.get(identity)
        make = partial(FollowedWatch, spec, store, self._limits, self._clock)
        try:
            with limited(FOLLOW_S):
                watch = await run_in_thread(make)
        except BaseException:
            store.close()
            raise
        if former is not None:
            self._forget(identity, former)
        self._watches[identity] = watch
        self._by_number[store.number] = watch
        return watch

    async def join(
        self, watch: FollowedWatch, subscriber: Subscriber, former: Subscription | None = None
    ) -> Subscription:
        """Connect a stream to a followed watch.

        Args:
            watch: The watch.
            subscriber: How the stream is reached.
            former: Its part of the journal until now, if the stream moves.

        Raises:
            StateError: The state cannot be written.
        """

        def join() -> Subscription:
            with watch.store.join():
                return watch.publisher.subscribe(subscriber, former)

        watch.joining += 1
        try:
            with limited(FOLLOW_S):
                return await run_in_thread(join, watch.publisher.unsubscribe)
        finally:
            watch.joining -= 1

    async def begin_move(self, identity: Identity, watch: FollowedWatch, origin: Publisher) -> None:
        """Report no positions of a watch until all streams have left another publisher of it.

        Raises:
            StateError: The state cannot be written.
        """
        if watch.origin is origin:
            return
        reporting = ExitStack()
        watch.joining += 1
        try:
            with limited(FOLLOW_S):
                await run_in_thread(
                    lambda: reporting.enter_context(watch.store.join()), lambda _: reporting.close()
                )
        except BaseException:
            watch.joining -= 1
            self.leave(identity, watch)
            raise
        watch.joining -= 1
        watch.begin_move(origin, reporting)

    def leave(self, identity: Identity, watch: FollowedWatch) -> None:
        """End a followed watch that has no stream any more."""
        if watch.publisher.streams or watch.joining:
            return
        watch.stop()
        self._forget(identity, watch)

    def note_left(self, identity: Identity, origin: Publisher) -> None:
        """Report positions again once no stream is left that is to move from a publisher."""
        watch = self._watches.get(identity)
        if watch is not None and watch.origin is origin and not origin.streams:
            watch.end_move()

    def _find(self, store: FollowedStore) -> FollowedWatch | None:
        watch = self._by_number.get(store.number)
        return watch if watch is not None and watch.store is store else None

    def _forget(self, identity: Identity, watch: FollowedWatch) -> None:
        self._ended_totals.add(_totals(watch))
        if self._watches.get(identity) is watch:
            del self._watches[identity]
        if self._by_number.get(watch.store.number) is watch:
            del self._by_number[watch.store.number]
        # In this order: no position is reported while streams that are to move are not counted.
        watch.store.close()
        watch.end_move()


def _totals(watch: FollowedWatch) -> Totals:
    delivered = watch.publisher.counts()
    return Totals(
        written=delivered.written,
        redelivered=delivered.redelivered,
        blocked_s=delivered.blocked_s,
    )
