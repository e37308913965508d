"""Whether the server can do its work now: what ``/readyz`` and gRPC health say. Looked at beside the probes, which wait for no disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 10.0
"""It is told too when all threads are busy, for the look at the state directory needs one."""


class Readiness:
    """What keeps the server from its work.

    Args:
        probe: Writes to the state directory; raises ``StateError`` when it cannot.
        is_deaf: Tells whether notifications are wanted that nobody reads any more.
        tell: Told whether the server is ready, whenever that has changed.
        patience_s: For how long a look at the state directory may take.

    Attributes:
        problem: What keeps it, in one line; empty when it is ready.
        is_broken: Only a restart mends it.
    """

    def __init__(
        self,
        probe: Callable[[], None],
        is_deaf: Callable[[], bool],
        tell: Callable[[bool], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.problem = "starting"
        self.is_broken = False
        self._probe = probe
        self._is_deaf = is_deaf
        self._tell = tell
        self._patience_s = patience_s
        self._is_stopping = False
        self._probing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    async def look(self) -> None:
        """Look now, and tell what has changed; it takes little longer than the patience."""
        problem = await self._state_problem()
        self.is_broken = self._is_deaf()
        if self.is_broken:
            problem = (
                "the thread that reads the kernel's notifications has ended; restart the server"
            )
        if self._is_stopping or problem == self.problem:
            return
        if problem:
            self._log.error("server.unready", error=problem)
        else:
            self._log.info("server.ready")
        self.problem = problem
        self._tell(not problem)

    def stop(self) -> None:
        """Say from now on that the server is stopping."""
        self._is_stopping = True
        self.problem = "shutting down"

    async def _state_problem(self) -> str:
        # A look that hangs is waited for again, and no second one is sent after it.
        self._probing = self._probing or asyncio.create_task(asyncio.to_thread(self._probe))
        await asyncio.wait({self._probing}, timeout=self._patience_s)
        if not self._probing.done():
            return f"the state directory has not answered for {self._patience_s:g} s"
        probing, self._probing = self._probing, None
        try:
            probing.result()
        except StateError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody can say that the state directory is well
            return f"the state directory cannot be looked at: {error!r}"
        return ""
