"""Decides who may hold how many of the process's file descriptors, so that clients never take those that watches need. Imports no watcher.

A server at its limit must neither spin nor die. So it asks for all that the system lets it have, gives its two ports shares of them beyond
which they turn connections away, and leaves the rest to state files, scans and inotify. Should these run out all the same, the watches
that need one see an error like any other and try again.
"""

from __future__ import annotations

import errno
import resource
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    import asyncio

GRPC_SHARE = 5 / 8
HTTP_SHARE = 1 / 4

QUIET_S = 60.0
"""Between two lines that say that there are no descriptors left."""


def raise_limit() -> None:
    """Have as many descriptors as the system lets us: the usual 1,024 are there for select(), which is not used here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def share(part: float) -> int:
    """Return how many descriptors are a part of all."""
    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * part)


class LoopExceptionHandler:
    """Takes what an event loop has to complain of: of descriptors that are used up it would tell a hundred times a second."""

    def __init__(self) -> None:
        self._told_s = -QUIET_S

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log it; a loop that cannot accept tries again after a second."""
        if getattr(context.get("exception"), "errno", None) not in {errno.EMFILE, errno.ENFILE}:
            loop.default_exception_handler(context)
        elif loop.time() >= self._told_s + QUIET_S:
            self._told_s = loop.time()
            hint = "raise the limit of open files (ulimit -n, LimitNOFILE), or let fewer clients connect"
            structlog.get_logger("watcher").warning(
                "server.exhausted", error="no descriptor is left for a new connection", hint=hint
            )
