"""Rejects foreign host names where loopback is the only protection (DNS rebinding).

A web page from anywhere can resolve its own name to 127.0.0.1. The browser then lets its scripts
read this port, but sends the page's name in the Host header. IP addresses and ``localhost`` cannot
be resolved that way.
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
"""True if the port listens on loopback only."""

_MESSAGE = (
    "this host name is not allowed; use 127.0.0.1 or localhost, "
    "or start the server with --token-file"
)


def reject_foreign_host(handler: Handler, policy: Policy) -> Handler:
    """Return a handler that answers 421 to foreign host names on a loopback port without tokens."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if (
            policy.tokens is None
            and request.app[IS_LOCAL]
            and not _is_own(request.headers.get("Host", ""))
        ):
            return web.json_response({"error": _MESSAGE}, status=421)
        return await handler(request)

    return handle


def _is_own(host: str) -> bool:
    """Return whether a Host header, with or without a port, is an IP address or ``localhost``."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or literal_address(name) is not None
