"""The HTTP port: metrics, probes and the state of the watches, as JSON and as a page. Only acknowledgements change something."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from watcher import __version__
from watcher.errors import ConfigError, StateError, UnauthenticatedError
from watcher.metrics import WatchCollector, render_metrics
from watcher.report import WatchReport, report_watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.policy import Policy
    from watcher.receipts import Receipts
    from watcher.reloaded import Reloaded
    from watcher.service import Eventing
    from watcher.watches import Watches

ACK_BYTES = 1 << 20
_STATUS = {ConfigError: 400, UnauthenticatedError: 401, StateError: 503}

_COLUMNS = ("name", "place", "state", "mode", "entries", "unconfirmed", "streams", "note")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>watcher</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem}}table{{border-collapse:collapse}}
td,th{{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:left}}</style>
<h1>watcher {version}</h1><p>{streams} streams, {count} watches. <a href="/metrics">metrics</a> · <a href="/status.json">status.json</a></p>
<table><tr>{head}</tr>{rows}</table></html>"""


_ACK_HINT = 'send {"id": "…"} or {"ids": ["…"]}, as JSON'


class _Acknowledgement(msgspec.Struct):
    id: str = ""
    ids: list[str] = []


class HttpEndpoint:
    """Serves ``/``, ``/status.json``, ``/metrics``, ``/healthz``, ``/readyz`` and ``/ack``.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        watches: What is reported.
        eventing: Counts the streams.
        receipts: Takes acknowledgements.
        policy: Knows whose they are.
        files: What the server follows.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that it shows
        self, listen: str, watches: Watches, eventing: Eventing, receipts: Receipts, policy: Policy, files: Sequence[Reloaded[Any]]
    ) -> None:
        self._listen = listen
        self._watches = watches
        self._eventing = eventing
        self._metrics = WatchCollector(self._reports, watches.totals, lambda: eventing.streams, files)
        self._receipts = receipts
        self._policy = policy
        app = web.Application(client_max_size=ACK_BYTES)
        app.router.add_get("/", self._page)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/metrics", self._render_metrics)
        app.router.add_get("/healthz", self._healthy)
        app.router.add_get("/readyz", self._ready)
        app.router.add_post("/ack", self._acknowledge)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def start(self) -> str:
        """Listen, and return the address with the port that was really taken.

        Raises:
            StateError: It cannot listen there.
        """
        host, _, port = self._listen.rpartition(":")
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]") or None, int(port)).start()
        except (OSError, ValueError) as error:
            hint = "give another --http host:port, or an empty one for none"
            raise StateError("cannot listen there", place=self._listen, hint=hint) from error
        return f"{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    def _reports(self) -> list[WatchReport]:
        return [report_watch(identity, watch) for identity, watch in self._watches.running()]

    async def _status(self, _: web.Request) -> web.Response:
        watches = [report.as_dict() for report in self._reports()]
        return web.json_response({"version": __version__, "streams": self._eventing.streams, "watches": watches})

    async def _render_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=render_metrics(self._metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if self._eventing.is_stopping:
            return web.Response(status=503, text="shutting down\n")
        return web.Response(text="ok\n")

    async def _page(self, _: web.Request) -> web.Response:
        reports = self._reports()
        rows = "".join("<tr>" + "".join(f"<td>{escape(str(getattr(r, column)))}</td>" for column in _COLUMNS) + "</tr>" for r in reports)
        head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
        text = _PAGE.format(version=__version__, streams=self._eventing.streams, count=len(reports), head=head, rows=rows)
        return web.Response(text=text, content_type="text/html")

    async def _acknowledge(self, request: web.Request) -> web.Response:
        """Confirm events by ``{"id": …}`` or ``{"ids": […]}``; 200 if all are known, 404 with those that are not."""
        try:
            principal = self._policy.principal(request.headers.get("Authorization"))
            ids = _ids(await request.read())
            unknown = await self._receipts.acknowledge(principal, ids)
        except (ConfigError, UnauthenticatedError, StateError) as error:
            return web.json_response({"error": str(error)}, status=_STATUS[type(error)])
        return web.json_response({"acknowledged": len(ids) - len(unknown), "unknown": unknown}, status=404 if unknown else 200)


def _ids(body: bytes) -> list[str]:
    """Return the ids in the body of an acknowledgement.

    Raises:
        ConfigError: There are none.
    """
    try:
        shown = msgspec.json.decode(body, type=_Acknowledgement)
    except msgspec.DecodeError as error:
        raise ConfigError(f"not an acknowledgement: {error}", hint=_ACK_HINT) from error
    ids = [*([shown.id] if shown.id else []), *shown.ids]
    if not ids:
        raise ConfigError("an acknowledgement names no event", hint=_ACK_HINT)
    return ids
