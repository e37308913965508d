"""Declares the keys of groups, and what they may not be combined with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.config.fields import duration, whole
from watcher.config.sections import Key, Section
from watcher.model import ChangeType
from watcher.spec import DirectorySpec, Format, Group

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MAX_DEPTH = 100
"""Maximum depth of groups in path components; deeper trees than that are hardly ever made."""


def check_groups(values: Mapping[str, Any], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys at the top of a configuration that contradict its groups, with texts.

    Args:
        values: Those that are valid, by key.
        given: All keys that are given.
    """
    has_completed = ChangeType.COMPLETED in values.get("events", ())
    if values.get("format") is Format.S3 and ("group" in given or has_completed):
        yield "format", "s3 has no completed events: a record is about one object, a group is not"
    if has_completed and "group" not in given:
        yield "events", "completed needs group, which says what makes a group"
    if "group" in given and "events" in values and not has_completed:
        yield "group", "has no effect unless events has completed"
    where, group = values.get("directory"), values.get("group")
    is_flat = isinstance(where, DirectorySpec) and not where.recursive
    if is_flat and isinstance(group, Group) and group.depth:
        yield "group", "depth must be 0, since recursive: false reads no subdirectories"


GROUP = Section(
    (Group,),
    (
        Key(
            "depth",
            whole(0, MAX_DEPTH),
            "Path components that make a group, below the directory or the last slash of the "
            "prefix; 0: the whole place.",
            "2",
        ),
        Key(
            "quiet",
            duration("100ms", "168h"),
            "A group has come to rest when nothing in it changed for this time.",
            "30s",
        ),
        Key(
            "min_entries",
            whole(1, 1_000_000_000),
            "A group with fewer entries is not reported.",
            "10",
        ),
    ),
    Group,
    lambda _values, _given: (),
)
