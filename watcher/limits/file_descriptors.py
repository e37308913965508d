"""Divides the file descriptors of the process, so that clients never take those that watches need.

A server without descriptors must neither spin nor die. It raises its limit to the hard one, gives
each port a share beyond which connections are refused, and leaves the rest to state files, scans
and inotify. If they run out all the same, a watch that needs one sees an error and tries again.
"""

from __future__ import annotations

import errno
import resource
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    import asyncio

GRPC_SHARE = 5 / 8
"""Share of the descriptors that connections to the gRPC port may take."""

HTTP_SHARE = 1 / 4
"""Share of the descriptors that connections to the HTTP port may take."""

OPEN_MAX = 10_240
"""Soft limit where the hard one cannot be had: macOS has no hard limit, and refuses to be asked for
more than that, see setrlimit(2) there."""

LOG_INTERVAL_S = 60.0
"""Seconds between two log lines about a lack of descriptors."""


def raise_limit() -> None:
    """Raise the soft limit of descriptors to the hard one.

    The usual soft limit of 1,024 protects programs that use select(2); this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_MAX), hard))


def share(part: float) -> int:
    """Return a part of the descriptors of the process as their number."""
    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * part)


class LoopExceptionHandler:
    """Logs the errors of an event loop, but a lack of descriptors only once a minute.

    A loop that cannot accept a connection tries again after a second, for each port and client, so
    the default handler would log a traceback a hundred times a second.
    """

    def __init__(self) -> None:
        self._logged_at_s = -LOG_INTERVAL_S

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one error; see ``loop.set_exception_handler``."""
        if getattr(context.get("exception"), "errno", None) not in {errno.EMFILE, errno.ENFILE}:
            loop.default_exception_handler(context)
        elif loop.time() >= self._logged_at_s + LOG_INTERVAL_S:
            self._logged_at_s = loop.time()
            structlog.get_logger("watcher").warning(
                "server.exhausted",
                error="no descriptor is left for a new connection",
                hint="raise the limit of open files (ulimit -n, LimitNOFILE), "
                "or let fewer clients connect",
            )
