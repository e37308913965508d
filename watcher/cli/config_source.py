"""Where verbs take the configuration of an event source from: a file, standard input, or a place and flags."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

STDIN = "-"


def read_configuration(source: str) -> bytes:
    """Return the text of a file, or of standard input for ``-``.

    Raises:
        ConfigError: It cannot be read.
    """
    if source == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the configuration cannot be read: {error.strerror}", place=source
        ) from error


def is_bucket(place: str) -> bool:
    """Tell whether a place is a bucket, not a path."""
    return place.startswith("s3://")


def write_configuration(
    place: str, where: Mapping[str, Any], rest: Mapping[str, Any], *, state: Path
) -> bytes:
    """Return the JSON that asks for a place.

    Args:
        place: A path, relative to the working directory unless it is absolute, or ``s3://bucket/prefix``.
        where: Keys of ``directory`` or ``s3`` besides the place.
        rest: Keys of the top level.
        state: Directory of the state, which is excluded where it lies in the place: each event would cause the next.

    Raises:
        ConfigError: Something is not valid.
        NotFoundError: There is no such directory.
    """
    if is_bucket(place):
        _check({"s3": place})
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        return _check({"s3": {"bucket": bucket, "prefix": prefix, **where}, **rest})
    root = _absolute(place)
    exclude = [*rest.get("exclude", ()), *_excluding(state, root)]
    return _check({"directory": {"path": root, **where}, **rest, "exclude": exclude})


def _absolute(path: str) -> str:
    """Return the absolute path of a directory; links are resolved only where ``..`` needs it.

    Raises:
        NotFoundError: There is no such directory.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111 - pathlib would drop what it takes for redundant
    if not os.path.isdir(expanded):  # noqa: PTH112 - as above
        message = (
            "this is not a directory" if os.path.lexists(expanded) else "there is no such directory"
        )
        raise NotFoundError(
            message, place=path, hint="name a directory, or a bucket as s3://bucket/prefix"
        )
    is_plain = ".." not in expanded.split("/")
    return os.path.abspath(expanded) if is_plain else os.path.realpath(expanded)  # noqa: PTH100 - as above


def _excluding(state: Path, root: str) -> list[str]:
    """Return the pattern of a directory, if it lies in another one."""
    inner = os.path.relpath(os.path.realpath(state), os.path.realpath(root))
    if inner == "." or inner.split("/")[0] == "..":
        return []
    literally = re.sub(r"[*?[]", r"[\g<0>]", inner)
    return [f"/{literally}/**"]


def _check(document: Mapping[str, Any]) -> bytes:
    """Return the JSON of a valid configuration.

    Raises:
        ConfigError: It is not valid; nothing is said of lines, for nobody has written any.
    """
    from watcher.config.schema import parse_spec  # noqa: PLC0415 - brings yaml, for which --help need not wait

    text = json.dumps(document).encode()
    try:
        parse_spec(text)
    except ConfigError as error:
        raise ConfigError(error.message.replace("line 1, ", "")) from None
    return text
