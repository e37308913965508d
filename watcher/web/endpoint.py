"""The HTTP port: listens, tells errors, and serves what needs no watch of its own to be shown: metrics, probes, acknowledgements."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from watcher.addresses import is_loopback
from watcher.errors import (
    ConfigError,
    DeniedError,
    NotFoundError,
    StateError,
    UnauthenticatedError,
    WatcherError,
)
from watcher.limits import file_descriptors as descriptors
from watcher.web.host_guard import IS_LOCAL, reject_foreign_host
from watcher.web.metrics import render_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler
    from prometheus_client.registry import Collector

    from watcher.security.policy import Policy
    from watcher.telemetry.readiness import Readiness
    from watcher.watch.acknowledgements import Acknowledgements

BODY_BYTES = 128 * 1024
HEADERS = 32
"""So many a request may have, of 8 KiB each at most; browsers and proxies send about twenty."""

CONNECTIONS = 1000
"""Open at once, if there are descriptors for them. Who connects beyond that takes the place of the one that has been there longest, so that
a probe is always answered."""
REQUEST_S = 30
"""For so long a connection may be without a whole request, and a request without its whole body."""
_STATUS = {ConfigError: 400, DeniedError: 403, NotFoundError: 404, StateError: 503}

_HEADERS = {
    # Nothing from elsewhere, nothing inline: a file name that is markup stays text even if it were not escaped.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_ACK_HINT = 'send {"id": "…"} or {"ids": ["…"]}, as JSON'


class _Acknowledgement(msgspec.Struct):
    id: str = ""
    ids: list[str] = []


class HttpEndpoint:
    """Serves routes.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        routes: What is served.
    """

    def __init__(self, listen: str, routes: Iterable[web.RouteDef]) -> None:
        self._listen = listen
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[_tell_errors])
        app[IS_LOCAL] = is_loopback(listen.rpartition(":")[0])
        app.on_response_prepare.append(_add_headers)
        app.add_routes(routes)
        # What it calls keep-alive is counted from the start of a connection, too, until the headers of a request are there.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=REQUEST_S,
            max_headers=HEADERS,
        )
        self._listener: asyncio.Server | None = None
        self._most = min(CONNECTIONS, descriptors.share(descriptors.HTTP_SHARE))

    async def start(self) -> str:
        """Listen, and return the address with the port that was really taken.

        Raises:
            StateError: It cannot listen there.
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
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        """Return what serves one more connection; the oldest ones make room for it."""
        server = self._runner.server
        assert server is not None  # noqa: S101 - it is there from setup to cleanup
        for oldest in server.connections[: 1 - self._most]:
            # Not closed but cut off: it may be one that does not read its answer.
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()


def probe_routes(metrics: Collector, readiness: Readiness) -> list[web.RouteDef]:
    """Return ``/metrics``, ``/healthz`` and ``/readyz``, which tell nothing of a place and ask for no token."""

    async def render(_: web.Request) -> web.Response:
        return web.Response(
            body=render_metrics(metrics), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def healthy(_: web.Request) -> web.Response:
        return _probed(readiness.problem if readiness.is_broken else "")

    async def ready(_: web.Request) -> web.Response:
        return _probed(readiness.problem)

    return [web.get("/metrics", render), web.get("/healthz", healthy), web.get("/readyz", ready)]


def ack_routes(acknowledgements: Acknowledgements, policy: Policy) -> list[web.RouteDef]:
    """Return ``/ack``."""

    async def acknowledge(request: web.Request) -> web.Response:
        """Confirm events by ``{"id": …}`` or ``{"ids": […]}``; 200 if all are known, 404 with those that are not."""
        principal = policy.principal(request.headers.get("Authorization"))
        ids = _ids(await request.read())
        unknown = await acknowledgements.acknowledge(principal, ids)
        return web.json_response(
            {"acknowledged": len(ids) - len(unknown), "unknown": unknown},
            status=404 if unknown else 200,
        )

    return [web.post("/ack", reject_foreign_host(acknowledge, policy))]


def _probed(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")


@web.middleware
async def _tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have a handler begin with the whole body, and turn our errors into a status and one line."""
    try:
        async with asyncio.timeout(REQUEST_S):
            await request.read()
        return await handler(request)
    except UnauthenticatedError as error:
        return _ask_for_token(request, error)
    except WatcherError as error:
        return web.json_response({"error": str(error)}, status=_STATUS[type(error)])
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        return web.json_response({"error": "the body did not come, or not in time"}, status=408)
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, the client gets a status and the log the trace
        structlog.get_logger("watcher").exception("http.failed", path=request.path)
        return web.json_response({"error": "the request failed; see the server's log"}, status=500)


def _ask_for_token(request: web.Request, error: UnauthenticatedError) -> web.Response:
    """Have a browser ask its user for the token, but only when a page is opened.

    A script would wait for the user, who may be away. It is not told 401 either: for that the browser forgets the token, which may be good
    again soon.
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
        # There is nothing to upgrade to, and what follows may be no HTTP.
        response.force_close()


def _ids(body: bytes) -> list[str]:
    """Return the ids in the body of an acknowledgement.

    Raises:
        ConfigError: There are none.
    """
    try:
        shown = msgspec.json.decode(body, type=_Acknowledgement)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # The last two are for text that is not UTF-8, and for what is nested without end.
        raise ConfigError(f"not an acknowledgement: {error}", hint=_ACK_HINT) from error
    ids = [*([shown.id] if shown.id else []), *shown.ids]
    if not ids:
        raise ConfigError("an acknowledgement names no event", hint=_ACK_HINT)
    return ids
