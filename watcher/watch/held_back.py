"""Lists entries that the conditions of a watch hold back, each with what it waits for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from watcher.filters.markers import MarkerPattern
from watcher.formatting import exact_size
from watcher.model import GATE_REPORTED, Gate
from watcher.spec import BucketSpec
from watcher.versioned import split_version

if TYPE_CHECKING:
    from watcher.model import Row
    from watcher.spec import Conditions, Spec
    from watcher.state.port import Index

MAX_LISTED = 20
"""Number of entries in a list; ``HeldBack`` has the numbers of all."""


@dataclass(frozen=True, slots=True)
class HeldBackEntry:
    """An entry that a condition holds back.

    Attributes:
        path: Relative path or object key; bytes that are not UTF-8 as in ``os.fsdecode``.
        condition: Key of the configuration that holds it back, as in ``HeldBack``.
        reason: The same for people: ``waits for a.csv.done``.
    """

    path: str
    condition: str
    reason: str


def list_held_back(spec: Spec, index: Index) -> list[HeldBackEntry]:
    """Return the first entries, by path, that are held back; reads the disk if there are any.

    Args:
        spec: The conditions that hold them back, and whether rows are versions.
        index: The rows.

    Raises:
        StateError: The state cannot be read, for example since the watch has ended.
    """
    # Gates may be those of markers alone, of which a place may have a million.
    if not index.gates:
        return []
    conditions, where = spec.conditions, spec.where
    rows = index.held_back(MAX_LISTED)
    if isinstance(where, BucketSpec) and where.versions:
        return [_held_back_version(conditions, row) for row in rows]
    return [_held_back(conditions, row) for row in rows]


def _held_back_version(conditions: Conditions, row: Row) -> HeldBackEntry:
    key, version_id = split_version(row.entry.path)
    found = _held_back(conditions, row._replace(entry=row.entry._replace(path=key)))
    return replace(found, reason=f"version {version_id} {found.reason}")


def _held_back(conditions: Conditions, row: Row) -> HeldBackEntry:
    match row.why_gated:
        case Gate.TOO_SMALL:
            condition, reason = "min_size", f"is smaller than {exact_size(conditions.min_size)}"
        case Gate.TOO_LARGE:
            condition, reason = "max_size", f"is larger than {exact_size(conditions.max_size or 0)}"
        case _:
            condition, reason = "marker", f"waits for {_marker(conditions, row.entry.path)}"
    if row.gate & GATE_REPORTED:
        reason = f"has changed since it was reported, and {reason}"
    return HeldBackEntry(os.fsdecode(row.entry.path), condition, reason)


def _marker(conditions: Conditions, path: bytes) -> str:
    """Return the name of the marker that an entry waits for."""
    if conditions.marker is None:
        return "its marker"
    pattern = MarkerPattern(conditions.marker)
    if pattern.is_shared:
        return f"{pattern.text} beside it or above"
    return os.fsdecode(pattern.markers_of(path)[0].rpartition(b"/")[2])
