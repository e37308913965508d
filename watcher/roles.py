"""What a server serves in which role: it follows its membership in the state, on the event loop.

    standby ──→ serving ──→ standby     a program works alone on the state: all watches end
                  ↓ ↑
                cut off ──→ standby     no contact to the state: watches wait, nobody is served

A server listens for gRPC while it serves, so that a client with several addresses, or a balancer,
finds one that does. It begins once nothing waits for the state any more: requests would be refused
until then. It says that it is ready last, and that it is not first.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from watcher.errors import AwayError, StateError, UnavailableError
from watcher.limits.fair_queue import run_in_thread
from watcher.rpc.listener import STOP_GRACE_S
from watcher.rpc.streams import loop_callback
from watcher.state.membership import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.rpc.listener import Listener
    from watcher.rpc.streams import Streams
    from watcher.state.membership import Membership, Standing
    from watcher.telemetry.readiness import Readiness
    from watcher.watch.registry import WatchRegistry

LOOK_INTERVAL_S = 0.5
"""Seconds between two looks at a standing without a notification: time alone may cut it off."""

OPENING_INTERVAL_S = 0.05
"""The same while the state may be used, but something waits for it: its end notifies nobody."""

STOP_TIMEOUT_S = 5.0
"""Longest wait in seconds for a change of role when the server stops."""


class Roles:
    """Opens and closes what clients reach, as the role of the server changes.

    Args:
        membership: The part of the server in the state.
        watches: The watches, which end when the server has to stand by.
        streams: The streams, which end when the port is closed.
        listener: The gRPC port.
        readiness: Reports why the server does not serve.
        whereabouts: Fields of the log lines that say where the server is.
        look: Called when servers have come or gone.
    """

    def __init__(  # noqa: PLR0913 - all that depends on the role
        self,
        *,
        membership: Membership,
        watches: WatchRegistry,
        streams: Streams,
        listener: Listener,
        readiness: Readiness,
        whereabouts: Mapping[str, str | None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._membership = membership
        self._watches = watches
        self._streams = streams
        self._listener = listener
        self._readiness = readiness
        self._whereabouts = whereabouts
        self._look = look
        self._changed = asyncio.Event()
        self._look_in_s = LOOK_INTERVAL_S
        self._is_stopping = False
        self._has_watches = False
        self._is_open = False
        self._is_announced = False
        self._standby_for = ""
        self._task: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("watcher")

    async def start(self) -> None:
        """Join the servers that use the state; one that serves listens when this returns.

        Raises:
            StateError: The state cannot be used, or the port cannot be opened.
        """
        notify = loop_callback(self._changed.set)
        await run_in_thread(partial(self._membership.follow, notify))
        await self._adopt(self._membership.standing)
        self._task = asyncio.create_task(self._follow())

    async def failed(self) -> None:
        """Wait until the server cannot serve as its role asks for.

        Raises:
            StateError: The port cannot be opened.
        """
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Serve nobody any more: hand the watches over, end the streams, and close the port."""
        self._readiness.stop()
        self._is_stopping = True
        self._changed.set()
        if self._opening is not None:
            self._opening.cancel()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            self._task.cancel()
        if self._has_watches:
            await run_in_thread(self._membership.leave)
            # Streams go on meanwhile, wherever their watches are.
            await self._watches.hand_over()
        await self._close("the server is shutting down")

    async def _follow(self) -> None:
        while not self._is_stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_in_s):
                    await self._changed.wait()
                self._look()
            self._changed.clear()
            if not self._is_stopping:
                await self._adopt(self._membership.standing)

    async def _adopt(self, standing: Standing) -> None:
        """Serve as a standing asks for.

        Raises:
            StateError: The port cannot be opened.
        """
        if standing.role is not Role.SERVING:
            self._look_in_s = LOOK_INTERVAL_S
            self._readiness.withhold(standing.problem)
            await self._close(standing.problem)
        if standing.role is Role.STANDBY and self._has_watches:
            await self._watches.close()
            self._has_watches = False
        if standing.role is Role.SERVING and not self._is_announced:
            await self._serve()
        problem = standing.problem if standing.role is Role.STANDBY else ""
        if problem not in {"", self._standby_for}:
            self._log.info("state.standby", reason=problem, **self._whereabouts)
        self._standby_for = problem

    async def _serve(self) -> None:
        """Open what is not open, and say that the server is ready; any of it may have to wait.

        Raises:
            StateError: The port cannot be opened, or at the start, the state cannot be read.
        """
        if not self._is_reached():
            return
        if not self._is_open:
            await self._open()
        if not self._is_open:
            return
        await self._readiness.check()
        # Both may have changed since: then the next look closes again, or comes here.
        if self._membership.standing.role is Role.SERVING and self._is_reached():
            self._is_announced = True
            self._readiness.withhold("")
            # Logged last: a program that waits for this line finds a server that is ready.
            self._log.info("server.listening", **self._whereabouts)

    def _is_reached(self) -> bool:
        """Return whether nothing waits for the state; else report that, and look again soon.

        A lease may be renewed before those that wait know that the state is back.
        """
        try:
            self._watches.check_state()
        except AwayError as error:
            self._readiness.withhold(str(error))
            self._look_in_s = OPENING_INTERVAL_S
            return False
        self._look_in_s = LOOK_INTERVAL_S
        return True

    async def _open(self) -> None:
        """Open watches, streams and port; watches that cannot be opened are tried again.

        Raises:
            StateError: The port cannot be opened, or at the start, the state cannot be read.
        """
        if not self._has_watches:
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
            self._has_watches = True
        self._streams.open()
        await self._listener.open()
        self._is_open = True

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
        self._is_announced = False
        if self._is_open:
            self._is_open = False
            self._streams.close(UnavailableError(reason, hint="connect again"))
            await self._listener.close()
            await self._streams.ended(STOP_GRACE_S)
