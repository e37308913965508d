"""Whether the server can do its work now, as ``/readyz`` and gRPC health report it.

Checked in the background, so that no probe waits for a disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_TIMEOUT_S = 10.0
"""Longest wait for the state directory, in seconds, before the server is not ready.

It also passes when all threads of asyncio are busy, since the probe needs one.
"""


class Readiness:
    """What keeps the server from its work; for the event loop.

    Args:
        probe: Writes to the state directory; raises ``StateError`` when that fails.
        is_deaf: Returns whether the thread has ended that reads the kernel's notifications.
        notify: Called with whether the server is ready, whenever that has changed.
        timeout_s: Longest wait for ``probe``, in seconds.

    Attributes:
        withheld: Why the server does not serve, whatever else it could do; empty while it serves.
        is_broken: Only a restart helps.
    """

    def __init__(
        self,
        probe: Callable[[], None],
        is_deaf: Callable[[], bool],
        notify: Callable[[bool], None],
        timeout_s: float = PROBE_TIMEOUT_S,
    ) -> None:
        self.withheld = "starting"
        self.is_broken = False
        self._checked = ""
        self._is_stopping = False
        self._probe = probe
        self._is_deaf = is_deaf
        self._notify = notify
        self._timeout_s = timeout_s
        self._probing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    async def check(self) -> None:
        """Check now, and log and notify what has changed; takes little longer than the timeout."""
        problem = await self._state_problem()
        self.is_broken = self._is_deaf()
        if self.is_broken:
            problem = (
                "the thread that reads the kernel's notifications has ended; restart the server"
            )
        self._update(self.withheld, problem)

    @property
    def problem(self) -> str:
        """What keeps the server from its work, in one line; empty when it is ready."""
        return self.withheld or self._checked

    def withhold(self, problem: str) -> None:
        """Report from now on why the server does not serve; log and notify what has changed.

        Args:
            problem: In one line; empty if it serves.
        """
        self._update(problem, self._checked)

    def check_serving(self) -> None:
        """Check that requests for watches may be served.

        Raises:
            UnavailableError: The server stands by, is cut off, starts or stops.
        """
        if self.withheld:
            raise UnavailableError(self.withheld, hint="send it to another server, or again later")

    def stop(self) -> None:
        """Report from now on that the server is shutting down, and notify it."""
        self._is_stopping = True
        was_ready, self.withheld = not self.problem, "shutting down"
        if was_ready:
            self._notify(not self.problem)

    def _update(self, withheld: str, checked: str) -> None:
        if self._is_stopping:
            return
        former, was_serving = self.problem, not self.withheld
        self.withheld, self._checked = withheld, checked
        if self.problem == former:
            return
        if not self.problem:
            self._log.info("server.ready")
        elif was_serving or not withheld:
            # One that stands by from the start is as it should be.
            self._log.error("server.unready", error=self.problem)
        self._notify(not self.problem)

    async def _state_problem(self) -> str:
        # A probe that hangs is awaited again: a second one would only occupy another thread.
        probing = self._probing or asyncio.create_task(asyncio.to_thread(self._probe))
        self._probing = probing
        await asyncio.wait({probing}, timeout=self._timeout_s)
        if not probing.done():
            return f"the state has not answered for {self._timeout_s:g} s"
        # Another check may have waited for the same probe, and begun the next one since.
        if self._probing is probing:
            self._probing = None
        try:
            probing.result()
        except StateError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - after any error the state may be unusable
            return f"the state cannot be probed: {error!r}"
        return ""
