"""The status page, its JSON and its release button, for the principal of the request only.

Paths are sensitive: with a token file, every request needs a token. A browser sends it as the
password of HTTP Basic, with any user name, and sends it again with each request, including those
that other sites provoke (CSRF). A form must therefore carry a token that only this page knows.
JSON needs none: no page of another origin can send it without a CORS preflight.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

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
from watcher.web.json_documents import encode_document
from watcher.web.release_request import parse_release
from watcher.web.shared_rendering import SharedRenderings
from watcher.web.shared_watches import OtherWatches, share_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.rpc.streams import Streams
    from watcher.security.policy import Policy
    from watcher.state.port import StateEngine
    from watcher.telemetry.readiness import Readiness
    from watcher.telemetry.recent_changes import Recent
    from watcher.watch.held_back import HeldBackEntry
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.report import WatchReport
    from watcher.watch.requests import WatchRequests
    from watcher.watch.watch import Watch
    from watcher.web.release_request import ReleaseRequest
    from watcher.web.shared_watches import SharedWatches

SHOWN_CHANGES = 50
"""Number of recent changes in an answer."""

MAX_ANSWERS = 16
"""Number of answers sent at once; with thousands of watches one has megabytes."""

SEND_TIMEOUT_S = 10.0
"""Seconds that a client may take to receive an answer."""

SECRET_S = 2.0
"""Longest wait in seconds for the secret that all servers have."""

HELD_BACK_S = 2.0
"""Longest wait in seconds for what watches hold back; then the page is shown without it."""


class _Read(NamedTuple):
    """What is read of the state for an answer.

    Attributes:
        entries: What the watches of this server hold back.
        others: What other servers have.
    """

    entries: Mapping[Identity, Sequence[HeldBackEntry]]
    others: OtherWatches


class StatusPage:
    """Serves ``/``, ``/status.json``, ``/release`` and the assets of the page.

    Args:
        watches: The watches of this server.
        shared: Those of other servers.
        requests: Releases watches, on all servers.
        streams: Counts the streams.
        policy: Maps a token to its principal.
        state: Which servers share.
        readiness: Whether the server can do its work.
        clock: Time of the page.
        node: Name of the machine on which the server runs; empty if it is unknown.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the page shows
        self,
        watches: WatchRegistry,
        shared: SharedWatches,
        requests: WatchRequests,
        streams: Streams,
        policy: Policy,
        state: StateEngine,
        readiness: Readiness,
        clock: Clock,
        *,
        node: str = "",
    ) -> None:
        self._watches = watches
        self._shared = shared
        self._requests = requests
        self._streams = streams
        self._policy = policy
        self._state = state
        self._membership = state.membership
        self._readiness = readiness
        self._clock = clock
        self._node = node
        # Until that of all servers is known.
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

    def _render(self, query: str, principal: str, read: _Read) -> bytes:
        overview = Overview(
            reports=[*self._reports(principal, read), *self._idle(principal)],
            recent=self._recent(principal, read),
            problem=self._readiness.problem,
            standing=self._membership.standing,
            server=self._membership.me,
            servers=self._membership.servers,
            query=query,
            csrf_token=self._csrf_token(principal),
            generated_at=self._clock.wall(),
        )
        # A name may hold a lone surrogate, which UTF-8 cannot encode.
        return render_page(overview).encode("utf-8", "replace")

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, "application/json", "", self._document)

    def _document(self, principal: str, read: _Read) -> bytes:
        return encode_document(
            {
                "version": __version__,
                "node": self._node,
                "problem": self._readiness.problem,
                "role": self._membership.standing.role,
                "server": self._membership.me,
                "servers": self._membership.servers,
                "streams": self._streams.of(principal),
                "watches": self._reports(principal, read),
                "idle": self._idle(principal),
                "recent": self._recent(principal, read),
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
        await self._load_secret()
        if is_form and not hmac.compare_digest(
            release.csrf_token.encode(), self._csrf_token(principal).encode()
        ):
            raise DeniedError("the form's CSRF token is not valid", hint="reload the page")
        self._readiness.check_serving()
        identity = await self._find(principal, release)
        log = self._log.bind(**identity.labels, peer=request.remote)
        answer: dict[str, Any]
        if prefix := release.prefix:
            log.info("mount.released", prefix=prefix)
            mount = os.fsencode(prefix.strip("/"))
            is_pending = not await self._requests.release_mount(identity, mount)
            answer = {"released": 0, "prefix": prefix, "pending": is_pending}
            status = 202 if is_pending else 200
        else:
            answer, status = {"released": await self._requests.release(identity)}, 200
            if answer["released"]:
                log.info("scan.released", deletions=answer["released"])
        if is_form:
            raise web.HTTPSeeOther(f"./?{urlencode({'q': release.q})}" if release.q else "./")
        return web.json_response(answer, status=status)

    async def _find(self, principal: str, release: ReleaseRequest) -> Identity:
        """Return the only watch that a request names among those that run on any server.

        Raises:
            NotFoundError: No running watch of the principal has that name and place.
            ConfigError: Several have that name, and the request names no place.
            StateError: Other servers cannot be asked.
        """
        running = {identity for identity, _ in self._running(principal)}
        running |= {
            surveyed.identity for surveyed in await self._watches.elsewhere.watches_of(principal)
        }
        found = [
            identity
            for identity in running
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

    async def _list_held_back(self, principal: str) -> Mapping[Identity, Sequence[HeldBackEntry]]:
        """Return what watches hold back, those that do; it is read from their states."""
        running = [each for each in self._running(principal) if each[1].held_back.total]
        if not running:
            return {}
        with limited(HELD_BACK_S):
            return await run_in_thread(lambda: _read_held_back(running))

    def _reports(self, principal: str, read: _Read) -> list[WatchReport]:
        reports, me = list(read.others.reports), self._membership.me
        for identity, watch in self._running(principal):
            report = report_watch(identity, watch, self._clock, read.entries.get(identity, ()))
            elsewhere = read.others.streams.get(identity, ())
            reports.append(share_report(report, me, elsewhere) if me.id else report)
        return reports

    def _idle(self, principal: str) -> list[WatchReport]:
        return [
            report_idle(identity, stored, self._clock)
            for identity, stored in self._watches.idle().items()
            if identity.principal == principal
        ]

    def _recent(self, principal: str, read: _Read) -> list[Recent]:
        watches = [(each.name, watch.outbox.recent) for each, watch in self._running(principal)]
        recent = [*newest_changes(watches, SHOWN_CHANGES), *read.others.recent]
        return sorted(recent, key=lambda change: change.at, reverse=True)[:SHOWN_CHANGES]

    async def _load_secret(self) -> None:
        """Take the secret that all servers have; without the state this one has its own."""
        if not self._state.away_s():
            with suppress(StateError), limited(SECRET_S):
                self._secret = await run_in_thread(self._state.shared_status.secret)

    async def _send(
        self,
        request: web.Request,
        content_type: str,
        query: str,
        render: Callable[[str, _Read], bytes],
    ) -> web.StreamResponse:
        """Send a large answer; abort the connection of a client that does not read it.

        Args:
            request: The request.
            content_type: That of the answer.
            query: What the answer depends on besides path and principal.
            render: Takes the principal, and what was read of the state.

        Raises:
            UnauthenticatedError: The request has no token that is known.
        """
        principal = self._principal(request)

        async def read_and_render() -> bytes:
            await self._load_secret()
            read = _Read(await self._list_held_back(principal), await self._shared.look(principal))
            return await self._renderings.paced(lambda: render(principal, read))

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
