"""What the HTTP port shows of the watches, to those who may see them: the operator's page, its JSON, and the button that releases.

Paths are sensitive, so where tokens are asked for everything here asks for one, and shows the watches of its name alone. A browser
sends it as the password of HTTP Basic, under any user name; because it does so with every request, whoever has made it send one, a form
must show that it comes from our page. JSON needs no such seal: no page of another origin can send it.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import msgspec
import structlog
from aiohttp import web

from watcher import __version__
from watcher.errors import ConfigError, DeniedError, NotFoundError
from watcher.telemetry.recent_changes import newest_changes
from watcher.watch.report import report_idle, report_watch
from watcher.web.host_guard import reject_foreign_host
from watcher.web.html import ASSETS, Overview, asset, render_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.rpc.eventing import Eventing
    from watcher.security.policy import Policy
    from watcher.telemetry.readiness import Readiness
    from watcher.telemetry.recent_changes import Recent
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.report import WatchReport
    from watcher.watch.watch import Watch

SHOWN_CHANGES = 50
ANSWERS, ANSWER_S = 16, 10.0
"""With thousands of watches an answer has megabytes: so many are on their way at once, and each for so many seconds at most."""

FORM_FIELDS = 10


class _Release(msgspec.Struct):
    name: str
    place: str = ""
    seal: str = ""
    q: str = ""


class StatusPage:
    """Serves ``/``, ``/status.json`` and ``/release``.

    Args:
        watches: What is shown.
        eventing: Counts the streams.
        policy: Who may see what.
        readiness: Whether the server can do its work.
        clock: The time.
    """

    def __init__(
        self,
        watches: WatchRegistry,
        eventing: Eventing,
        policy: Policy,
        readiness: Readiness,
        clock: Clock,
    ) -> None:
        self._watches = watches
        self._eventing = eventing
        self._policy = policy
        self._readiness = readiness
        self._clock = clock
        self._secret = secrets.token_bytes()
        self._sending = asyncio.Semaphore(ANSWERS)
        self._log = structlog.get_logger("watcher")

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        shown = {"/": self._page, "/status.json": self._status} | {
            f"/{name}": self._asset for name in ASSETS
        }
        return [
            *(
                web.get(path, reject_foreign_host(handler, self._policy))
                for path, handler in shown.items()
            ),
            web.post("/release", reject_foreign_host(self._release, self._policy)),
        ]

    async def _page(self, request: web.Request) -> web.StreamResponse:
        principal = self._principal(request)
        return await self._send(
            request, lambda: self._render(principal, request.query.get("q", ""))
        )

    def _render(self, principal: str, query: str) -> web.Response:
        running = self._running(principal)
        overview = Overview(
            reports=[*self._reports(running), *self._idle(principal)],
            recent=_recent(running),
            problem=self._readiness.problem,
            query=query,
            seal=self._seal(principal),
            at=self._clock.wall(),
        )
        # A name may hold half a surrogate pair, which is no text.
        return web.Response(
            body=render_page(overview).encode("utf-8", "replace"),
            content_type="text/html",
            charset="utf-8",
        )

    async def _status(self, request: web.Request) -> web.StreamResponse:
        principal = self._principal(request)
        return await self._send(request, lambda: self._document(principal))

    def _document(self, principal: str) -> web.Response:
        running = self._running(principal)
        document = {
            "version": __version__,
            "problem": self._readiness.problem,
            "streams": self._eventing.streams.of(principal),
            # In a twentieth of the time of dataclasses.asdict. It does not write the JSON, though: half a surrogate pair is no text to it.
            "watches": msgspec.to_builtins(self._reports(running)),
            "idle": msgspec.to_builtins(self._idle(principal)),
            "recent": msgspec.to_builtins(_recent(running)),
        }
        return web.json_response(document)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        return web.Response(text=asset(name), content_type=ASSETS[name])

    async def _release(self, request: web.Request) -> web.Response:
        """Have held deletions looked at now; the form is led back to the page, JSON is answered with their number."""
        principal = self._principal(request)
        is_form = request.content_type == "application/x-www-form-urlencoded"
        wanted = _wanted(await request.read(), request.content_type)
        if is_form and not hmac.compare_digest(
            wanted.seal.encode(), self._seal(principal).encode()
        ):
            raise DeniedError("the form is not of this page", hint="load the page again")
        found = [
            each
            for each in self._running(principal)
            if each[0].name == wanted.name and wanted.place in {"", each[0].place}
        ]
        if not found:
            raise NotFoundError(f"no watch {wanted.name!r} runs", place=wanted.place)
        if len(found) > 1:
            raise ConfigError(f"{wanted.name!r} watches several places", hint="say which: place")
        ((identity, watch),) = found
        released = watch.release()
        if released:
            self._log.info(
                "scan.released", **identity.labels, deletions=released, peer=request.remote
            )
        if is_form:
            raise web.HTTPSeeOther(f"./?{urlencode({'q': wanted.q})}" if wanted.q else "./")
        return web.json_response({"released": released})

    def _principal(self, request: web.Request) -> str:
        """Return who asks; raises ``UnauthenticatedError``."""
        return self._policy.principal(_authorization(request.headers.get("Authorization")))

    def _running(self, principal: str) -> list[tuple[Identity, Watch]]:
        return [each for each in self._watches.running() if each[0].principal == principal]

    def _reports(self, running: list[tuple[Identity, Watch]]) -> list[WatchReport]:
        return [report_watch(identity, watch, self._clock) for identity, watch in running]

    def _idle(self, principal: str) -> list[WatchReport]:
        return [
            report_idle(identity, held, self._clock)
            for identity, held in self._watches.idle().items()
            if identity.principal == principal
        ]

    async def _send(
        self, request: web.Request, make: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Make an answer that may be large, and send it; cut off who does not take it."""
        async with self._sending:
            response = make()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await response.prepare(request)
                    await response.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
        return response

    def _seal(self, principal: str) -> str:
        return hmac.digest(self._secret, principal.encode("utf-8", "replace"), "sha256").hex()


def _recent(running: list[tuple[Identity, Watch]]) -> list[Recent]:
    return newest_changes(
        [(identity.name, watch.recent) for identity, watch in running], SHOWN_CHANGES
    )


def _authorization(shown: str | None) -> str | None:
    """Return what a tool or a browser shows, as a bearer token; what cannot be read stays as it is."""
    scheme, _, value = (shown or "").partition(" ")
    if scheme.lower() != "basic":
        return shown
    try:
        return f"Bearer {b64decode(value, validate=True).decode().partition(':')[2]}"
    except ValueError:
        return shown


def _wanted(body: bytes, content_type: str) -> _Release:
    """Return what is to be released.

    Raises:
        ConfigError: It does not say so.
    """
    try:
        if content_type == "application/json":
            return msgspec.json.decode(body, type=_Release)
        if content_type == "application/x-www-form-urlencoded":
            # In UTF-8, whatever charset it names: some of those that Python knows take minutes.
            return msgspec.convert(
                dict(parse_qsl(body.decode(), max_num_fields=FORM_FIELDS)), _Release
            )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"it does not say what to release: {error}",
            hint='send {"name": "…"}, and "place" if there are several',
        ) from error
    raise ConfigError(
        f"not JSON, but {content_type}", hint='send {"name": "…"} as application/json'
    )
