"""Reads a place once and counts what a spec would watch; writes nothing and sets no watches."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import TYPE_CHECKING

from watcher.filesystem.mounts import mount_of
from watcher.filters.path_filter import PathFilter
from watcher.sources.cost import KEYS_PER_REQUEST, Cost, cost_of
from watcher.sources.factory import Sources
from watcher.spec import AuthorizedSpec, BucketSpec, DirectorySpec, Filter, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.clock import Clock
    from watcher.sources.protocol import Source
    from watcher.spec import Spec

MAX_FIRST = 10
"""Maximum number of matching paths in a survey."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of one scan.

    Attributes:
        place: Canonical URI.
        mode: How changes would be detected: ``notify`` or ``poll``.
        reason: Why this mode.
        matching: Number of entries that include and exclude admit.
        left_out: Number of entries that they do not admit.
        size: Size of the matching entries in bytes.
        first: First matching paths, in order.
        unread: Number of directories that could not be read.
        cost: Cost of listing a bucket; None for a directory.
    """

    place: str
    mode: str
    reason: str
    matching: int
    left_out: int
    size: int
    first: list[str]
    unread: int
    cost: Cost | None


def survey_place(spec: Spec, clock: Clock, progress: Callable[[int], None]) -> Survey:
    """Read the place of a spec.

    Args:
        spec: The place and its filter.
        clock: Time of the source.
        progress: Called after each batch with the number of entries so far.

    Raises:
        NotFoundError: The place does not exist.
        DeniedError: The place may not be read.
        UnavailableError: The place cannot be read now.
    """
    admits = PathFilter(spec.filter).admits
    mode, reason = _mode(spec.where)
    met = matching = size = 0
    first: list[bytes] = []
    with _opened(spec, clock) as source:
        scan = source.scan()
        for batch in scan:
            matched = [entry for entry in batch.entries if admits(entry.path)]
            met += len(batch.entries)
            matching += len(matched)
            size += sum(entry.size for entry in matched)
            first = nsmallest(MAX_FIRST, [*first, *(entry.path for entry in matched)])
            progress(met)
    return Survey(
        place=spec.where.place,
        mode=mode,
        reason=reason,
        matching=matching,
        left_out=met - matching,
        size=size,
        first=[path.decode(errors="replace") for path in first],
        unread=len(scan.unread),
        cost=_cost(spec.where, met) if isinstance(spec.where, BucketSpec) else None,
    )


@contextmanager
def _opened(spec: Spec, clock: Clock) -> Iterator[Source]:
    """Yield the source of a spec without its filter and without notifications."""
    where = (
        replace(spec.where, mode=Mode.POLL) if isinstance(spec.where, DirectorySpec) else spec.where
    )
    sources = Sources(clock)
    unfiltered = replace(spec, where=where, filter=Filter())
    source = sources.make(AuthorizedSpec(unfiltered, within=None), should_stop=lambda: False)
    try:
        source.open(lambda: None)
        yield source
    finally:
        source.close()
        sources.close()


def _mode(where: DirectorySpec | BucketSpec) -> tuple[str, str]:
    """Return how changes would be detected, and why."""
    if isinstance(where, BucketSpec):
        return Mode.POLL, "buckets are listed at intervals"
    if where.mode is not Mode.AUTO:
        return where.mode, "set by the configuration"
    mount = mount_of(where.path)
    if mount is None:
        return Mode.NOTIFY, "the file system is unknown"
    if mount.notifies:
        return Mode.NOTIFY, f"{mount.type} sends notifications"
    reason = f"{mount.type} is not known to send notifications of every change, so it is scanned "
    return Mode.POLL, f"{reason}every {where.poll_interval_s:g} s"


def _cost(where: BucketSpec, keys: int) -> Cost:
    return cost_of(where, max(1, math.ceil(keys / KEYS_PER_REQUEST)))
