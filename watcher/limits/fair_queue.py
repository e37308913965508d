"""What is costly is done in threads, a little at a time, and each principal's in turn: whoever brings much of it waits for himself.

asyncio has few threads, which all share, and one interpreter runs them all. Imports nothing of ours.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Result = TypeVar("Result")

AT_ONCE = 2
"""Costly things done at once, of all principals: to parse a hostile configuration takes a good part of a second."""


class FairQueue:
    """Has one costly thing done at a time for each principal."""

    def __init__(self) -> None:
        # A lock lives as long as somebody holds it or waits for it.
        self._own: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._all = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def of(self, principal: str) -> AsyncIterator[None]:
        """Wait for a turn, which lasts to the end of the block."""
        async with self._own.setdefault(principal, asyncio.Lock()), self._all:
            yield


async def run_in_thread(
    act: Callable[[], Result], undo: Callable[[Result], object] = lambda _: None
) -> Result:
    """Do something in a thread and return when it is over, also when the task is cancelled meanwhile: the thread cannot be.

    Args:
        act: What to do.
        undo: Called with what came of it when nobody wants that any more.

    Raises:
        CancelledError: The task was cancelled.
        Exception: Whatever ``act`` raises.
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
