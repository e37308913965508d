"""Makes the detector of a watch: which changes its spec looks for, and which differences count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.detector import ChangeDetector, Rule
from watcher.changes.version_detector import VersionDetector
from watcher.clock import NS_PER_S
from watcher.model import ChangeType
from watcher.spec import ENTRY_TYPES, BucketSpec, DirectorySpec
from watcher.versioned import is_delete_marker

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.sources.protocol import Source
    from watcher.spec import Spec
    from watcher.state.port import Index


def make_detector(spec: Spec, source: Source, index: Index, clock: Clock) -> ChangeDetector:
    """Return the detector of a watch."""
    is_too_old = age_check(spec.conditions.max_age_s, clock)
    if isinstance(spec.where, BucketSpec) and spec.where.versions:
        return VersionDetector(_types(spec), index.new_rows, index.rows_under, is_too_old)
    compare = spec.where.compare if isinstance(spec.where, DirectorySpec) else None
    rule = Rule(compare, source.has_stable_inodes, source.has_stable_ctimes)
    return ChangeDetector(_types(spec), index.new_rows, rule, is_too_old)


def _types(spec: Spec) -> frozenset[ChangeType]:
    """Return the types of changes that are looked for: those reported, or all where groups count.

    A move is ``moved``, or else ``deleted`` and ``created``, as it is reported.
    """
    if spec.group is None:
        return spec.events
    return ENTRY_TYPES if ChangeType.MOVED in spec.events else ENTRY_TYPES - {ChangeType.MOVED}


def age_check(max_age_s: float | None, clock: Clock) -> Callable[[Entry], bool] | None:
    """Return the function that decides whether an entry is too old; None if none is.

    A delete marker never is.

    Args:
        max_age_s: Greatest age in seconds; None for no limit.
        clock: The time, from which ages are counted.
    """
    if max_age_s is None:
        return None
    return lambda entry: (
        entry.mtime_ns < clock.wall_ns() - max_age_s * NS_PER_S and not is_delete_marker(entry)
    )
