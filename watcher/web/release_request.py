"""Parses what asks for a release: the form of the status page, or JSON."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from watcher.errors import ConfigError

MAX_FORM_FIELDS = 10
"""Maximum number of fields in a form; the page sends five."""


class ReleaseRequest(msgspec.Struct):
    """The body of ``POST /release``.

    Attributes:
        name: Name of the watch.
        place: Its place; needed if the name watches several.
        prefix: Mount point below the directory that is gone; empty to release held deletions.
        csrf_token: Proves that a form comes from the page; ignored in JSON.
        q: Query of the page that the form is on.
    """

    name: str
    place: str = ""
    prefix: str = ""
    csrf_token: str = ""
    q: str = ""


def parse_release(body: bytes, content_type: str) -> ReleaseRequest:
    """Return the release request in a body.

    Raises:
        ConfigError: The body is neither JSON nor a form, or has no name.
    """
    try:
        if content_type == "application/json":
            return msgspec.json.decode(body, type=ReleaseRequest)
        if content_type == "application/x-www-form-urlencoded":
            # UTF-8 whatever charset the request names: decoding with some of them takes minutes.
            return msgspec.convert(
                dict(parse_qsl(body.decode(), max_num_fields=MAX_FORM_FIELDS)), ReleaseRequest
            )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"not a release request: {error}",
            hint='send {"name": "…"}, with "place" if the name has several watches, '
            'and "prefix" to release a mount that is gone',
        ) from error
    raise ConfigError(
        f"the content type {content_type} is not supported",
        hint='send {"name": "…"} as application/json',
    )
