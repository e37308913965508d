"""What a server serves in which role: it follows its tenure of the state, on the event loop.

    standby ──→ owner ──→ standby       another server has taken the state: all watches end
                 ↓ ↑
               cut off ──→ standby      no contact to the state: watches wait, nobody is served

Only an owner listens for gRPC, so that a client with several addresses, or a balancer, finds it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError, UnavailableError
from watcher.rpc.listener import STOP_GRACE_S
from watcher.rpc.streams import loop_callback
from watcher.state.tenure import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.rpc.listener import Listener
    from watcher.rpc.streams import Streams
    from watcher.state.tenure import Owner, Standing, Tenure
    from watcher.telemetry.readiness import Readiness
    from watcher.watch.registry import WatchRegistry

LOOK_INTERVAL_S = 0.5
"""Seconds between two looks at a standing without a notification: time alone may cut it off."""

STOP_TIMEOUT_S = 5.0
"""Longest wait in seconds for a change of role when the server stops."""


class Roles:
    """Opens and closes what clients reach, as the role of the server changes.

    Args:
        tenure: The claim of the server to the state.
        watches: The watches, which end with a tenure.
        streams: The streams, which end when the port is closed.
        listener: The gRPC port.
        readiness: Reports why the server does not serve.
        whereabouts: Fields of the log lines that say where the server is.
    """

    def __init__(  # noqa: PLR0913 - all that depends on the role
        self,
        *,
        tenure: Tenure,
        watches: WatchRegistry,
        streams: Streams,
        listener: Listener,
        readiness: Readiness,
        whereabouts: Mapping[str, str | None],
    ) -> None:
        self._tenure = tenure
        self._watches = watches
        self._streams = streams
        self._listener = listener
        self._readiness = readiness
        self._whereabouts = whereabouts
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._followed = 0
        self._is_open = False
        self._owner: Owner | None = None
        self._task: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    async def start(self) -> None:
        """Begin to follow the tenure; an owner listens when this returns.

        Raises:
            StateError: The state cannot be used, or the port cannot be opened.
        """
        self._tenure.follow(loop_callback(self._changed.set))
        await self._adopt(self._tenure.standing)
        self._task = asyncio.create_task(self._follow())

    async def failed(self) -> None:
        """Wait until the server cannot serve as its role asks for.

        Raises:
            StateError: The port cannot be opened.
        """
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Serve nobody any more: end the streams, and close the port."""
        self._readiness.stop()
        self._is_stopping = True
        self._changed.set()
        if self._opening is not None:
            self._opening.cancel()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            self._task.cancel()
        await self._close("the server is shutting down")

    async def _follow(self) -> None:
        while not self._is_stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_INTERVAL_S)
            self._changed.clear()
            if not self._is_stopping:
                await self._adopt(self._tenure.standing)

    async def _adopt(self, standing: Standing) -> None:
        """Serve as a standing asks for.

        Raises:
            StateError: The port cannot be opened.
        """
        if standing.role is not Role.OWNER:
            self._readiness.withhold(standing.problem)
            await self._close(standing.problem)
        if self._followed not in {0, standing.tenure}:
            await self._close("another server had taken over the state")
            await self._watches.close()
            self._followed = 0
        if standing.role is Role.OWNER and not self._is_open:
            await self._serve(standing)
        if standing.role is Role.STANDBY and standing.owner and standing.owner != self._owner:
            owner = {"owner": standing.owner.name, "owner_node": standing.owner.node}
            self._log.info("state.standby", **owner, **self._whereabouts)
        self._owner = standing.owner

    async def _serve(self, standing: Standing) -> None:
        if not self._followed:
            try:
                await self._open_watches()
            except StateError as error:
                if self._task is None:
                    raise
                # It is tried again at the next look.
                self._readiness.withhold(str(error))
                return
            if self._is_stopping:
                return
            self._followed = standing.tenure
        self._streams.open()
        await self._listener.open()
        self._is_open = True
        await self._readiness.check()
        self._readiness.withhold("")
        # As the last thing: whoever waits for this line finds a server that is ready.
        self._log.info("server.listening", **self._whereabouts)

    async def _open_watches(self) -> None:
        """Open the watches, unless the server is stopped meanwhile: the state may never answer.

        Raises:
            StateError: The state cannot be read.
        """
        opening = self._opening = asyncio.create_task(self._watches.open())
        try:
            await asyncio.wait({opening})
            if not opening.cancelled():
                opening.result()
        finally:
            self._opening = None
            opening.cancel()

    async def _close(self, reason: str) -> None:
        if self._is_open:
            self._is_open = False
            self._streams.close(UnavailableError(reason, hint="connect again"))
            await self._listener.close()
            await self._streams.ended(STOP_GRACE_S)
