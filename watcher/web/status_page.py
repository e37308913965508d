"""The status page, its JSON and its release button, for the principal of the request only.

Paths are sensitive: with a token file, every request needs a token. A browser sends it as the
password of HTTP Basic, with any user name, and sends it again with each request, including those
that other sites provoke (CSRF). A form must therefore carry a token that only this page knows.
JSON needs none: no page of another origin can send it without a CORS preflight.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
import structlog
from aiohttp import web

from watcher import __version__
from watcher.errors import ConfigError, DeniedError, NotFoundError, StateError
from watcher.limits.deadline import limited
from watcher.limits.fair_queue import run_in_thread
from watcher.telemetry.recent_changes import newest_changes
from watcher.watch.report import report_idle, report_watch
from watcher.web.credentials import bearer_of
from watcher.web.host_guard import reject_foreign_host
from watcher.web.html import ASSETS, Overview, asset, render_page
from watcher.web.release_request import parse_release
from watcher.web.shared_rendering import SharedRenderings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.rpc.streams import Streams
    from watcher.security.policy import Policy
    from watcher.state.tenure import Tenure
    from watcher.telemetry.readiness import Readiness
    from watcher.telemetry.recent_changes import Recent
    from watcher.watch.held_back import HeldBackEntry
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.report import WatchReport
    from watcher.watch.watch import Watch
    from watcher.web.release_request import ReleaseRequest

    _Entries = Mapping[Identity, Sequence[HeldBackEntry]]

SHOWN_CHANGES = 50
"""Number of recent changes in an answer."""

MAX_ANSWERS = 16
"""Number of answers sent at once; with thousands of watches one has megabytes."""

SEND_TIMEOUT_S = 10.0
"""Seconds that a client may take to receive an answer."""

HELD_BACK_S = 2.0
"""Longest wait in seconds for what watches hold back; then the page is shown without it."""

RELEASE_TIMEOUT_S = 10.0
"""Seconds to wait until a watch has released a mount; it does so when its running scan is over."""


class StatusPage:
    """Serves ``/``, ``/status.json``, ``/release`` and the assets of the page.

    Args:
        watches: The watches to show and to release.
        streams: Counts the streams.
        policy: Maps a token to its principal.
        tenure: Which server owns the state.
        readiness: Whether the server can do its work.
        clock: Time of the page.
        node: Name of the machine on which the server runs; empty if it is unknown.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the page shows
        self,
        watches: WatchRegistry,
        streams: Streams,
        policy: Policy,
        tenure: Tenure,
        readiness: Readiness,
        clock: Clock,
        *,
        node: str = "",
    ) -> None:
        self._watches = watches
        self._streams = streams
        self._policy = policy
        self._tenure = tenure
        self._readiness = readiness
        self._clock = clock
        self._node = node
        self._secret = secrets.token_bytes()
        self._sending = asyncio.Semaphore(MAX_ANSWERS)
        self._renderings = SharedRenderings()
        self._log = structlog.get_logger("watcher")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
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
        query = request.query.get("q", "")
        return await self._send(request, "text/html", query, partial(self._render, query))

    def _render(self, query: str, principal: str, entries: _Entries) -> bytes:
        running = self._running(principal)
        overview = Overview(
            reports=[*self._reports(running, entries), *self._idle(principal)],
            recent=_recent(running),
            problem=self._readiness.problem,
            standing=self._tenure.standing,
            query=query,
            csrf_token=self._csrf_token(principal),
            generated_at=self._clock.wall(),
        )
        # A name may hold a lone surrogate, which UTF-8 cannot encode.
        return render_page(overview).encode("utf-8", "replace")

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, "application/json", "", self._document)

    def _document(self, principal: str, entries: _Entries) -> bytes:
        running, standing = self._running(principal), self._tenure.standing
        return encode_document(
            {
                "version": __version__,
                "node": self._node,
                "problem": self._readiness.problem,
                "role": standing.role,
                "owner": standing.owner,
                "streams": self._streams.of(principal),
                "watches": self._reports(running, entries),
                "idle": self._idle(principal),
                "recent": _recent(running),
            }
        )

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        return web.Response(text=asset(name), content_type=ASSETS[name])

    async def _release(self, request: web.Request) -> web.Response:
        """Release held deletions, or a mount that is gone; answer a form by a redirect."""
        principal = self._principal(request)
        is_form = request.content_type == "application/x-www-form-urlencoded"
        release = parse_release(await request.read(), request.content_type)
        if is_form and not hmac.compare_digest(
            release.csrf_token.encode(), self._csrf_token(principal).encode()
        ):
            raise DeniedError("the form's CSRF token is not valid", hint="reload the page")
        self._readiness.check_serving()
        identity, watch = self._find(principal, release)
        log = self._log.bind(**identity.labels, peer=request.remote)
        if release.prefix:
            answer, status = await _release_mount(watch, release.prefix, log)
        else:
            answer, status = {"released": watch.release()}, 200
            if answer["released"]:
                log.info("scan.released", deletions=answer["released"])
        if is_form:
            raise web.HTTPSeeOther(f"./?{urlencode({'q': release.q})}" if release.q else "./")
        return web.json_response(answer, status=status)

    def _find(self, principal: str, release: ReleaseRequest) -> tuple[Identity, Watch]:
        """Return the only running watch that a request names.

        Raises:
            NotFoundError: No running watch of the principal has that name and place.
            ConfigError: Several have that name, and the request names no place.
        """
        found = [
            (identity, watch)
            for identity, watch in self._running(principal)
            if identity.name == release.name and release.place in {"", identity.place}
        ]
        if not found:
            raise NotFoundError(f"no watch {release.name!r} is running", place=release.place)
        if len(found) > 1:
            raise ConfigError(f"{release.name!r} watches several places", hint='add "place"')
        return found[0]

    def _principal(self, request: web.Request) -> str:
        """Return the principal of a request.

        Raises:
            UnauthenticatedError: A token is required, and the request has none or an unknown one.
        """
        return self._policy.principal(bearer_of(request.headers.get("Authorization")))

    def _running(self, principal: str) -> list[tuple[Identity, Watch]]:
        return [each for each in self._watches.running() if each[0].principal == principal]

    async def _list_held_back(self, principal: str) -> _Entries:
        """Return what watches hold back, those that do; it is read from their states."""
        running = [each for each in self._running(principal) if each[1].held_back.total]
        if not running:
            return {}
        with limited(HELD_BACK_S):
            return await run_in_thread(lambda: _read_held_back(running))

    def _reports(
        self, running: list[tuple[Identity, Watch]], entries: _Entries
    ) -> list[WatchReport]:
        return [
            report_watch(identity, watch, self._clock, entries.get(identity, ()))
            for identity, watch in running
        ]

    def _idle(self, principal: str) -> list[WatchReport]:
        return [
            report_idle(identity, stored, self._clock)
            for identity, stored in self._watches.idle().items()
            if identity.principal == principal
        ]

    async def _send(
        self,
        request: web.Request,
        content_type: str,
        query: str,
        render: Callable[[str, _Entries], bytes],
    ) -> web.StreamResponse:
        """Send a large answer; abort the connection of a client that does not read it.

        Args:
            request: The request.
            content_type: That of the answer.
            query: What the answer depends on besides path and principal.
            render: Takes the principal, and what its watches hold back.

        Raises:
            UnauthenticatedError: The request has no token that is known.
        """
        principal = self._principal(request)

        async def read_and_render() -> bytes:
            entries = await self._list_held_back(principal)
            return await self._renderings.paced(lambda: render(principal, entries))

        async with self._sending:
            body = await self._renderings.get((request.path, principal, query), read_and_render)
            response = web.Response(body=body, content_type=content_type, charset="utf-8")
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await response.prepare(request)
                    await response.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
        return response

    def _csrf_token(self, principal: str) -> str:
        return hmac.digest(self._secret, principal.encode("utf-8", "replace"), "sha256").hex()


def _read_held_back(running: list[tuple[Identity, Watch]]) -> dict[Identity, list[HeldBackEntry]]:
    entries = {}
    for identity, watch in running:
        # One that has just ended has closed its state.
        with suppress(StateError):
            entries[identity] = watch.list_held_back()
    return entries


async def _release_mount(
    watch: Watch, prefix: str, log: structlog.stdlib.BoundLogger
) -> tuple[dict[str, Any], int]:
    """Have a watch accept that a mount is gone, and return the answer and its HTTP status.

    Raises:
        NotFoundError: No such mount is missing.
        UnavailableError: The place cannot be read now.
    """
    done = asyncio.wrap_future(watch.release_mount(os.fsencode(prefix.strip("/"))))
    log.info("mount.released", prefix=prefix)
    try:
        async with asyncio.timeout(RELEASE_TIMEOUT_S):
            await done
    except TimeoutError:
        return {"released": 0, "prefix": prefix, "pending": True}, 202
    return {"released": 0, "prefix": prefix, "pending": False}, 200


def encode_document(document: Mapping[str, object]) -> bytes:
    """Return a document as JSON; a lone surrogate, which a name may hold, is escaped."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(document)).encode()


def _recent(running: list[tuple[Identity, Watch]]) -> list[Recent]:
    return newest_changes(
        [(identity.name, watch.outbox.recent) for identity, watch in running], SHOWN_CHANGES
    )
