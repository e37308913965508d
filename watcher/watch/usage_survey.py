"""Looks from time to time at what all watches occupy, for the quotas of their principals.

What this server's own watches occupy is known; those of other servers grow in the state alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.clock import Clock
    from watcher.state.port import StateEngine
    from watcher.watch.registry import WatchRegistry

USAGE_S = 2.0
"""Seconds between two looks at what watches occupy, while any has unconfirmed events."""

IDLE_USAGE_S = 10.0
"""The same while none has: a server with nothing to do asks little of the database."""


class UsageSurvey:
    """The looks of one server; for the event loop.

    Args:
        state: What all servers share.
        watches: The watches here, whose quotas count the others.
        clock: The time.
    """

    def __init__(self, state: StateEngine, watches: WatchRegistry, clock: Clock) -> None:
        self._state = state
        self._watches = watches
        self._clock = clock
        self._due_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    def begin_if_due(self) -> None:
        """Begin to look if that is due, and other servers are there; nothing else waits for it."""
        is_due = self._clock.monotonic() >= self._due_s
        if is_due and self._task is None and len(self._state.membership.servers) > 1:
            self._task = asyncio.create_task(self._look())

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Cancel a look that goes on, and return the tasks that end soon."""
        if self._task is None:
            return ()
        self._task.cancel()
        return (self._task,)

    async def _look(self) -> None:
        pause_s = USAGE_S
        try:
            summaries = await self._watches.threads.run(self._state.summaries)
            if not any(each.depth for each in summaries.values()):
                pause_s = IDLE_USAGE_S
            if self._watches.runs.is_open:
                self._watches.runs.factory.take_usage(summaries)
        except StateError as error:
            self._log.debug("state.unsurveyed", error=str(error))
        finally:
            self._task = None
            self._due_s = self._clock.monotonic() + pause_s
