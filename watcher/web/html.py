"""Renders the status page from reports. Names, places and paths are hostile: all are escaped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import quote

from watcher import __version__
from watcher.formatting import (
    human_age,
    human_duration,
    human_rate,
    human_size,
    human_time,
    printable,
)
from watcher.state.membership import Role
from watcher.web.sparkline import draw_last_hour
from watcher.web.waiting import waiting_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.state.membership import Server, Standing
    from watcher.status_values import PartStatus
    from watcher.telemetry.recent_changes import Recent
    from watcher.watch.report import WatchReport

SHOWN_WATCHES = 100
"""Number of watches on the page; a search or ``/status.json`` shows the others."""

ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
"""Files that the page refers to, with their content types."""

_COLUMNS = {
    "Watch": False,
    "State": False,
    "Entries": True,
    "Changes": True,
    "Last hour": False,
    "Unconfirmed": True,
    "Last scan": False,
    "Streams": True,
}
"""Titles of the columns of watches; whether they hold numbers, which stand at the right."""

_BADGES = {
    "watching": "good",
    "scanning": "good",
    "unavailable": "bad",
    "paused": "wait",
    "stopped": "bad",
}
_TYPES = {"created": "good", "modified": "wait", "deleted": "bad", "completed": "good"}


@dataclass(frozen=True, slots=True)
class Overview:
    """Content of one page.

    Attributes:
        reports: The watches of the principal.
        recent: Their newest changes, newest first.
        problem: Why the server cannot do its work; empty if it can.
        standing: What the server is to the state.
        server: The server whose page it is.
        servers: Those that share the state, this one included.
        query: Text that the name or place of a shown watch must contain, in any case.
        csrf_token: Proves that a form comes from this page.
        generated_at: Time of the reports, seconds since the epoch.
    """

    reports: Sequence[WatchReport]
    recent: Sequence[Recent]
    problem: str
    standing: Standing
    server: Server
    servers: Sequence[Server]
    query: str
    csrf_token: str
    generated_at: float


def asset(name: str) -> str:
    """Return the text of a file in ``assets/``."""
    return files("watcher.web").joinpath("assets", name).read_text(encoding="utf-8")


def render_page(overview: Overview) -> str:
    """Return the page as HTML."""
    reports = overview.reports
    troubled = sum(bool(report.note) for report in reports)
    found = [
        report
        for report in reports
        if overview.query.casefold() in f"{report.name}\n{report.place}".casefold()
    ]
    # Watches with errors first, then those with notes.
    found.sort(key=lambda report: (not report.error, not report.note, report.name, report.place))
    return Template(asset("page.html")).substitute(
        title=f"{f'{troubled} in trouble · ' if troubled else ''}watcher",
        health=_health(overview),
        generated_at=_time(overview.generated_at, overview.generated_at),
        query=_text(overview.query),
        tallies=_tallies(reports, troubled),
        servers=_servers(overview),
        watches=_watches(found, overview),
        recent=_recent(overview),
        version=_text(__version__),
    )


def _health(overview: Overview) -> str:
    """Return whether the server is ready."""
    is_waiting = overview.standing.role is Role.STANDBY
    kind = "wait" if is_waiting else "bad" if overview.problem else "good"
    return f'<span class="badge {kind}">{_text(overview.problem or "ready")}</span>'


def _servers(overview: Overview) -> str:
    """Return a table of the servers that share the state; nothing where none can."""
    if not overview.server.id:
        return ""
    columns = {
        "Server": False,
        "Node": False,
        "Version": False,
        "Since, UTC": False,
        "Watches": True,
        "Entries": True,
        "Streams": True,
    }
    head = "".join(
        f'<th scope="col"{_number(is_number)}>{column}</th>'
        for column, is_number in columns.items()
    )
    rows = "".join(_server(server, overview) for server in overview.servers)
    return (
        '<section aria-labelledby="servers-title"><h2 id="servers-title">Servers</h2>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _server(server: Server, overview: Overview) -> str:
    is_this = server.id == overview.server.id
    this = ' <span class="dim">this one</span>' if is_this else ""
    leaving = ' <span class="badge wait">leaving</span>' if server.is_leaving else ""
    return (
        f'<tr><td><span class="name">{_text(server.name)}</span>{this}{leaving}</td>'
        f"<td>{_text(server.node)}</td><td>{_text(server.version)}</td>"
        f"<td>{_time(server.started_at, overview.generated_at)}</td>"
        f'<td class="number">{server.watches:,}</td>'
        f'<td class="number">{server.entries:,}</td>'
        f'<td class="number">{server.streams:,}</td></tr>'
    )


def _tallies(reports: Sequence[WatchReport], troubled: int) -> str:
    tallies = {
        "Watches": f"{len(reports):,}",
        "In trouble": f"{troubled:,}",
        "Streams": f"{sum(r.streams for r in reports):,}",
        "Entries": f"{sum(r.entries for r in reports):,}",
        "Changes": human_rate(sum(r.rate for r in reports)),
        "Unconfirmed": f"{sum(r.unconfirmed for r in reports):,}",
        "Oldest unconfirmed": human_age(max((r.lag_s for r in reports), default=0.0)),
    }
    return "".join(
        f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in tallies.items()
    )


def _watches(found: Sequence[WatchReport], overview: Overview) -> str:
    if not overview.reports:
        return (
            '<p class="empty">No watches. A watch starts with the first stream of its event source.'
            "</p>"
        )
    if not found:
        return f'<p class="empty">No watch has “{_text(overview.query)}” in its name or place.</p>'
    head = "".join(
        f'<th scope="col"{_number(is_number)}>{column}</th>'
        for column, is_number in _COLUMNS.items()
    )
    rows = "".join(_rows(report, overview) for report in found[:SHOWN_WATCHES])
    left = len(found) - SHOWN_WATCHES
    more = (
        f'<p class="more">{left:,} more watches: search by name or place, or see '
        '<a id="rest" href="status.json">status.json</a>.</p>'
        if left > 0
        else ""
    )
    return f"<table><thead><tr>{head}</tr></thead>{rows}</table>{more}"


def _rows(report: WatchReport, overview: Overview) -> str:
    lag = f"<small>for {human_age(report.lag_s)}</small>" if report.unconfirmed else ""
    cells = (
        f'<td class="watch"><span class="name">{_text(report.name)}</span> '
        f'<span class="place">{_text(report.place)}</span></td>'
        f"<td>{_state(report, overview.generated_at)}</td>"
        f'<td class="number">{report.entries:,}</td>'
        f'<td class="number">{human_rate(report.rate)}</td>'
        f"<td>{_last_hour(report)}</td>"
        f'<td class="number">{report.unconfirmed:,}{lag}</td>'
        f"<td>{_last_scan(report, overview.generated_at)}</td>"
        f'<td class="number">{_streams(report)}</td>'
    )
    release = _release(report, overview, "", _held(report)) if report.held else ""
    note = (
        _below("bad" if report.error else "", f"{_text(report.note)}{release}")
        if report.note or release
        else ""
    )
    calm = waiting_texts(report, overview.generated_at)
    waiting = "".join(_below("calm", text) for text in calm)
    # The directory alone is described by the mode of its watch.
    parts = "".join(_part(report, part, overview) for part in report.parts[1:])
    hints = _below("calm", _text(report.hints_summary)) if report.hints_summary else ""
    return f"<tbody><tr>{cells}</tr>{note}{hints}{waiting}{parts}</tbody>"


def _below(kind: str, content: str) -> str:
    """Return a row below a watch, over all columns."""
    return (
        f'<tr class="{f"note {kind}".strip()}"><td colspan="{len(_COLUMNS)}">'
        f"<div>{content}</div></td></tr>"
    )


def _part(report: WatchReport, part: PartStatus, overview: Overview) -> str:
    is_unread = part.mode == "unread"
    release = _release(report, overview, part.prefix, "Release the mount") if is_unread else ""
    return _below("", f"{_text(str(part))}{release}")


def _held(report: WatchReport) -> str:
    return f"Release {report.held:,} deletions"


def _state(report: WatchReport, now: float) -> str:
    detail = f"{report.scanned:,} entries" if report.state == "scanning" else _text(report.mode)
    age = f"for {human_age(now - report.since)}" if report.since else ""
    owner = f"on {_text(report.owner.name)}" if report.owner else ""
    details = " · ".join(filter(None, (detail, age, owner)))
    badge = f'<span class="badge {_BADGES.get(report.state, "")}">{_text(report.state)}</span>'
    return f"{badge}<small>{details}</small>"


def _last_hour(report: WatchReport) -> str:
    is_running = report.state != "idle"
    return draw_last_hour(report.changes_per_minute, report.lag_per_minute_s) if is_running else ""


def _streams(report: WatchReport) -> str:
    if not report.streams:
        return '<span class="badge wait">no stream</span>'
    by = report.streams_by_server
    is_at_owner = len(by) == 1 and report.owner is not None and by[0].id == report.owner.id
    servers = ", ".join(f"{each.streams:,} on {_text(each.name)}" for each in by)
    return f"{report.streams:,}" + (f"<small>{servers}</small>" if by and not is_at_owner else "")


def _last_scan(report: WatchReport, now: float) -> str:
    wait_s = report.next_scan_at - now
    next_ = f"next in {human_age(wait_s)}" if wait_s >= 1 else ""
    if not report.scanned_at:
        return f"none yet<small>{next_}</small>" if next_ else "none yet"
    age, took = human_age(now - report.scanned_at), f"took {human_duration(report.scan_s)}"
    return f"{age} ago<small>{', '.join(filter(None, (took, next_)))}</small>"


def _release(report: WatchReport, overview: Overview, prefix: str, label: str) -> str:
    fields = {
        "name": report.name,
        "place": report.place,
        "prefix": prefix,
        "q": overview.query,
        "csrf_token": overview.csrf_token,
    }
    hidden = "".join(
        f'<input type="hidden" name="{key}" value="{escape(value)}">'
        for key, value in fields.items()
    )
    # The id lets the script give the focus back to the same button after it replaced the table.
    button = (
        f'<button id="release:{_id(report.name)}:{_id(report.place)}:{_id(prefix)}">'
        f"{label}</button>"
    )
    return f'<form method="post" action="release">{hidden}{button}</form>'


def _recent(overview: Overview) -> str:
    if not overview.recent:
        return '<p class="empty">Running watches have no recent changes.</p>'
    columns = ("Time, UTC", "Change", "Path", "Size", "Watch")
    head = "".join(
        f'<th scope="col"{_number(column == "Size")}>{column}</th>' for column in columns
    )
    rows = "".join(_change(change, overview.generated_at) for change in overview.recent)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _change(change: Recent, now: float) -> str:
    old = f' <span class="dim">← {_text(change.old_path)}</span>' if change.old_path else ""
    return (
        f"<tr><td>{_time(change.at, now)}</td>"
        f'<td><span class="badge {_TYPES.get(change.type, "")}">{change.type}</span></td>'
        f'<td class="path">{_text(change.path or ".")}{old}</td>'
        f'<td class="number">{human_size(change.size)}</td><td>{_text(change.watch)}</td></tr>'
    )


def _time(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    text = human_time(moment, datetime.fromtimestamp(now, UTC))
    return f'<time datetime="{moment.isoformat()}">{text}</time>'


def _id(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _number(is_number: bool) -> str:  # noqa: FBT001 - a private helper with one argument
    return ' class="number"' if is_number else ""


def _text(text: str) -> str:
    return escape(printable(text))
