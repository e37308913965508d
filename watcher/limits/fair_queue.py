"""Runs CPU-heavy work in threads: at most two tasks at once and one per principal.

One tenant cannot starve the others, although asyncio's few threads and the interpreter are shared.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
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
        undo: Called with the result if the task was cancelled, so that nothing stays open.

    Raises:
        CancelledError: The task was cancelled.
        Exception: Any that ``act`` raises.
    """
    acting = asyncio.ensure_future(asyncio.to_thread(act))
    cancelled: asyncio.CancelledError | None = None
    while not acting.done():
        try:
            await asyncio.wait([acting])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return acting.result()
    if acting.exception() is None:
        undo(acting.result())
    raise cancelled
