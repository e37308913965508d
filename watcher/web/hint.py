"""The path ``/hint``: takes messages about objects and hands their keys to watches.

A hint is a key to look at and never truth, so that a forged one costs a HEAD and does no other
harm; also one that a page of another site makes a browser send. Messages are therefore not verified
by the signatures of their services: the token protects. An answer depends on the message and on the
watches of the principal alone.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from watcher.errors import ConfigError, UnauthenticatedError, WatcherError
from watcher.limits.fair_queue import run_in_thread
from watcher.sources.s3.hints.records import SHAPES_READ, Message, MessageKind, parse_message
from watcher.web.credentials import bearer_of
from watcher.web.host_guard import reject_foreign_host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.limits.fair_queue import FairQueue
    from watcher.security.policy import Policy
    from watcher.telemetry.readiness import Readiness
    from watcher.watch.requests import WatchRequests
    from watcher.web.subscriptions import Subscriptions

LARGE_BYTES = 4 * 1024
"""Size of a body in bytes from which on it is read in a thread; the costliest take 30 ms of CPU."""


class Outcome(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    """Its keys were handed to a watch."""
    UNWATCHED = "unwatched"
    """No watch of the principal takes hints about its buckets."""
    TEST = "test"
    """It names no object, as a test event does."""
    HANDSHAKE = "handshake"
    """A service asked whether it may send messages, and was answered."""
    REFUSED = "refused"
    """A subscription was not confirmed."""
    UNREADABLE = "unreadable"
    """It has no shape that is known."""
    UNAUTHENTICATED = "unauthenticated"
    """It has no token, or one that is not known."""


class HintReceiver:
    """Answers ``/hint``.

    Args:
        watches: Brings the hints to watches, on all servers.
        policy: Names the principal of a request.
        fair_queue: Orders the reading of large messages.
        readiness: Whether hints can be taken now.
        subscriptions: Confirms those of SNS.
    """

    def __init__(
        self,
        watches: WatchRequests,
        policy: Policy,
        fair_queue: FairQueue,
        readiness: Readiness,
        subscriptions: Subscriptions,
    ) -> None:
        self._watches = watches
        self._policy = policy
        self._fair_queue = fair_queue
        self._readiness = readiness
        self._subscriptions = subscriptions
        self._outcomes: Counter[str] = Counter()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of requests by their outcome."""
        return dict.fromkeys(Outcome, 0) | self._outcomes

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        handlers = ((web.post, self._receive), (web.options, self._permit))
        return [
            define("/hint", reject_foreign_host(handle, self._policy))
            for define, handle in handlers
        ]

    async def _receive(self, request: web.Request) -> web.Response:
        """Answer 202 with the number of watches that look at the keys now.

        Raises:
            ConfigError: The message cannot be read.
            StateError: Other servers cannot be reached, which watches may run on.
            UnavailableError: No watches run here now.
        """
        principal = self._principal(request)
        self._readiness.check_serving()
        message = await self._parse(await request.read(), principal)
        if message.kind is MessageKind.UNREADABLE:
            self._count(Outcome.UNREADABLE)
            raise ConfigError(message.problem, hint=f"what is read: {SHAPES_READ}")
        if message.kind is MessageKind.VALIDATION:
            self._count(Outcome.HANDSHAKE)
            return web.json_response({"validationResponse": message.code})
        if message.kind is MessageKind.SUBSCRIPTION:
            await self._subscribe(message)
        watches = 0
        if message.hints:
            watches = await self._watches.hint(principal, message.hints)
            self._count(Outcome.ACCEPTED if watches else Outcome.UNWATCHED)
        elif message.kind is not MessageKind.SUBSCRIPTION:
            self._count(Outcome.TEST)
        return web.json_response({"watches": watches}, status=202)

    async def _permit(self, request: web.Request) -> web.Response:
        """Allow the sender of CloudEvents that asks to send messages (HTTP 1.1 Web Hooks, 4)."""
        self._principal(request)
        origin = request.headers.get("WebHook-Request-Origin", "")
        headers = {"Allow": "POST, OPTIONS"}
        if origin:
            self._count(Outcome.HANDSHAKE)
            headers |= {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return web.Response(headers=headers)

    def _principal(self, request: web.Request) -> str:
        """Return the principal of a request.

        Raises:
            UnauthenticatedError: A token is required, and the request has none or an unknown one.
        """
        try:
            return self._policy.principal(bearer_of(request.headers.get("Authorization")))
        except UnauthenticatedError:
            self._count(Outcome.UNAUTHENTICATED)
            raise

    async def _parse(self, body: bytes, principal: str) -> Message:
        if len(body) < LARGE_BYTES:
            return parse_message(body)
        async with self._fair_queue.turn(principal):
            return await run_in_thread(partial(parse_message, body))

    async def _subscribe(self, message: Message) -> None:
        """Confirm a subscription; one that has ended needs nothing.

        Raises:
            WatcherError: It is not confirmed; see ``Subscriptions.confirm``.
        """
        if message.confirm_url:
            try:
                await self._subscriptions.confirm(message.topic, message.confirm_url)
            except WatcherError:
                self._count(Outcome.REFUSED)
                raise
        self._count(Outcome.HANDSHAKE)

    def _count(self, outcome: Outcome) -> None:
        self._outcomes[outcome] += 1
