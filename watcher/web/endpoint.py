"""The HTTP port: listens, limits connections and requests, and turns errors into answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from watcher.addresses import is_loopback
from watcher.errors import (
    AwayError,
    ConfigError,
    DeniedError,
    FencedError,
    HistoryError,
    NotFoundError,
    OwnedElsewhereError,
    StateError,
    UnauthenticatedError,
    UnavailableError,
    WatcherError,
)
from watcher.limits import file_descriptors
from watcher.web.host_guard import IS_LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler

MAX_BODY_BYTES = 128 * 1024
"""Maximum size of a request body in bytes; room for about 5,000 event ids."""

MAX_HEADERS = 32
"""Maximum number of request headers, each of 8 KiB at most; browsers and proxies send about 20."""

MAX_CONNECTIONS = 1000
"""Maximum number of open connections, if the descriptor limit allows it.

A new connection beyond it replaces the oldest one, so that a probe is always answered.
"""

REQUEST_TIMEOUT_S = 30
"""Seconds that a connection may take to send a complete head, and a request its complete body."""

_STATUS = {
    ConfigError: 400,
    DeniedError: 403,
    NotFoundError: 404,
    StateError: 503,
    AwayError: 503,
    FencedError: 503,
    HistoryError: 503,
    OwnedElsewhereError: 503,
    UnavailableError: 503,
}

_HEADERS = {
    # No foreign and no inline content: a file name with markup would not run even if unescaped.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class HttpEndpoint:
    """An HTTP server for a list of routes.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        routes: The paths and their handlers.
    """

    def __init__(self, listen: str, routes: Iterable[web.RouteDef]) -> None:
        self._listen = listen
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_errors])
        app[IS_LOCAL] = is_loopback(listen.rpartition(":")[0])
        app.on_response_prepare.append(_add_headers)
        app.add_routes(routes)
        # aiohttp counts keepalive_timeout from the start of a connection too, until the head of
        # the first request is complete.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=REQUEST_TIMEOUT_S,
            max_headers=MAX_HEADERS,
        )
        self._listener: asyncio.Server | None = None
        self._max_connections = min(
            MAX_CONNECTIONS, file_descriptors.share(file_descriptors.HTTP_SHARE)
        )

    async def start(self) -> str:
        """Listen, and return the address with the port that was bound.

        Raises:
            StateError: The address cannot be bound.
        """
        host, _, port = self._listen.rpartition(":")
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._accept, host.strip("[]") or None, int(port)
            )
        except (OSError, ValueError) as error:
            hint = "give another --http host:port, or an empty one for none"
            raise StateError("cannot listen there", place=self._listen, hint=hint) from error
        return f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection; abort the oldest ones beyond the limit."""
        server = self._runner.server
        assert server is not None  # noqa: S101 - set from setup to cleanup
        for oldest in server.connections[: 1 - self._max_connections]:
            # Aborted, not closed: its client may not be reading the answer.
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read the whole body, call the handler, and answer errors with a status and one line."""
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await request.read()
        return await handler(request)
    except UnauthenticatedError as error:
        return _ask_for_token(request, error)
    except WatcherError as error:
        return web.json_response({"error": str(error)}, status=_STATUS[type(error)])
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        return web.json_response({"error": "the request body is incomplete"}, status=408)
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001 - any bug: a status for the client, the traceback for the log
        structlog.get_logger("watcher").exception("http.failed", path=request.path)
        return web.json_response({"error": "the request failed; see the server's log"}, status=500)


def _ask_for_token(request: web.Request, error: UnauthenticatedError) -> web.Response:
    """Answer 401, which makes a browser ask for the token, or 403 to a script of the page.

    A script must not wait for a user who may be away, and a 401 would make the browser forget the
    token, which may become valid again.
    """
    if "X-Requested-With" in request.headers:
        return web.json_response({"error": str(error)}, status=403)
    challenge = 'Basic realm="watcher: the token is the password", charset="UTF-8"'
    return web.json_response(
        {"error": str(error)}, status=401, headers={"WWW-Authenticate": challenge}
    )


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    if "Upgrade" in request.headers:
        # No upgrade is offered, and the bytes that follow may not be HTTP (RFC 9110, 7.8).
        response.force_close()
