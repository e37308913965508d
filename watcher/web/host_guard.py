"""Under which names the HTTP port answers, where nothing but its address keeps out strangers.

A page from anywhere can have its own name resolved to 127.0.0.1 (DNS rebinding). A browser that shows it then lets its scripts read there
what this machine alone may see, but tells the server the name, as the Host. Nobody can have an IP address or ``localhost`` resolved so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from watcher.addresses import is_loopback, literal_address

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from watcher.security.policy import Policy

IS_LOCAL = web.AppKey("is_local", bool)
"""Whether only this machine reaches the port."""


def reject_foreign_host(handler: Handler, policy: Policy) -> Handler:
    """Return a handler that answers 421 to a stranger's name, where only this machine reaches the port and no token is asked for."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if (
            policy.tokens is None
            and request.app[IS_LOCAL]
            and not _is_own(request.headers.get("Host", ""))
        ):
            message = "the server does not go by this name; use 127.0.0.1 or localhost, or start it with --token-file"
            return web.json_response({"error": message}, status=421)
        return await handler(request)

    return handle


def _is_own(host: str) -> bool:
    """Tell whether a Host, with or without a port, is one that no stranger can have."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or literal_address(name) is not None
