"""What the operator's page says of reports; how it looks and moves is tested in a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from watcher.telemetry.recent_changes import Recent
from watcher.watch.report import WatchReport
from watcher.web.html import SHOWN_WATCHES, Overview, render_page

NOON = 1_769_860_800.0
"""2026-01-31 12:00 UTC."""
ORDERS = WatchReport(
    "orders", "file:///data/in", "team", "watching", mode="notify", since=NOON - 3600, streams=1
)
CHANGE = Recent("orders", NOON - 3, 1, "created", "a.csv", "", 6)
OVERVIEW = Overview(reports=[ORDERS], recent=[CHANGE], problem="", query="", seal="", at=NOON)
EVIL = "<script>alert('1')</script>&\"\u202e\n"
SHOWN = "<script>alert('1')</script>&\"\\u202e\\n"


def read(overview: Overview) -> str:
    """Return the page as it is read, one space between all that it says."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", render_page(overview))).split())


def test_times_have_their_date() -> None:
    """The page says as of when it is; a change of today has the time of day, an older one its date too."""
    text = read(replace(OVERVIEW, recent=[CHANGE, replace(CHANGE, at=NOON - 86_400)]))
    assert "as of 12:00:00 UTC" in text
    assert " 11:59:57 created" in text
    assert " 2026-01-30 12:00:00 created" in text


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (ORDERS, "watching notify · for 1 h"),
        (
            replace(ORDERS, state="scanning", since=NOON - 5, scanned=1234),
            "scanning 1,234 entries · for 5 s",
        ),
        (replace(ORDERS, state="unavailable", mode="", since=NOON - 600), "unavailable for 10 min"),
        (replace(ORDERS, state="idle", mode="", since=0.0), "idle 0"),
    ],
)
def test_how_long_a_state_lasts(report: WatchReport, text: str) -> None:
    """Below its state a watch has what it is about, and since when, as far as it is known."""
    assert f"file:///data/in {text} " in read(replace(OVERVIEW, reports=[report]))


def test_a_watch_that_nobody_listens_to() -> None:
    """A watch without streams says so in words."""
    assert "none yet 1 Recent" in read(OVERVIEW)
    assert "none yet no stream Recent" in read(
        replace(OVERVIEW, reports=[replace(ORDERS, streams=0)])
    )


@pytest.mark.parametrize(
    ("reports", "query", "text"),
    [
        ([], "", "There are no watches here."),
        ([], "x", "There are no watches here."),
        ([ORDERS], "x", "No watch has “x” in its name or place."),
        ([ORDERS], EVIL, f"No watch has “{SHOWN}” in its name or place."),
        ([ORDERS], "RDER", "orders file:///data/in"),
        ([ORDERS] * (SHOWN_WATCHES + 2), "data", "2 more: search for them, or see status.json ."),
    ],
)
def test_which_watches_are_there(reports: list[WatchReport], query: str, text: str) -> None:
    """That there are no watches, that none is found, and that not all are shown are three things to say."""
    shown = read(replace(OVERVIEW, reports=reports, query=query))
    assert text in shown
    assert shown.count("There are no") + shown.count("No watch") + shown.count("orders file") == (
        SHOWN_WATCHES if len(reports) > 1 else 1
    )


def test_no_changes_are_those_of_the_watches_that_run() -> None:
    """Where no changes are known it is not claimed that there were none: the watch that had them may have ended."""
    assert "There are none of the watches that run." in read(replace(OVERVIEW, recent=[]))


def test_what_is_hostile_is_escaped() -> None:
    """Markup in whatever comes from elsewhere is shown as it is written, and what steers text is escaped, also in the form's fields."""
    hostile = replace(ORDERS, name=EVIL, place=EVIL, state=EVIL, mode=EVIL, note=EVIL, held=1)
    change = replace(CHANGE, watch=EVIL, path=EVIL, old_path=EVIL)
    overview = Overview(
        reports=[hostile], recent=[change], problem=EVIL, query="alert", seal="", at=NOON
    )
    assert "<script>" not in render_page(overview).replace("<script src", "")
    assert unescape(re.sub(r"<[^>]*>", "", render_page(overview))).count(SHOWN) == 9
    assert 'name="q" value="alert"' in render_page(overview)
