"""The paths for machines: metrics, liveness and readiness. No token, and no place in any answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from watcher.web.metrics import render_metrics
from watcher.web.shared_rendering import SharedRenderings

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from watcher.telemetry.readiness import Readiness


def probe_routes(metrics: Collector, readiness: Readiness) -> list[web.RouteDef]:
    """Return the routes of ``/metrics``, ``/healthz`` and ``/readyz``."""
    renderings = SharedRenderings()

    async def render() -> bytes:
        return await renderings.paced(lambda: render_metrics(metrics))

    async def scrape(request: web.Request) -> web.Response:
        body = await renderings.get(request.path, render)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_: web.Request) -> web.Response:
        return _answer(readiness.problem if readiness.is_broken else "")

    async def ready(_: web.Request) -> web.Response:
        return _answer(readiness.problem)

    return [web.get("/metrics", scrape), web.get("/healthz", live), web.get("/readyz", ready)]


def _answer(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")
