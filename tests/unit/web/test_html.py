"""The text of the status page; a browser tests its layout and its script."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from watcher.state.membership import Role, Server, Standing
from watcher.status_values import HeldBack, PartStatus, WaitingGroup, WaitingGroups
from watcher.telemetry.recent_changes import Recent
from watcher.watch.held_back import HeldBackEntry
from watcher.watch.report import ServerName, ServerStreams, WatchReport
from watcher.web.html import SHOWN_WATCHES, Overview, render_page
from watcher.web.waiting import SHOWN_ENTRIES

NOON = 1_769_860_800.0
"""2026-01-31 12:00 UTC."""
ORDERS = WatchReport(
    "orders", "file:///data/in", "team", "watching", mode="notify", since=NOON - 3600, streams=1
)
CHANGE = Recent("orders", NOON - 3, 1, "created", "a.csv", "", 6)
ALONE = Server("", "host", "", "0.2.0", NOON)
OVERVIEW = Overview(
    reports=[ORDERS],
    recent=[CHANGE],
    problem="",
    standing=Standing(Role.SERVING),
    server=ALONE,
    servers=[ALONE],
    query="",
    csrf_token="",
    generated_at=NOON,
)
EVIL = "<script>alert('1')</script>&\"\u202e\n"
SHOWN = "<script>alert('1')</script>&\"\\u202e\\n"


def read(**changes: object) -> str:
    """Return the text of a page, with single spaces."""
    page = render_page(replace(OVERVIEW, **changes))  # type: ignore[arg-type] # fields by name
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_older_changes_have_a_date() -> None:
    text = read(recent=[CHANGE, replace(CHANGE, at=NOON - 86_400)])
    assert "as of 12:00:00 UTC" in text
    assert " 11:59:57 created" in text
    assert " 2026-01-30 12:00:00 created" in text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "file:///data/in watching notify · for 1 h "),
        ({"state": "scanning", "since": NOON, "scanned": 1234}, "scanning 1,234 entries · for 0 s"),
        ({"state": "unavailable", "mode": "", "since": NOON - 600}, " unavailable for 10 min "),
        ({"state": "idle", "mode": "", "since": 0.0}, " file:///data/in idle 0 "),
        ({"streams": 1}, "none yet 1 Recent"),
        ({"streams": 0}, "none yet no stream"),
        ({"waiting": "1 stream waits for its rate of 10/s"}, "none yet 1 1 stream waits for its"),
        ({"next_scan_at": NOON + 720}, "none yet next in 12 min "),
        ({"scanned_at": NOON - 60, "scan_s": 3.0}, "1 min ago took 3.0 s "),
        (
            {"scanned_at": NOON - 60, "scan_s": 3.0, "next_scan_at": NOON + 9},
            "1 min ago took 3.0 s, next in 9 s ",
        ),
    ],
)
def test_a_watch_has_its_state_with_its_age_and_its_streams(
    fields: dict[str, Any], text: str
) -> None:
    assert text in read(reports=[replace(ORDERS, **fields)])


def test_how_hints_arrive_stands_below_a_watch() -> None:
    """Escaped, as a problem names what a store says; a watch without hints has no line."""
    report = replace(ORDERS, degraded="no hints", note="no hints", hints_summary=f"hints: {EVIL}")
    assert f"none yet 1 no hints hints: {SHOWN} Recent" in read(reports=[report])


def test_entries_that_are_held_back_are_listed() -> None:
    """Below the numbers stand some entries with their reasons, escaped, and how many more."""
    entries = [HeldBackEntry(f"{number}{EVIL}", "marker", "waits for x") for number in range(9)]
    waiting = "1,234 held back: 1,234 wait for NAME.done"
    report = replace(
        ORDERS, held_back=HeldBack(marker=1234), held_back_entries=entries, waiting=waiting
    )
    listed = " ".join(f"{number}{SHOWN} waits for x" for number in range(SHOWN_ENTRIES))
    assert f"{waiting} {listed} {1234 - SHOWN_ENTRIES:,} more Recent" in read(reports=[report])
    assert f"{waiting} Recent" in read(reports=[replace(report, held_back_entries=[])])


@pytest.mark.parametrize(
    ("reports", "query", "text"),
    [
        ([], "", "No watches."),
        ([], "x", "No watches."),
        ([ORDERS], "x", "No watch has “x” in its name or place."),
        ([ORDERS], EVIL, f"No watch has “{SHOWN}” in its name or place."),
        ([ORDERS], "RDER", "orders file:///data/in"),
        ([ORDERS] * (SHOWN_WATCHES + 2), "data", "2 more watches: search by name or place"),
    ],
)
def test_search(reports: list[WatchReport], query: str, text: str) -> None:
    """No watches, no match, and more matches than fit are three different texts."""
    shown = read(reports=reports, query=query)
    assert text in shown
    texts = sum(map(shown.count, ("No watches.", "No watch has", "orders file")))
    assert texts == min(max(1, len(reports)), SHOWN_WATCHES)


def test_mounts_below_a_directory() -> None:
    """Each is shown with how it is watched; one that is missing has a button that releases it."""
    parts = (
        PartStatus("", "ext4", "notify"),
        PartStatus("usb", "", "unread", "the mount at 'usb' is gone"),
        PartStatus("share", "nfs4", "poll", "it does not notify"),
    )
    report = replace(ORDERS, parts=parts)
    text = read(reports=[report])
    assert "usb: unread, the mount at 'usb' is gone Release the mount" in text
    assert "share (nfs4): poll, it does not notify Recent" in text
    page = render_page(replace(OVERVIEW, reports=[report]))
    assert page.count('name="prefix" value="usb"') == page.count("Release the mount") == 1


def test_groups_that_wait() -> None:
    """Each with the time that it has left, the whole place as a dot, escaped."""
    first = [WaitingGroup("<i>", NOON + 240), WaitingGroup("", 0.0)]
    report = replace(ORDERS, groups=WaitingGroups(2, first))
    assert "2 changed groups wait: <i> (4 min), . (for more entries)" in read(reports=[report])


def test_unknown_changes_are_not_denied() -> None:
    """The watch that had changes may have stopped, so the page does not deny them."""
    assert "Running watches have no recent changes." in read(recent=[])


def test_hostile_text_is_escaped() -> None:
    parts = (PartStatus("", "ext4", "notify"), PartStatus(EVIL, EVIL, "unread", EVIL))
    hostile = replace(
        ORDERS, name=EVIL, place=EVIL, state=EVIL, mode=EVIL, note=EVIL, held=1, parts=parts
    )
    change = replace(CHANGE, watch=EVIL, path=EVIL, old_path=EVIL)
    page = render_page(
        replace(OVERVIEW, reports=[hostile], recent=[change], problem=EVIL, query="alert")
    )
    assert "<script>" not in page.replace("<script src", "")
    assert unescape(re.sub(r"<[^>]*>", "", page)).count(SHOWN) == 12
    assert 'name="q" value="alert"' in page


def test_a_server_that_stands_by_says_for_whom() -> None:
    assert "ready" in read()
    problem = f"standby: {EVIL} uses the state alone"
    text = read(standing=Standing(Role.STANDBY, problem), problem=problem)
    assert f"standby: {SHOWN} uses the state alone" in text


def test_servers_that_share_the_state_are_listed() -> None:
    """With what each has to do; their names are hostile too. One that is alone is not shown."""
    first = Server("1", EVIL, "node-a", "0.2.0", NOON - 60, watches=1200, entries=34_000, streams=9)
    second = Server("2", "web-2", "", "0.2.1", NOON - 86_400, is_leaving=True)
    text = read(server=second, servers=[first, second])
    assert f"Servers Server Node Version Since, UTC Watches Entries Streams {SHOWN} node-a" in text
    assert "node-a 0.2.0 11:59:00 1,200 34,000 9 " in text
    assert "web-2 this one leaving 0.2.1 2026-01-30 12:00:00 0 0 0 " in text
    assert "Servers" not in read()


def test_the_owner_of_a_watch_and_the_servers_of_its_streams_are_named() -> None:
    """The latter unless all are at the owner."""
    owner = ServerName("1", "web-1", "node-a")
    streams = [ServerStreams("1", "web-1", 1), ServerStreams("2", EVIL, 2)]
    report = replace(ORDERS, owner=owner, streams=3, streams_by_server=streams)
    text = read(reports=[report])
    assert "notify · for 1 h · on web-1" in text
    assert f"none yet 3 1 on web-1, 2 on {SHOWN} Recent" in text
    report = replace(report, streams=1, streams_by_server=streams[:1])
    assert "none yet 1 Recent" in read(reports=[report])
    report = replace(report, streams=2, streams_by_server=streams[1:])
    assert f"none yet 2 2 on {SHOWN} Recent" in read(reports=[report])
