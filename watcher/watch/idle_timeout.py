"""Ends the watches that had no stream for the idle timeout, on this server or any other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.watch.running import RunningWatches
    from watcher.watch.watch import Watch


class IdleTimeout:
    """Ends idle watches; for the event loop.

    Args:
        runs: The watches that run here, and since when they have had no stream here.
        lock: Returns the lock of an identity.
        timeout_s: Seconds without a stream after which a watch ends.
        clock: The time.
    """

    def __init__(
        self,
        runs: RunningWatches,
        lock: Callable[[Identity], asyncio.Lock],
        timeout_s: float,
        clock: Clock,
    ) -> None:
        self._runs = runs
        self._lock = lock
        self._timeout_s = timeout_s
        self._clock = clock
        self._ending: dict[Identity, asyncio.Task[None]] = {}
        self._log = structlog.get_logger("watcher")

    async def end_idle(self, *, is_shared: bool) -> None:
        """Begin to stop the watches that are idle for long enough, and return at once.

        A watch may take long to stop while its place does not answer.

        Args:
            is_shared: Watches may have streams on other servers, which come and go unnoticed here.
        """
        now_s, since_s = self._clock.monotonic(), self._runs.idle_since_s
        if is_shared:
            for identity, watch in self._runs:
                if _has_streams(watch):
                    since_s.pop(identity, None)
                else:
                    since_s.setdefault(identity, now_s)
        latest_s = now_s - self._timeout_s
        for identity in [each for each, at_s in since_s.items() if at_s <= latest_s]:
            if identity not in self._ending:
                self._ending[identity] = asyncio.create_task(self._end(identity))

    async def _end(self, identity: Identity) -> None:
        try:
            async with self._lock(identity):
                watch = self._runs.get(identity)
                if watch is None or _has_streams(watch):
                    return
                unconfirmed = watch.publisher.journal.depth
                self._log.info("watch.idle", **identity.labels, unconfirmed=unconfirmed)
                with suppress(UnavailableError):
                    # If it does not stop in time, the next round finds it.
                    await self._runs.stop(identity, watch)
        finally:
            del self._ending[identity]


def _has_streams(watch: Watch) -> bool:
    return bool(watch.publisher.streams or watch.publisher.streams_elsewhere)
