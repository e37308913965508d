"""Renders the operator's page from reports. Names, places and paths are hostile: all that is put in is escaped. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from watcher import __version__
from watcher.text import human_age, human_duration, human_rate, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.recent import Recent
    from watcher.report import WatchReport

SHOWN_WATCHES = 100
"""The page shows so many; the others are found by their name, or in ``/status.json``."""

ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
"""What the page refers to, with its content type."""

_BADGES = {"watching": "good", "scanning": "good", "unavailable": "bad", "paused": "wait", "stopped": "bad"}
_TYPES = {"created": "good", "modified": "wait", "deleted": "bad"}


@dataclass(frozen=True, slots=True)
class Overview:
    """What one page shows.

    Attributes:
        reports: The watches that whoever looks may see.
        recent: Their newest changes, the newest first.
        problem: What keeps the server from its work, or empty.
        query: Only watches are shown that have this in their name or place.
        seal: Shows that a form comes from this page.
    """

    reports: Sequence[WatchReport]
    recent: Sequence[Recent]
    problem: str
    query: str
    seal: str


def asset(name: str) -> str:
    """Return the text of a file that belongs to the page; it must be there."""
    return files("watcher").joinpath("page", name).read_text(encoding="utf-8")


def render_page(overview: Overview) -> str:
    """Return the page as HTML."""
    reports = overview.reports
    troubled = sum(bool(report.note) for report in reports)
    found = [report for report in reports if overview.query.casefold() in f"{report.name}\n{report.place}".casefold()]
    # Trouble comes first.
    found.sort(key=lambda report: (not report.error, not report.note, report.name, report.place))
    return Template(asset("page.html")).substitute(
        title=f"{f'{troubled} in trouble · ' if troubled else ''}watcher",
        health=f'<span class="badge bad">{_text(overview.problem)}</span>' if overview.problem else '<span class="badge good">ready</span>',
        query=_text(overview.query),
        tallies=_tallies(reports, troubled),
        watches=_watches(found, overview.seal),
        recent=_recent(overview.recent),
        version=_text(__version__),
    )


def _tallies(reports: Sequence[WatchReport], troubled: int) -> str:
    tallies = {
        "Watches": f"{len(reports):,}",
        "In trouble": f"{troubled:,}",
        "Streams": f"{sum(r.streams for r in reports):,}",
        "Entries": f"{sum(r.entries for r in reports):,}",
        "Changes": human_rate(sum(r.rate for r in reports)),
        "Unconfirmed": f"{sum(r.unconfirmed for r in reports):,}",
        "Oldest of them": human_age(max((r.lag_s for r in reports), default=0.0)),
    }
    return "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in tallies.items())


def _watches(reports: Sequence[WatchReport], seal: str) -> str:
    if not reports:
        return '<p class="empty">There are no watches here. One begins with the first stream of its event source.</p>'
    columns = ("Watch", "State", "Entries", "Changes", "Unconfirmed", "Last scan", "Streams")
    numbers = {"Entries", "Changes", "Unconfirmed", "Streams"}
    head = "".join(f'<th scope="col"{_number(column in numbers)}>{column}</th>' for column in columns)
    rows = "".join(_rows(report, seal) for report in reports[:SHOWN_WATCHES])
    left = len(reports) - SHOWN_WATCHES
    more = f'<p class="more">{left:,} more: search for them, or see <a href="status.json">status.json</a>.</p>' if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead>{rows}</table>{more}"


def _rows(report: WatchReport, seal: str) -> str:
    lag = f"<small>for {human_age(report.lag_s)}</small>" if report.unconfirmed else ""
    progress = f"<small>{report.scanned:,} entries</small>" if report.state == "scanning" else ""
    mode = f"<small>{_text(report.mode)}</small>" if report.mode else ""
    cells = (
        f'<td><span class="name">{_text(report.name)}</span> <span class="place">{_text(report.place)}</span></td>'
        f'<td><span class="badge {_BADGES.get(report.state, "")}">{_text(report.state)}</span>{progress or mode}</td>'
        f'<td class="number">{report.entries:,}</td><td class="number">{human_rate(report.rate)}</td>'
        f'<td class="number">{report.unconfirmed:,}{lag}</td><td>{_last_scan(report)}</td><td class="number">{report.streams:,}</td>'
    )
    release = _release(report, seal) if report.held else ""
    kind = "note bad" if report.error else "note"
    note = f'<tr class="{kind}"><td colspan="7">{_text(report.note)}{release}</td></tr>' if report.note or release else ""
    return f"<tbody><tr>{cells}</tr>{note}</tbody>"


def _last_scan(report: WatchReport) -> str:
    if not report.scanned_at:
        return "none yet"
    return f"{human_age(time.time() - report.scanned_at)} ago<small>took {human_duration(report.scan_s)}</small>"


def _release(report: WatchReport, seal: str) -> str:
    fields = {"name": report.name, "place": report.place, "seal": seal}
    hidden = "".join(f'<input type="hidden" name="{key}" value="{escape(value)}">' for key, value in fields.items())
    return f'<form method="post" action="release">{hidden}<button>Release {report.held:,} deletions</button></form>'


def _recent(changes: Sequence[Recent]) -> str:
    if not changes:
        return '<p class="empty">There were none since the server has started.</p>'
    head = '<th scope="col">Time</th><th scope="col">Change</th><th scope="col">Path</th><th scope="col" class="number">Size</th>'
    rows = "".join(_change(change) for change in changes)
    return f'<table><thead><tr>{head}<th scope="col">Watch</th></tr></thead><tbody>{rows}</tbody></table>'


def _change(change: Recent) -> str:
    moment = datetime.fromtimestamp(change.at, UTC)
    old = f' <span class="dim">← {_text(change.old_path)}</span>' if change.old_path else ""
    return (
        f'<tr><td><time datetime="{moment.isoformat()}">{moment:%H:%M:%S} UTC</time></td>'
        f'<td><span class="badge {_TYPES.get(change.type, "")}">{change.type}</span></td><td class="path">{_text(change.path)}{old}</td>'
        f'<td class="number">{human_size(change.size)}</td><td>{_text(change.watch)}</td></tr>'
    )


def _number(is_number: bool) -> str:  # noqa: FBT001 - of a column
    return ' class="number"' if is_number else ""


def _text(text: str) -> str:
    return escape(printable(text))
