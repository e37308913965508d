"""The configuration of an event source: read from a file or standard input, or made from flags."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.config.places import split_uri
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

STDIN = "-"


def read_configuration(source: str) -> bytes:
    """Return the text of a file, or of standard input for ``-``.

    Raises:
        ConfigError: The file cannot be read.
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
    """Return whether a place is a bucket, not a path."""
    return place.startswith("s3://")


def write_configuration(
    place: str, where: Mapping[str, Any], rest: Mapping[str, Any], *, state: Path
) -> bytes:
    """Return a configuration as JSON.

    Args:
        place: A path, absolute or relative to the working directory, or ``s3://bucket/prefix``.
        where: Keys of ``directory`` or ``s3`` except the place.
        rest: Keys of the top level.
        state: State directory; excluded if it is in the place, where each event would cause more.

    Raises:
        ConfigError: A value is not valid.
        NotFoundError: The directory does not exist.
    """
    if is_bucket(place):
        bucket, prefix = _split_uri(place)
        return _check({"s3": {"bucket": bucket, "prefix": prefix, **where}, **rest})
    root = _absolute(place)
    exclude = [*rest.get("exclude", ()), *_excluding(state, root)]
    return _check({"directory": {"path": root, **where}, **rest, "exclude": exclude})


def _split_uri(place: str) -> tuple[str, str]:
    """Return bucket and prefix.

    Raises:
        ConfigError: The URI is not valid.
    """
    try:
        return split_uri(place)
    except ValueError as error:
        raise ConfigError(str(error), place=place) from error


def _absolute(path: str) -> str:
    """Return the absolute path of a directory, with links resolved only if it has a ``..``.

    Raises:
        NotFoundError: The directory does not exist.
    """
    expanded = os.path.expanduser(path)  # noqa: PTH111 - pathlib drops "." and "//"
    if not os.path.isdir(expanded):  # noqa: PTH112 - not a pathlib path
        message = (
            "this is not a directory" if os.path.lexists(expanded) else "there is no such directory"
        )
        raise NotFoundError(
            message, place=path, hint="name a directory, or a bucket as s3://bucket/prefix"
        )
    is_plain = ".." not in expanded.split("/")
    return os.path.abspath(expanded) if is_plain else os.path.realpath(expanded)  # noqa: PTH100 - not a pathlib path


def _excluding(state: Path, root: str) -> list[str]:
    """Return the glob that excludes a directory inside another one; none if it is not inside."""
    from watcher.config.patterns import MAX_GLOB_CHARS  # noqa: PLC0415 - brings yaml

    inner = os.path.relpath(os.path.realpath(state), os.path.realpath(root))
    if inner == "." or inner.split("/")[0] == "..":
        return []
    symbols = [f"[{char}]" if char in "*?[" else char for char in inner]
    glob = f"/{''.join(symbols)}/**"
    if len(glob) > MAX_GLOB_CHARS:
        # The end of such a long path is as good as unique.
        while len("".join(symbols)) > MAX_GLOB_CHARS - len("**/*/**"):
            del symbols[0]
        glob = f"**/*{''.join(symbols)}/**"
    return [glob]


def _check(document: Mapping[str, Any]) -> bytes:
    """Return the JSON of a valid configuration.

    Raises:
        ConfigError: The configuration is not valid; the message has no line numbers, as the user
            wrote no lines.
    """
    text = json.dumps(document).encode()
    try:
        parse_spec(text)
    except ConfigError as error:
        raise ConfigError(error.message.replace("line 1, ", "")) from None
    return text
