"""Renders costly answers once for all requests that wait for them, and leaves time between two.

With hundreds of watches a rendering takes the event loop for tens of milliseconds. Clients that ask
again and again, and need not even read the answers, would leave it no time for streams and probes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

REST = 4.0
"""Times as long as a rendering took that the next one waits: at most a fifth of the loop's time."""


class SharedRenderings:
    """The renderings of some paths, one at a time.

    An answer is never older than its request: requests share a rendering that began after all of
    them had arrived.
    """

    def __init__(self) -> None:
        self._next: dict[Hashable, asyncio.Task[bytes]] = {}
        # A lock lives as long as a rendering of its key runs or waits.
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._turn = asyncio.Lock()

    async def get(self, key: Hashable, render: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the next rendering with a key.

        Args:
            key: All that answers depend on: for whom, and what was asked for.
            render: Begins to read what it shows when called; takes the loop within ``paced`` only.

        Raises:
            Exception: Any that ``render`` raises, to each request that waited for it.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._render(key, render))
        # Others go on waiting if one client leaves.
        return await asyncio.shield(task)

    async def _render(self, key: Hashable, render: Callable[[], Awaitable[bytes]]) -> bytes:
        async with self._locks.setdefault(key, asyncio.Lock()):
            del self._next[key]
            return await render()

    async def paced(self, render: Callable[[], bytes]) -> bytes:
        """Call a function that takes the loop, after the rest that the last one requires."""
        loop = asyncio.get_running_loop()
        await self._turn.acquire()
        start_s = loop.time()
        try:
            return render()
        finally:
            loop.call_later(REST * (loop.time() - start_s), self._turn.release)
