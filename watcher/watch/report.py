"""What a server or a state directory tells of its watches: one shape for the status page, ``watcher status`` and the metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.telemetry.status import State

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.limits.quotas import StoredUsage
    from watcher.model import Identity
    from watcher.watch.watch import Watch


@dataclass(frozen=True, slots=True)
class WatchReport:
    """One watch as it is now.

    Attributes:
        name: ``id`` from the configuration, or the event's name.
        place: What is watched.
        principal: Who asked for it; empty without tokens.
        state: See ``status.State``; ``idle`` where the server has only its state, ``offline`` where only the state file was read.
        mode: ``notify``, ``poll`` or empty.
        entries: Files or objects in the index.
        since: When it came into this state, seconds since the epoch.
        unconfirmed: Changes that wait to be confirmed.
        lag_s: For how many seconds the first of them has waited; 0 where none does.
        rate: Changes a second in the last minute.
        next_seq: Sequence number that the next change gets.
        streams: Connected streams.
        events: Changes since the start of the watch, by type.
        scans: Completed scans since then.
        scan_s: Seconds that the last one took.
        scanned_at: When it ended, seconds since the epoch; 0 for never.
        scan_age_s: Seconds since then, or since the start of the watch.
        scanned: Entries met by the scan that runs.
        held: Deletions that wait for a second scan to agree.
        errors: Failures to read the place since the start.
        error: The last of them, while it lasts, or why the watch has stopped.
        degraded: Why less is noticed than was asked for, or empty.
        rescans: Scans out of turn, by reason.
        note: What of this a person should know, in one line, or empty.
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
    rescans: dict[str, int] = field(default_factory=dict)
    note: str = ""


def report_watch(identity: Identity, watch: Watch, clock: Clock) -> WatchReport:
    """Return what a running watch tells of itself."""
    status, now = watch.status, clock.wall()
    oldest_at = watch.publisher.journal.oldest_at
    return WatchReport(
        name=identity.name,
        place=identity.place,
        principal=identity.principal,
        state=status.state.value,
        mode=status.mode,
        entries=watch.entries,
        since=status.since,
        unconfirmed=watch.publisher.journal.depth,
        lag_s=0.0 if oldest_at is None else max(0.0, now - oldest_at),
        rate=watch.recent.per_second(clock.monotonic()),
        next_seq=watch.next_seq,
        streams=watch.publisher.streams,
        events=watch.by_type,
        scans=status.scans.count,
        scan_s=status.scan_s,
        scanned_at=status.scanned_at,
        scan_age_s=max(0.0, now - (status.scanned_at or status.started_at)),
        scanned=status.scanned,
        held=status.held,
        errors=status.errors.total(),
        error=status.error,
        degraded=status.degraded,
        rescans=dict(status.rescans),
        note=_note(watch),
    )


def report_idle(identity: Identity, held: StoredUsage, clock: Clock) -> WatchReport:
    """Return what is known of a watch that does not run, for want of streams."""
    return WatchReport(
        name=identity.name,
        place=identity.place,
        principal=identity.principal,
        state="idle",
        entries=held.entries,
        unconfirmed=held.depth,
        lag_s=0.0 if held.oldest_at is None else max(0.0, clock.wall() - held.oldest_at),
        note=f"{held.depth:,} events wait for a stream" if held.depth else "",
    )


def _note(watch: Watch) -> str:
    status = watch.status
    if status.error:
        return status.error
    if status.state is State.PAUSED:
        return f"the journal is full: {watch.blockage}"
    return (
        f"{status.held:,} deletions are held until the next scan agrees"
        if status.held
        else status.degraded
    )
