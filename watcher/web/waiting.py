"""Renders what a watch waits for, below its row: numbers by reason, and a bounded list."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from watcher.formatting import printable, waiting_groups

if TYPE_CHECKING:
    from watcher.watch.report import WatchReport

SHOWN_ENTRIES = 5
"""Number of entries that are held back and shown below a watch; ``/status.json`` has more."""


def waiting_texts(report: WatchReport, now_s: float) -> list[str]:
    """Return HTML for each kind of waiting; empty if the watch waits for nothing.

    Args:
        report: The watch.
        now_s: Time of the page, seconds since the epoch.
    """
    first = [(group.path, group.until) for group in report.groups.first]
    groups = waiting_groups(report.groups.count, first, now_s)
    return list(filter(None, (_text(report.waiting) + _entries(report), _text(groups))))


def _entries(report: WatchReport) -> str:
    """Return a list of entries that are held back; empty if none is known."""
    shown = report.held_back_entries[:SHOWN_ENTRIES]
    if not shown:
        return ""
    items = [
        f'<li><span class="path">{_text(entry.path)}</span> {_text(entry.reason)}</li>'
        for entry in shown
    ]
    if (more := report.held_back.total - len(shown)) > 0:
        items.append(f"<li>{more:,} more</li>")
    return f"<ul>{''.join(items)}</ul>"


def _text(text: str) -> str:
    return escape(printable(text))
