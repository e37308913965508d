"""The path ``/ack``: confirms events by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from watcher.errors import ConfigError
from watcher.web.host_guard import reject_foreign_host

if TYPE_CHECKING:
    from watcher.security.policy import Policy
    from watcher.telemetry.readiness import Readiness
    from watcher.watch.acknowledgements import Acknowledgements

_HINT = 'send {"id": "…"} or {"ids": ["…"]}, as JSON'


class _Request(msgspec.Struct):
    id: str = ""
    ids: list[str] = []


def ack_routes(
    acknowledgements: Acknowledgements, policy: Policy, readiness: Readiness
) -> list[web.RouteDef]:
    """Return the route of ``/ack``."""

    async def acknowledge(request: web.Request) -> web.Response:
        """Confirm events; answer 200 if all ids are known, else 404 with the unknown ones."""
        principal = policy.principal(request.headers.get("Authorization"))
        ids = parse_ids(await request.read())
        readiness.check_serving()
        unknown = await acknowledgements.acknowledge(principal, ids)
        return web.json_response(
            {"acknowledged": len(ids) - len(unknown), "unknown": unknown},
            status=404 if unknown else 200,
        )

    return [web.post("/ack", reject_foreign_host(acknowledge, policy))]


def parse_ids(body: bytes) -> list[str]:
    """Return the event ids in the body of a request; at least one.

    Raises:
        ConfigError: The body is not an acknowledgement, or has no id.
    """
    try:
        request = msgspec.json.decode(body, type=_Request)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # ValueError: text that is not UTF-8. RecursionError: endless nesting.
        raise ConfigError(f"not an acknowledgement: {error}", hint=_HINT) from error
    ids = [*([request.id] if request.id else []), *request.ids]
    if not ids:
        raise ConfigError("an acknowledgement names no event", hint=_HINT)
    return ids
