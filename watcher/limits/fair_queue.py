"""Runs CPU-heavy work in threads: at most two tasks at once and one per principal.

One tenant cannot starve the others, although asyncio's few threads and the interpreter are shared.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Result = TypeVar("Result")

MAX_TASKS = 2
"""Tasks at once, of all principals: a hostile configuration takes most of a second to parse."""


class FairQueue:
    """Admits tasks in the order of their arrival, one at a time per principal."""

    def __init__(self) -> None:
        # A lock lives as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks = asyncio.Semaphore(MAX_TASKS)

    @asynccontextmanager
    async def turn(self, principal: str) -> AsyncIterator[None]:
        """Wait for the turn of a task of a principal; it lasts until the block ends."""
        async with self._locks.setdefault(principal, asyncio.Lock()), self._tasks:
            yield


async def run_in_thread(
    act: Callable[[], Result], undo: Callable[[Result], object] = lambda _: None
) -> Result:
    """Run a function in a thread and return its result, never before the function has ended.

    A thread cannot be cancelled, so a cancelled task still waits for it.

    Args:
        act: The function.
        undo: Called with the result if the task was cancelled, so that nothing stays open; in a
            thread as well.

    Raises:
        CancelledError: The task was cancelled.
        Exception: Any that ``act`` raises.
    """
    acting = asyncio.ensure_future(asyncio.to_thread(act))
    cancelled = await _outlast(acting)
    if cancelled is None:
        return acting.result()
    if acting.exception() is None:
        undoing = asyncio.ensure_future(asyncio.to_thread(undo, acting.result()))
        await _outlast(undoing)
        undoing.result()
    raise cancelled


async def _outlast(acting: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until something has ended, and return the last cancellation that came meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not acting.done():
        try:
            await asyncio.wait([acting])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
