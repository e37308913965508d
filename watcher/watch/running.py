"""The watches that run on this server: starts and stops them, and counts what they have done.

Each call is made under the lock of the identity, which the registry holds; for the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from watcher.errors import ConflictError, LimitError, UnavailableError
from watcher.telemetry.status import Totals
from watcher.watch.queue_claims import QueueClaims
from watcher.watch.report import describe_unanswered
from watcher.watch.start_failures import StartFailures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.spec import AuthorizedSpec
    from watcher.state.port import Summary
    from watcher.watch.factory import WatchFactory
    from watcher.watch.watch import Watch

STOP_TIMEOUT_S = 10.0
"""Longest wait in seconds for a watch to stop before another one replaces it.

A request to an object store can take that long.
"""

CLOSE_TIMEOUT_S = 2.0
"""Seconds without a step of any watch after which a server that stops waits for none any more.

A hundred that are busy take turns at the processor and at the disk, so that one of them may have to
wait for longer, though nothing hangs.
"""

CLOSE_LIMIT_S = 10.0
"""Longest wait in seconds for all watches to stop when the server does, whatever they still do.

With streams and ports it makes less than 15 seconds, half of what Kubernetes waits by default.
"""

STEP_POLL_S = 0.1
"""Seconds between two looks at the steps of watches that stop."""


class RunningWatches:
    """The watches of one server by identity, each from its start until it has ended.

    Args:
        settings: Limits and timeouts.
        make_factory: Returns what makes watches; takes what the state has when they are opened.
        clock: The time.

    Attributes:
        idle_since_s: When the watches without streams have lost their last one, on the monotonic
            clock.
    """

    def __init__(
        self,
        settings: ServerSettings,
        make_factory: Callable[[Mapping[Identity, Summary]], WatchFactory],
        clock: Clock,
    ) -> None:
        self._max_watches = settings.max_watches
        self._make_factory = make_factory
        self._clock = clock
        self._factory: WatchFactory | None = None
        self._start_failures = StartFailures(clock)
        self._queue_claims = QueueClaims(settings.idle_timeout_s)
        self._watches: dict[Identity, Watch] = {}
        self.idle_since_s: dict[Identity, float] = {}
        self._unanswered: set[Identity] = set()
        self._ended_totals = Totals()
        self._making = 0
        self._log = structlog.get_logger("watcher")

    def __iter__(self) -> Iterator[tuple[Identity, Watch]]:
        """Yield the watches with their identities; they may come and go meanwhile."""
        return iter([*self._watches.items()])

    def __len__(self) -> int:
        """Return the number of watches."""
        return len(self._watches)

    def get(self, identity: Identity) -> Watch | None:
        """Return the watch of an identity, which may have ended; None if there is none."""
        return self._watches.get(identity)

    @property
    def factory(self) -> WatchFactory:
        """What makes watches from their state.

        Raises:
            UnavailableError: The watches are closed.
        """
        if self._factory is None:
            raise UnavailableError("no watch can be started now", hint="connect again")
        return self._factory

    @property
    def is_open(self) -> bool:
        """Whether watches can be started."""
        return self._factory is not None

    @property
    def is_full(self) -> bool:
        """Whether as many watches run as may."""
        return len(self._watches) + self._making >= self._max_watches

    def totals(self) -> Totals:
        """Return what all watches have counted since the server started, ended ones included."""
        totals = Totals()
        totals.add(self._ended_totals)
        for watch in self._watches.values():
            totals.add(watch.totals)
        return totals

    def open(self, summaries: Mapping[Identity, Summary]) -> None:
        """Let watches be started.

        Args:
            summaries: What the state has now.
        """
        self._factory = self._make_factory(summaries)

    async def start(
        self, identity: Identity, authorized: AuthorizedSpec, *, is_used: bool = True
    ) -> Watch:
        """Start a watch and wait until its place is open; a failed start leaves no new state.

        Args:
            identity: The watch, which does not run.
            authorized: What it must watch.
            is_used: Whether a stream asks for it.

        Raises:
            WatcherError: See ``WatchRegistry.join``.
        """
        factory = self.factory
        self._start_failures.check(identity, authorized.spec)
        if self.is_full:
            raise LimitError(
                f"the server runs {len(self._watches) + self._making} watches, and no more",
                place=identity.place,
                hint="use fewer event sources, or start it with a higher --max-watches",
            )
        self._queue_claims.claim(identity, authorized.spec)
        self._making += 1
        try:
            watch, is_new = await factory.make(identity, authorized, is_used=is_used)
        except ConflictError as error:
            self._queue_claims.release(identity)
            raise self._queue_claims.conflict(authorized.spec) from error
        except BaseException:
            self._queue_claims.release(identity)
            raise
        finally:
            self._making -= 1
        self._queue_claims.keep_until(watch.ended, identity)
        self._watches[identity] = watch
        watch.start()
        opened = asyncio.wrap_future(watch.opened)
        # Retrieves the exception when the stream leaves meanwhile, or asyncio would log it.
        opened.add_done_callback(asyncio.Future.exception)
        try:
            await asyncio.shield(opened)
        except BaseException:
            # If it does not stop in time, ``end_idle`` finds it.
            self.idle_since_s[identity] = self._clock.monotonic()
            if watch.failure is not None:
                self._start_failures.add(identity, authorized.spec, watch.failure, watch.requests)
            await self.stop(identity, watch)
            if is_new and watch.failure is not None:
                await factory.remove(identity)
            raise
        self._start_failures.forget(identity)
        self.idle_since_s[identity] = self._clock.monotonic()
        return watch

    async def stop(self, identity: Identity, watch: Watch) -> None:
        """Stop a watch and wait until it has ended.

        Raises:
            UnavailableError: It takes longer than ``STOP_TIMEOUT_S``.
        """
        watch.stop()
        if await wait_ended([watch], STOP_TIMEOUT_S):
            raise UnavailableError(
                "the watch is still stopping", place=identity.place, hint="connect again"
            )
        if self._watches.pop(identity, None) is not None:
            self._ended_totals.add(watch.totals)
            if self._factory is not None:
                self._factory.retire(identity)
        self.idle_since_s.pop(identity, None)

    async def close(self) -> None:
        """Stop all watches and wait for them; none is started until they are opened again."""
        if self._factory is not None:
            self._factory.close()
            self._factory = None
        watches = list(self._watches.values())
        for watch in watches:
            watch.stop()
        if busy := await self._wait_while_steps(watches):
            # Nothing is lost: changes that were not committed are found again by the next scan.
            self._log.warning("watch.abandoned", watches=busy)
        for watch in watches:
            self._ended_totals.add(watch.totals)
        self._watches.clear()
        self.idle_since_s.clear()

    async def _wait_while_steps(self, watches: Sequence[Watch]) -> int:
        """Wait for watches that stop, while any of them comes nearer to its end.

        Returns:
            How many have not ended.
        """
        begun_s = step_s = self._clock.monotonic()
        former: object = None
        while busy := [watch for watch in watches if not watch.ended.done()]:
            # Read first: this task may have been kept from the processor as well.
            steps, now_s = (len(busy), sum(watch.steps for watch in busy)), self._clock.monotonic()
            if steps != former:
                former, step_s = steps, now_s
            are_silent = all(watch.unanswered_s >= CLOSE_TIMEOUT_S for watch in busy)
            silent_s = now_s - (begun_s if are_silent else step_s)
            if silent_s >= CLOSE_TIMEOUT_S or now_s - begun_s >= CLOSE_LIMIT_S:
                break
            await wait_ended(busy, STEP_POLL_S)
        return len(busy)

    async def end_failed(self) -> None:
        """End the watches whose state is of no further use."""
        for watch in self._watches.values():
            watch.check_state()

    async def report_unanswered(self) -> None:
        """Log each watch whose place has not answered for long, and when it answers again."""
        unanswered = {
            identity: text
            for identity, watch in self._watches.items()
            if (text := describe_unanswered(watch.unanswered_s))
        }
        for identity in unanswered.keys() - self._unanswered:
            self._log.warning("watch.unanswered", **identity.labels, error=unanswered[identity])
        for identity in self._unanswered - unanswered.keys():
            self._log.info("watch.answered", **identity.labels)
        self._unanswered = set(unanswered)


async def wait_ended(watches: Sequence[Watch], timeout_s: float) -> int:
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
