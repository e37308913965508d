"""What a server shows of the watches of others, and how it reads their reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec

from support.clock import FakeClock
from watcher.errors import StateError
from watcher.model import Identity
from watcher.state.membership import Server
from watcher.state.shared_status import SharedReport
from watcher.state.survey import Reader, Survey, SurveyedWatch
from watcher.status_values import HeldBack, HintStatus, PartStatus, WaitingGroup, WaitingGroups
from watcher.telemetry.recent_changes import Recent
from watcher.watch.report import ServerName, ServerStreams, WatchReport
from watcher.web.shared_watches import OtherWatches, SharedWatches, parse_report, share_report

ME, OTHER = (Server(id_, f"web-{id_}", "node-a", "0.2.0", 0.0) for id_ in "12")
HERE, THERE, NEW, FOREIGN = (
    Identity("", "here", "file:///here"),
    Identity("", "there", "file:///there"),
    Identity("", "new", "file:///new"),
    Identity("bob", "foreign", "file:///foreign"),
)
REPORT = WatchReport(
    "there",
    "file:///there",
    "",
    "watching",
    mode="notify",
    entries=3,
    unconfirmed=1,
    lag_s=2.0,
    changes_per_minute=[1, 2],
    lag_per_minute_s=[0.5],
    streams=1,
    parts=[PartStatus("", "ext4", "notify"), PartStatus("usb", "vfat", "poll", "it is removable")],
    groups=WaitingGroups(1, [WaitingGroup("a", 5.0)]),
    held_back=HeldBack(marker=2),
    hints=HintStatus("queue", messages=3),
)
CHANGE = Recent("there", 1.0, 7, "created", "a.csv", "", 6)
CONTENT = msgspec.json.encode({"report": REPORT, "recent": [CHANGE]}).decode()


def surveyed(identity: Identity, owner: str | None, *readers: Reader) -> SurveyedWatch:
    return SurveyedWatch(
        identity=identity,
        number=len(identity.name),
        owner=owner,
        epoch=1,
        entries=9,
        document_version=1,
        has_document=True,
        node=None,
        used_at=0.0,
        readers=readers,
    )


@dataclass
class Status:
    """Stands for the reports in the state."""

    reports: Sequence[SharedReport] = ()
    is_away: bool = False
    principals: list[str] = field(default_factory=list)

    def read(self, principal: str) -> Sequence[SharedReport]:
        self.principals.append(principal)
        if self.is_away:
            raise StateError("the database is away")
        return self.reports

    def write(self, reports: Mapping[int, str]) -> None:
        raise AssertionError(reports)


def look(status: Status, *watches: SurveyedWatch, servers: Sequence[Server]) -> OtherWatches:
    """Return what a server sees."""
    membership = SimpleNamespace(me=ME, servers=servers)
    state: Any = SimpleNamespace(membership=membership, shared_status=status, away_s=lambda: 0.0)
    elsewhere = SimpleNamespace(survey=Survey({each.identity: each for each in watches}))
    registry: Any = SimpleNamespace(elsewhere=elsewhere)
    clock = FakeClock()
    return asyncio.run(SharedWatches(registry, state, clock).look(""))


def test_watches_of_others_are_shown_with_their_owners_and_all_streams() -> None:
    """Those without a report yet too; none of other principals, and none without a living owner."""
    report = SharedReport(THERE, OTHER.id, FakeClock().wall() - 3, CONTENT)
    dead = SharedReport(HERE, "dead", 0.0, CONTENT)
    status = Status([report, dead])
    found = look(
        status,
        surveyed(HERE, ME.id, Reader(OTHER.id, 2, 0), Reader("dead", 5, 0)),
        surveyed(THERE, OTHER.id, Reader(ME.id, 4, 0)),
        surveyed(NEW, OTHER.id),
        surveyed(FOREIGN, OTHER.id, Reader(ME.id, 1, 0)),
        servers=[ME, OTHER],
    )
    there, new = sorted(found.reports, key=lambda each: each.name, reverse=True)
    owner = ServerName("2", "web-2", "node-a")
    assert (there.owner, there.streams, there.lag_s) == (owner, 5, 5.0)
    assert there.streams_by_server == [
        ServerStreams("2", "web-2", 1),
        ServerStreams("1", "web-1", 4),
    ]
    assert (new.name, new.owner, new.state, new.entries) == ("new", owner, "starting", 9)
    assert found.recent == [CHANGE]
    assert found.streams[HERE] == [ServerStreams("2", "web-2", 2)]
    assert status.principals == [""]


def test_a_server_that_is_alone_asks_nobody() -> None:
    status = Status()
    assert look(status, surveyed(HERE, ME.id), servers=[ME]) == OtherWatches()
    assert not status.principals


def test_without_the_state_only_what_is_here_is_shown() -> None:
    status = Status(is_away=True)
    assert look(status, surveyed(THERE, OTHER.id), servers=[ME, OTHER]) == OtherWatches()


def test_a_report_comes_back_as_it_was() -> None:
    report, recent = parse_report(CONTENT)
    assert (report, recent) == (REPORT, [CHANGE])


def test_a_report_of_another_version_is_read_as_far_as_it_is_known() -> None:
    """Fields that it lacks have their defaults, and those that nobody knows are left out."""
    document = json.loads(CONTENT)
    for values in (
        document["report"],
        document["recent"][0],
        document["report"]["hints"],
        document["report"]["parts"][0],
        document["report"]["held_back"],
        document["report"]["groups"]["first"][0],
    ):
        values["unheard_of"] = 1
    for name in ("parts", "groups", "held_back", "hints", "waiting_streams", "rate"):
        del document["report"][name]
    report, recent = parse_report(json.dumps(document))
    assert recent == [CHANGE]
    assert (report.name, report.entries, report.parts, report.hints) == ("there", 3, [], None)


def test_the_streams_of_a_watch_here_and_elsewhere_are_added() -> None:
    shared = share_report(REPORT, ME, [ServerStreams("2", "web-2", 2)])
    assert shared.streams == 3
    assert shared.owner == ServerName("1", "web-1", "node-a")
    assert [each.streams for each in shared.streams_by_server] == [1, 2]
    assert share_report(WatchReport("a", "b", "", "idle"), ME).streams_by_server == []
