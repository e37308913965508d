"""Reads a place once and counts what a spec would watch; writes nothing and sets no watches."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli.condition_survey import ConditionSurvey
from watcher.cli.entry_tally import EntryTally
from watcher.cli.group_survey import GroupNumbers, describe_groups
from watcher.filesystem.mounts import NOTIFYING
from watcher.filters.path_filter import PathFilter
from watcher.formatting import human_age
from watcher.settings import BackendChoice
from watcher.sources.cost import KEYS_PER_REQUEST, Cost, cost_of
from watcher.sources.factory import Sources, open_backend
from watcher.spec import (
    AuthorizedSpec,
    BucketSpec,
    Conditions,
    DirectorySpec,
    Filter,
    HintKind,
    Mode,
    Temporary,
)
from watcher.telemetry.held_back import describe_held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.cli.version_survey import VersionNumbers
    from watcher.clock import Clock
    from watcher.filesystem.port import Files
    from watcher.security.endpoint_authorities import EndpointAuthorities
    from watcher.sources.protocol import Source
    from watcher.sources.s3.hints.queue.setup import QueueSetup
    from watcher.spec import Spec
    from watcher.status_values import HeldBack, PartStatus


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of one scan.

    Attributes:
        place: Canonical URI.
        mode: How changes would be detected: ``notify`` or ``poll``.
        reason: Why this mode.
        matching: Number of entries that include and exclude admit.
        left_out: Number of entries that they do not admit.
        temporary: Number of entries that are left out only since their names are temporary.
        composed: Number of entries that a pattern would match only if their names were composed
            (NFC).
        decomposed: The same for decomposed names (NFD).
        other_case: Number of the other entries that a pattern would match only without case.
        size: Size of the matching entries in bytes.
        first: First matching paths, in order.
        unread: Number of files and directories, or of objects, that could not be read.
        prefixes: The prefixes that are listed now, where that of a bucket has dates; else empty.
        cost: Cost of listing a bucket; None for a directory.
        parts: The mounts below a directory, each with how it would be watched.
        held_back: Number of matching entries that would be held back, by the condition.
        waiting: The same in one line; empty if none would be.
        markers: Number of markers, which are not among ``matching``.
        too_old: Number of matching entries that would not be reported for their age.
        groups: The groups; None where the spec has none.
        resting: The same in one line; empty where the spec has none.
        versions: The matching entries of a bucket with versions; None for any other place.
        remark: What a person should know of the place; empty for nothing.
        queue: The queue that hints arrive in; None where they arrive in none.
    """

    place: str
    mode: str
    reason: str
    matching: int
    left_out: int
    temporary: int
    composed: int
    decomposed: int
    other_case: int
    size: int
    first: list[str]
    unread: int
    prefixes: list[str]
    cost: Cost | None
    parts: Sequence[PartStatus]
    held_back: HeldBack
    waiting: str
    markers: int
    too_old: int
    groups: GroupNumbers | None
    resting: str
    versions: VersionNumbers | None
    remark: str
    queue: QueueSetup | None


def survey_place(
    spec: Spec,
    clock: Clock,
    progress: Callable[[int], None],
    authorities: EndpointAuthorities | None = None,
    choice: BackendChoice = BackendChoice.AUTO,
) -> Survey:
    """Read the place of a spec.

    Args:
        spec: The place and its filter.
        clock: Time of the source.
        progress: Called after each batch with the number of entries so far.
        authorities: Trusted for endpoints of buckets beside the public ones; None for no others.
        choice: How a directory would be watched.

    Raises:
        NotFoundError: The place, or its queue, does not exist.
        DeniedError: The place, or its queue, may not be read.
        UnavailableError: The place, or its queue, cannot be read now.
    """
    conditions = ConditionSurvey(spec.conditions, clock)
    tally = EntryTally(spec, conditions)
    backend = open_backend(choice)
    with _opened(spec, Sources(clock, backend, authorities=authorities)) as source:
        scan = source.scan()
        for batch in scan:
            tally.add(batch.entries)
            progress(tally.met)
        window, cost = scan.window, source.cost
        parts = [part for part in source.part_status[1:] if _is_admitted(part, spec.filter)]
    mode, reason = _mode(spec.where, backend.files)
    if problem := _stream_problem(spec.where, clock, authorities):
        mode, reason = Mode.POLL, f"no hints arrive: {problem}"
    return Survey(
        place=spec.where.place,
        mode=mode,
        reason=reason,
        matching=tally.matching,
        left_out=tally.met - tally.matching - tally.temporary - conditions.markers,
        temporary=tally.temporary,
        composed=tally.unmatched["NFC"],
        decomposed=tally.unmatched["NFD"],
        other_case=tally.other_case,
        size=tally.size,
        first=[path.decode(errors="replace") for path in tally.first],
        unread=len(scan.unread),
        prefixes=[os.fsdecode(prefix) for prefix in window.prefixes] if window else [],
        # Each of several prefixes takes a request, however few keys it has.
        cost=_cost(spec.where, cost.requests_per_poll if window and cost else _pages(tally.met)),
        parts=[_as_watched(part, spec.where) for part in parts],
        held_back=(held_back := conditions.held_back()),
        waiting=describe_held_back(held_back, spec.conditions),
        markers=conditions.markers,
        too_old=conditions.too_old,
        groups=(groups := tally.group_numbers()),
        resting=describe_groups(groups, spec.group) if groups and spec.group else "",
        versions=tally.versions.numbers if tally.versions else None,
        remark=source.remark,
        queue=_queue(spec.where, clock, authorities),
    )


def _queue(
    where: DirectorySpec | BucketSpec, clock: Clock, authorities: EndpointAuthorities | None
) -> QueueSetup | None:
    """Return the queue of a bucket; None where there is none.

    Raises:
        WatcherError: As ``read_queue_setup``.
    """
    if isinstance(where, DirectorySpec) or where.queue is None:
        return None
    from watcher.security.endpoint_authorities import EndpointAuthorities  # noqa: PLC0415 - as below
    from watcher.sources.s3.hints.queue.setup import read_queue_setup  # noqa: PLC0415 - boto3 takes 0.3 s
    from watcher.sources.s3.trust import Trust  # noqa: PLC0415 - as above

    return read_queue_setup(where, clock, Trust(authorities or EndpointAuthorities()))


def _stream_problem(
    where: DirectorySpec | BucketSpec, clock: Clock, authorities: EndpointAuthorities | None
) -> str:
    """Return why the store streams no notifications; empty if it does, or is not to."""
    if isinstance(where, DirectorySpec) or where.notifications is None:
        return ""
    if where.notifications.kind is not HintKind.STREAM:
        return ""
    from watcher.security.endpoint_authorities import EndpointAuthorities  # noqa: PLC0415 - as above
    from watcher.sources.s3.hints.stream import find_stream_problem  # noqa: PLC0415 - as above
    from watcher.sources.s3.trust import Trust  # noqa: PLC0415 - as above

    return find_stream_problem(where, clock, Trust(authorities or EndpointAuthorities()))


@contextmanager
def _opened(spec: Spec, sources: Sources) -> Iterator[Source]:
    """Yield the source of a spec without its filter and without notifications."""
    where = spec.where
    if isinstance(where, DirectorySpec):
        where = replace(where, mode=Mode.POLL, temporary=Temporary.REPORT)
    else:
        # Nothing may take messages of a queue away from the server that reads it.
        where = replace(where, notifications=None)
    unfiltered = replace(spec, where=where, filter=Filter(), conditions=Conditions())
    source = sources.make(AuthorizedSpec(unfiltered, within=None), should_stop=lambda: False)
    try:
        source.open(lambda: None)
        yield source
    finally:
        source.close()
        sources.close()


def _mode(where: DirectorySpec | BucketSpec, files: Files) -> tuple[str, str]:  # noqa: PLR0911 - one a case
    """Return how changes would be detected, and why."""
    if isinstance(where, BucketSpec):
        if where.notifications is None:
            return Mode.POLL, "buckets are listed at intervals"
        interval_s = where.backstop_interval_s or where.poll_interval_s
        by = f"hints by {where.notifications.kind}"
        return Mode.NOTIFY, f"{by}, and a listing every {human_age(interval_s)}"
    if where.mode is not Mode.AUTO:
        return where.mode, "set by the configuration"
    if not files.knows_mounts:
        return Mode.NOTIFY, f"by hints of the system, and a scan every {where.poll_interval_s:g} s"
    mount = files.mount_of(where.path)
    if mount is None:
        return Mode.NOTIFY, "the file system is unknown"
    if mount.notifies:
        return Mode.NOTIFY, f"{mount.type} sends notifications"
    reason = f"{mount.type} is not known to send notifications of every change, so it is scanned "
    return Mode.POLL, f"{reason}every {where.poll_interval_s:g} s"


def _is_admitted(part: PartStatus, path_filter: Filter) -> bool:
    admits, point = PathFilter(path_filter), os.fsencode(part.prefix)
    return admits.admits(point) or admits.admits_directory(point)


def _as_watched(part: PartStatus, where: DirectorySpec | BucketSpec) -> PartStatus:
    """Return a part, which was polled for this reading, as a watch would treat it."""
    if isinstance(where, BucketSpec) or where.mode is Mode.POLL or part.mode != Mode.POLL:
        return part
    is_file = not Path(where.path, part.prefix).is_dir()
    if part.type in NOTIFYING and not is_file:
        return replace(part, mode=Mode.NOTIFY.value, reason="")
    reason = "a single file is looked at" if is_file else f"{part.type} is scanned"
    return replace(part, reason=f"{reason} every {where.poll_interval_s:g} s")


def _cost(where: DirectorySpec | BucketSpec, requests_per_poll: int) -> Cost | None:
    return None if isinstance(where, DirectorySpec) else cost_of(where, requests_per_poll)


def _pages(keys: int) -> int:
    """Return the number of LIST requests that keys take."""
    return max(1, math.ceil(keys / KEYS_PER_REQUEST))
