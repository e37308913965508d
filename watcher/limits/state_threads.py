"""Threads for calls that may wait for the state, apart from those of asyncio.

While a database is away all of them may wait for it, and everything else goes on: opening of state,
which has a deadline, probes, the status page, and the reading of files that have changed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.errors import AwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")

MAX_THREADS = 32
"""Calls at once; others queue."""

ANSWER_S = 8.0
"""Seconds after which somebody who asks is told that there is no answer yet."""


class StateThreads:
    """Some threads, made when they are needed."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(MAX_THREADS, "state")

    async def run(self, act: Callable[[], Result]) -> Result:
        """Run a function in a thread, and return its result.

        If the task is cancelled the thread goes on; a function that has not begun is not called.

        Raises:
            Exception: Any that ``act`` raises.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(copy_context().run, act))

    def close(self) -> None:
        """Begin nothing more; returns at once."""
        self._executor.shutdown(wait=False, cancel_futures=True)


async def answered(acting: Awaitable[Result]) -> Result:
    """Return the result of something that goes on in any case, if it comes soon.

    Raises:
        AwayError: It takes longer than ``ANSWER_S``.
        Exception: Any that ``acting`` raises.
    """
    task: asyncio.Future[Result] = asyncio.ensure_future(acting)
    # Retrieves the exception of one that is late, or asyncio would log it.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait([task], timeout=ANSWER_S)
    if not task.done():
        _LATE.add(task)
        task.add_done_callback(_LATE.discard)
        raise AwayError(
            f"the state has not answered for {ANSWER_S:g} s",
            hint="try it again; it may have been done by then",
        )
    return task.result()


_LATE: set[asyncio.Future[Any]] = set()
"""What nobody waits for any more: asyncio keeps no reference."""
