"""Reports of watches: one shape for the status page, ``watcher status`` and the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from watcher.delivery.subscription import Wait
from watcher.formatting import format_rate, human_age
from watcher.status_values import HeldBack, WaitingGroups
from watcher.telemetry.held_back import describe_held_back
from watcher.telemetry.hints import describe_hints
from watcher.telemetry.status import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.clock import Clock
    from watcher.limits.quotas import StoredUsage
    from watcher.model import Identity
    from watcher.spec import Spec
    from watcher.status_values import HintStatus, PartStatus
    from watcher.telemetry.status import Status
    from watcher.watch.held_back import HeldBackEntry
    from watcher.watch.watch import Watch

UNANSWERED_MIN_S = 60.0
"""Seconds after which a place that has not answered counts as unavailable: between two answers lie
up to a thousand questions, each of which takes tens of milliseconds on a slow network."""

RENEWAL_SHOWN_S = 86_400.0
"""Seconds for which a watch has a note that its ids were renewed: an operator's day."""


@dataclass(frozen=True, slots=True)
class ServerName:
    """A server that shares the state with others.

    Attributes:
        id: Random, for the time of its process.
        name: For people.
        node: Where it runs; empty if it is not known.
    """

    id: str
    name: str
    node: str


@dataclass(frozen=True, slots=True)
class ServerStreams:
    """The streams of a watch on one server.

    Attributes:
        id: Of the server.
        name: Of the server, for people.
        streams: Their number.
    """

    id: str
    name: str
    streams: int


@dataclass(frozen=True, slots=True)
class WatchReport:
    """One watch as it is now.

    Attributes:
        name: ``id`` of the configuration, or else the name of the event source.
        place: What is watched.
        principal: Name of the token that asked for it; empty without tokens.
        state: A ``State``; or ``idle`` if the watch does not run, ``offline`` if only its state
            file was read.
        mode: ``notify`` or ``poll``; empty if unknown.
        entries: Files or objects in the index.
        since: When the watch entered its state, seconds since the epoch.
        unconfirmed: Changes that wait to be confirmed.
        lag_s: Age of the oldest of them in seconds; 0 if there is none.
        rate: Changes per second in the last minute.
        changes_per_minute: Changes in each minute of the last hour, the oldest first; empty if
            there were none.
        lag_per_minute_s: The greatest ``lag_s`` in each of these minutes; empty if there was none.
        next_seq: Sequence number of the next change.
        streams: Connected streams, on all servers.
        events: Changes since the start of the watch, by type.
        scans: Completed scans since the start.
        scan_s: Seconds that the last completed scan took.
        scanned_at: When that scan ended, seconds since the epoch; 0 for never.
        scan_age_s: Seconds since then, or since the start of the watch.
        scanned: Entries met so far by the running scan.
        held: Deletions that wait for a second scan to agree.
        errors: Failures to read the place since the start.
        error: The last failure while it lasts, or why the watch has stopped; empty if none.
        degraded: Why changes are noticed later than asked for; empty if they are not.
        parts: The watched directory and the mounts below it, each with how it is watched; empty for
            a bucket, and before the directory was opened.
        groups: The groups that have changed and are not completed, and until when the first wait.
        rescans: Scans requested out of turn since the start, by reason.
        ids_renewed_at: When the ids of events were last renewed, seconds since the epoch; 0 for
            never.
        next_scan_at: When the next scan is due, or the next try while the place cannot be read,
            seconds since the epoch; 0 if unknown.
        requests: LIST requests since the start, retries included; 0 for a directory.
        failed_requests: Those among them of scans that failed, and of tries to open the bucket.
        held_back: Entries that conditions hold back.
        held_back_entries: Some of them, with the reasons; empty unless the state was read for it.
        note: What a person should know about the watch, in one line; empty if nothing.
        waiting: What entries and streams wait for by the configuration, in one line; empty if
            nothing waits.
        waiting_streams: How many streams wait so, by what they wait for.
        hints: What arrives of the hints about a bucket; None where none do.
        hints_summary: The same in one line; empty where none do.
        owner: The server that owns the watch; None where no other could, and for nobody.
        streams_by_server: The connected streams by server; empty where there is only one.
    """

    name: str
    place: str
    principal: str
    state: str
    mode: str = ""
    entries: int = 0
    since: float = 0.0
    unconfirmed: int = 0
    lag_s: float = 0.0
    rate: float = 0.0
    changes_per_minute: Sequence[int] = ()
    lag_per_minute_s: Sequence[float] = ()
    next_seq: int = 1
    streams: int = 0
    events: dict[str, int] = field(default_factory=dict)
    scans: int = 0
    scan_s: float = 0.0
    scanned_at: float = 0.0
    scan_age_s: float = 0.0
    scanned: int = 0
    held: int = 0
    errors: int = 0
    error: str = ""
    degraded: str = ""
    parts: Sequence[PartStatus] = ()
    groups: WaitingGroups = field(default_factory=WaitingGroups)
    rescans: dict[str, int] = field(default_factory=dict)
    ids_renewed_at: float = 0.0
    next_scan_at: float = 0.0
    requests: int = 0
    failed_requests: int = 0
    held_back: HeldBack = field(default_factory=HeldBack)
    held_back_entries: Sequence[HeldBackEntry] = ()
    note: str = ""
    waiting: str = ""
    waiting_streams: dict[str, int] = field(default_factory=dict)
    hints: HintStatus | None = None
    hints_summary: str = ""
    owner: ServerName | None = None
    streams_by_server: Sequence[ServerStreams] = ()


def report_watch(
    identity: Identity,
    watch: Watch,
    clock: Clock,
    held_back_entries: Sequence[HeldBackEntry] = (),
) -> WatchReport:
    """Return the report of a running watch, which is made without the disk.

    Args:
        identity: The watch, as it is named.
        watch: The watch.
        clock: The time.
        held_back_entries: Copied into the report.
    """
    status, journal = watch.status, watch.publisher.journal
    now_s, waiting, held_back = clock.wall(), watch.publisher.waiting(), watch.held_back
    unanswered = describe_unanswered(watch.unanswered_s)
    return WatchReport(
        name=identity.name,
        place=identity.place,
        principal=identity.principal,
        state=State.UNAVAILABLE.value if unanswered else status.state.value,
        mode=status.mode,
        entries=watch.entries,
        since=status.since,
        unconfirmed=journal.depth,
        lag_s=_age_s(journal.oldest_at, now_s),
        rate=watch.outbox.recent.per_second(),
        changes_per_minute=[round(count) for count in watch.outbox.recent.per_minute()],
        lag_per_minute_s=[round(lag_s, 1) for lag_s in watch.publisher.lag.values()],
        next_seq=journal.next_seq,
        streams=watch.publisher.streams,
        events=dict(watch.outbox.by_type),
        scans=status.scans.count,
        scan_s=status.scan_s,
        scanned_at=status.scanned_at,
        scan_age_s=_age_s(status.scanned_at or status.started_at, now_s),
        scanned=status.scanned,
        held=status.held,
        errors=status.errors.total(),
        error=unanswered or status.error,
        degraded=status.degraded,
        parts=status.parts,
        groups=status.groups,
        rescans=dict(status.rescans),
        ids_renewed_at=watch.ids_renewed_at,
        next_scan_at=status.next_scan_at,
        requests=watch.requests,
        failed_requests=status.failed_requests,
        held_back=held_back,
        held_back_entries=held_back_entries,
        note=unanswered or _note(watch, now_s) or _renewal(watch.ids_renewed_at, now_s),
        waiting=_waiting(watch.spec, held_back, waiting),
        waiting_streams={wait.value: streams for wait, streams in waiting.items()},
        hints=(hints := watch.hint_status),
        hints_summary=describe_hints(hints),
    )


def report_idle(identity: Identity, usage: StoredUsage, clock: Clock) -> WatchReport:
    """Return the report of a watch that does not run, since it has no streams."""
    return WatchReport(
        name=identity.name,
        place=identity.place,
        principal=identity.principal,
        state="idle",
        entries=usage.entries,
        unconfirmed=usage.depth,
        lag_s=_age_s(usage.oldest_at, clock.wall()),
        held_back=usage.held_back,
        waiting=describe_held_back(usage.held_back),
        note=f"{usage.depth:,} events wait for a stream" if usage.depth else "",
    )


def describe_unanswered(seconds: float) -> str:
    """Return that a place does not answer; empty unless it has not for long."""
    if seconds < UNANSWERED_MIN_S:
        return ""
    return f"the volume has not answered for {human_age(seconds)}: is its file server there?"


def _age_s(at: float | None, now_s: float) -> float:
    return 0.0 if at is None else max(0.0, now_s - at)


def _renewal(renewed_at: float, now_s: float) -> str:
    if not renewed_at or now_s - renewed_at > RENEWAL_SHOWN_S:
        return ""
    moment = datetime.fromtimestamp(renewed_at, UTC)
    return f"restored from a backup, or copied: events have new ids since {moment:%Y-%m-%d %H:%MZ}"


def describe_streams(spec: Spec, waiting: Mapping[Wait, int]) -> str:
    """Return what streams wait for by their configuration; empty if none does."""
    texts = []
    for wait, streams in waiting.items():
        verb = "streams wait" if streams > 1 else "stream waits"
        if wait is Wait.RATE:
            bound = f"its rate of {format_rate(spec.rate_per_s or 0.0)}"
        else:
            bound = f"acknowledgements: at most {spec.max_unacknowledged or 0:,} may be outstanding"
        texts.append(f"{streams:,} {verb} for {bound}")
    return ", ".join(texts)


def _waiting(spec: Spec, held_back: HeldBack, waiting: Mapping[Wait, int]) -> str:
    """Return what entries and streams wait for by their configuration."""
    texts = describe_held_back(held_back, spec.conditions), describe_streams(spec, waiting)
    return "; ".join(filter(None, texts))


def _note(watch: Watch, now_s: float) -> str:
    status = watch.status
    if status.error:
        return status.error if status.state is State.STOPPED else _failing(status, now_s)
    if status.state is State.PAUSED:
        return f"the journal is full: {watch.blockage}"
    if status.held:
        return f"{status.held:,} deletions are held until the next scan agrees"
    if status.state is State.STARTING and (wait_s := status.next_scan_at - now_s) >= 1:
        return f"earlier scans have not been completed: the next one is in {human_age(wait_s)}"
    return status.degraded


def _failing(status: Status, now_s: float) -> str:
    """Return why a place cannot be read, when that is tried again, and what it has cost."""
    wait_s = status.next_scan_at - now_s
    again = f"next try in {human_age(wait_s)}" if wait_s >= 1 else "next try now"
    requests = status.failed_requests
    cost = f"; failed tries took {requests:,} LIST requests" if requests else ""
    return f"{status.error} ({again}{cost})"
