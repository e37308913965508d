"""The watches of servers that share a state, as each of the servers shows them.

A server reports the watches that it owns to the state every two seconds, those that have changed;
and reads there what the others report when a page is asked for. Servers of two versions run side by
side, so a report may lack fields, or have some that this version does not know.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import msgspec

from watcher.errors import StateError
from watcher.limits.deadline import limited
from watcher.limits.fair_queue import run_in_thread
from watcher.status_values import HeldBack, HintStatus, PartStatus, WaitingGroup, WaitingGroups
from watcher.telemetry.recent_changes import RECENT_CHANGES, Recent, newest_changes
from watcher.watch.report import ServerName, ServerStreams, WatchReport, report_watch
from watcher.web.json_documents import encode_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.membership import Server
    from watcher.state.port import StateEngine
    from watcher.state.survey import Survey, SurveyedWatch
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.watch import Watch

REPORT_INTERVAL_S = 2.0
"""Seconds between two reports of the watches that have changed."""

REPORT_S, LOOK_S = 5.0, 2.0
"""Longest waits in seconds for the state: to write reports, and to read them for a page."""

KEEP_S = 60.0
"""Seconds after which, at the latest, a report is written again though nothing has happened: it may
be lost, and rates and pictures of the last hour change with the time alone."""

SPREAD = 32
"""Number of moments over which these reports are spread."""


@dataclass(frozen=True, slots=True)
class OtherWatches:
    """The watches of one principal as far as they concern other servers.

    Attributes:
        reports: Of the watches that other servers own.
        recent: The newest changes of these.
        streams: How many streams of each watch servers have that do not own it, by server; also
            of watches that this server owns.
    """

    reports: Sequence[WatchReport] = ()
    recent: Sequence[Recent] = ()
    streams: Mapping[Identity, Sequence[ServerStreams]] = field(default_factory=dict)


class SharedWatches:
    """Reports the watches of this server to the others, and reads theirs.

    Args:
        watches: The watches that run here, and the survey of all.
        state: Which the servers share.
        clock: Dates reports.
    """

    def __init__(self, watches: WatchRegistry, state: StateEngine, clock: Clock) -> None:
        self._watches = watches
        self._state = state
        self._clock = clock
        self._written: dict[Identity, tuple[tuple[object, ...], float]] = {}

    @property
    def others(self) -> Mapping[str, Server]:
        """The other servers that live, by id."""
        me = self._state.membership.me.id
        return {each.id: each for each in self._state.membership.servers if each.id != me}

    @property
    def is_first(self) -> bool:
        """Whether this server counts what there is once; one that is alone does."""
        servers = self._state.membership.servers
        return not servers or servers[0].id == self._state.membership.me.id

    async def report(self) -> None:
        """Report what has changed of the watches that this server owns; nothing while it is alone.

        What cannot be written is written by a later report.
        """
        if not self.others:
            self._written.clear()
            return
        if self._state.away_s():
            return
        running, survey = self._watches.running(), self._watches.elsewhere.survey
        me = self._state.membership.me.id
        owned = [
            (survey.watches[identity].number, identity, watch)
            for identity, watch in running
            if identity in survey.watches and survey.watches[identity].owner == me
        ]
        with suppress(StateError), limited(REPORT_S):
            await run_in_thread(lambda: self._report(owned))

    async def look(self, principal: str) -> OtherWatches:
        """Return the watches of a principal as far as they concern other servers.

        What the state does not answer is left out.
        """
        others = self.others
        if not others or self._state.away_s():
            return OtherWatches()
        survey = self._watches.elsewhere.survey
        try:
            with limited(LOOK_S):
                return await run_in_thread(lambda: self._look(principal, survey, others))
        except StateError:
            return OtherWatches()

    def _report(self, owned: Sequence[tuple[int, Identity, Watch]]) -> None:
        changed: dict[int, str] = {}
        written: dict[Identity, tuple[tuple[object, ...], float]] = {}
        now_s = self._clock.monotonic()
        for number, identity, watch in owned:
            # A report costs a hundred times as much as a look at what changes it.
            seen = _activity(watch)
            former, due_s = self._written.get(identity, ((), 0.0))
            if seen != former or now_s >= due_s:
                report = report_watch(identity, watch, self._clock)
                recent = newest_changes([(identity.name, watch.outbox.recent)], RECENT_CHANGES)
                content = encode_document({"report": report, "recent": recent})
                changed[number] = content.decode()
                # Not all in the same moment.
                due_s = now_s + KEEP_S * (0.5 + number % SPREAD / (2 * SPREAD))
            written[identity] = seen, due_s
        if changed:
            self._state.shared_status.write(changed)
        self._written = written

    def _look(self, principal: str, survey: Survey, others: Mapping[str, Server]) -> OtherWatches:
        streams = {
            identity: _streams_of(surveyed, self._state.membership.servers)
            for identity, surveyed in survey.watches.items()
            if identity.principal == principal and surveyed.readers
        }
        found = {
            identity: WatchReport(*_named(identity), "starting", entries=surveyed.entries)
            for identity, surveyed in survey.watches.items()
            if identity.principal == principal and surveyed.owner in others
        }
        owners = {identity: survey.watches[identity].owner for identity in found}
        recent: list[Recent] = []
        now_s = self._clock.wall()
        for each in self._state.shared_status.read(principal):
            if each.owner not in others:
                continue
            report, newest = parse_report(each.report)
            found[each.identity] = _aged(report, max(0.0, now_s - each.at))
            owners[each.identity] = each.owner
            recent += newest
        reports = [
            share_report(report, others[str(owners[identity])], streams.get(identity, ()))
            for identity, report in found.items()
        ]
        return OtherWatches(reports, recent, streams)


def share_report(
    report: WatchReport, owner: Server, elsewhere: Sequence[ServerStreams] = ()
) -> WatchReport:
    """Return a report of the owner of a watch with its name, and with the streams elsewhere."""
    here = ServerStreams(owner.id, owner.name, report.streams)
    return replace(
        report,
        owner=ServerName(owner.id, owner.name, owner.node),
        streams=report.streams + sum(each.streams for each in elsewhere),
        streams_by_server=[each for each in (here, *elsewhere) if each.streams],
    )


def parse_report(content: str) -> tuple[WatchReport, list[Recent]]:
    """Return a report and the newest changes, as a server of perhaps another version wrote them."""
    document: dict[str, Any] = msgspec.json.decode(content)
    values = _known(WatchReport, document["report"])
    values["parts"] = [PartStatus(**_known(PartStatus, part)) for part in values.get("parts", ())]
    groups = values.get("groups") or {"count": 0, "first": ()}
    first = [WaitingGroup(**_known(WaitingGroup, group)) for group in groups["first"]]
    values["groups"] = WaitingGroups(groups["count"], first)
    values["held_back"] = HeldBack(**_known(HeldBack, values.get("held_back", {})))
    if values.get("hints") is not None:
        values["hints"] = HintStatus(**_known(HintStatus, values["hints"]))
    values |= {"held_back_entries": (), "owner": None, "streams_by_server": ()}
    recent = [Recent(**_known(Recent, each)) for each in document["recent"]]
    return WatchReport(**values), recent


def _activity(watch: Watch) -> tuple[object, ...]:
    """Return what differs after anything has happened that a report shows; without the disk."""
    status, journal = watch.status, watch.publisher.journal
    return (
        *(status.state, status.since, status.scanned, status.scanned_at, status.next_scan_at),
        *(status.error, status.errors.total(), status.degraded, status.held, status.groups),
        *(status.parts, watch.requests, watch.entries, watch.held_back, watch.hint_status),
        *(journal.next_seq, journal.depth, watch.publisher.streams, bool(watch.unanswered_s)),
    )


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that are fields of a dataclass."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _named(identity: Identity) -> tuple[str, str, str]:
    return identity.name, identity.place, identity.principal


def _aged(report: WatchReport, age_s: float) -> WatchReport:
    """Return a report that was made some time ago, with the ages of now."""
    lag_s = report.lag_s + age_s if report.unconfirmed else 0.0
    return replace(report, lag_s=lag_s, scan_age_s=report.scan_age_s + age_s)


def _streams_of(surveyed: SurveyedWatch, servers: Sequence[Server]) -> Sequence[ServerStreams]:
    names = {each.id: each.name for each in servers}
    return [
        ServerStreams(each.server, names[each.server], each.streams)
        for each in surveyed.readers
        if each.server in names and each.streams
    ]
