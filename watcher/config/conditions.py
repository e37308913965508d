"""Declares the keys of the conditions that entries must satisfy to be reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.config.fields import MismatchError, duration, size, text
from watcher.config.sections import Key
from watcher.filters.markers import MarkerPattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SIZE_BYTES = (1 << 63) - 1
"""Maximum size that a condition may name, in bytes: the largest that a file can have."""

MAX_MARKER_CHARS = 200
"""Maximum length of a marker's name in characters; file systems allow 255 bytes with the name of
the entry in it."""


def check_conditions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys at the top of a configuration whose conditions no entry satisfies, with texts.

    Args:
        values: Those that are valid, by key.
    """
    if values.get("min_size", 0) > values.get("max_size", MAX_SIZE_BYTES):
        yield "min_size", "is above max_size, so nothing would be reported"


def _marker(pattern: str) -> str:
    if len(pattern) > MAX_MARKER_CHARS:
        raise MismatchError(
            f"has {len(pattern)} characters, at most {MAX_MARKER_CHARS} are allowed"
        )
    return MarkerPattern(pattern).text


CONDITIONS = (
    Key(
        "marker",
        text(_marker),
        "An entry is held back until its marker is there: a name with `{name}` or `{stem}`, or "
        "without for all in its directory and below, see Triggers.",
        '"{name}.done"',
        default="",
    ),
    Key(
        "min_size",
        size(0, MAX_SIZE_BYTES),
        "An entry is held back until it is so large, see Triggers.",
        "10KiB",
    ),
    Key(
        "max_size",
        size(0, MAX_SIZE_BYTES),
        "An entry is held back while it is larger.",
        "5GiB",
        default="",
    ),
    Key(
        "max_age",
        duration("1s", "87600h"),
        "Entries that were last modified longer ago when they are first met are not reported; "
        "their next change is `modified`.",
        "168h",
        default="",
    ),
)
