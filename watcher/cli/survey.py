"""Reads a place once and counts what a spec would watch there. Writes nothing, sets no watches, knows no output."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import TYPE_CHECKING

from watcher.clock import Clock
from watcher.filesystem.mounts import mount_of
from watcher.filters.path_filter import PathFilter
from watcher.sources.cost import KEYS_PER_REQUEST, Cost, cost_of
from watcher.sources.factory import Sources
from watcher.spec import AuthorizedSpec, BucketSpec, DirectorySpec, Filter, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.sources.protocol import Source
    from watcher.spec import Spec

FIRST = 10


@dataclass(frozen=True, slots=True)
class Survey:
    """What one reading found.

    Attributes:
        place: Canonical URI.
        mode: How changes would be noticed: ``notify`` or ``poll``.
        reason: Why so.
        matching: Entries that pass include and exclude.
        left_out: Entries that do not.
        size: Bytes of those that match.
        first: The first few paths that match, in order.
        unread: Directories that could not be read.
        cost: For a bucket.
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


def survey_place(spec: Spec, progress: Callable[[int], None]) -> Survey:
    """Read the place of a spec.

    Args:
        spec: What would be watched.
        progress: Told the number of entries met, now and then.

    Raises:
        NotFoundError: There is no such place.
        DeniedError: It may not be read.
        UnavailableError: It cannot be read now.
    """
    admits = PathFilter(spec.filter).admits
    mode, reason = _mode(spec.where)
    met = matching = size = 0
    first: list[bytes] = []
    with _opened(spec) as source:
        scan = source.scan(settled_only=False)
        for batch in scan:
            matched = [entry for entry in batch.entries if admits(entry.path)]
            met += len(batch.entries)
            matching += len(matched)
            size += sum(entry.size for entry in matched)
            first = nsmallest(FIRST, [*first, *(entry.path for entry in matched)])
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
def _opened(spec: Spec) -> Iterator[Source]:
    """Provide the source of a spec without its filter, and without notifications: nothing is watched, only read."""
    where = (
        replace(spec.where, mode=Mode.POLL) if isinstance(spec.where, DirectorySpec) else spec.where
    )
    sources = Sources(Clock())
    unfiltered = replace(spec, where=where, filter=Filter())
    source = sources.make(AuthorizedSpec(unfiltered, within=None), should_stop=lambda: False)
    try:
        source.open(lambda: None)
        yield source
    finally:
        source.close()
        sources.close()


def _mode(where: DirectorySpec | BucketSpec) -> tuple[str, str]:
    """Return how changes would be noticed, and why."""
    if isinstance(where, BucketSpec):
        return Mode.POLL, "a bucket is listed from time to time"
    if where.mode is not Mode.AUTO:
        return where.mode, "as the configuration says"
    mount = mount_of(where.path)
    if mount is None:
        return Mode.NOTIFY, "the file system is not known"
    if mount.notifies:
        return Mode.NOTIFY, f"{mount.type} sends notifications"
    return (
        Mode.POLL,
        f"{mount.type} sends no reliable notifications, so it is read every {where.poll_interval_s:g} s",
    )


def _cost(where: BucketSpec, keys: int) -> Cost:
    return cost_of(where, max(1, math.ceil(keys / KEYS_PER_REQUEST)))
