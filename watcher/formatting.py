"""Numbers and strange names as people read them, on a terminal or on a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_THOUSAND = 1000
_UNITS_S = ((86_400, "d"), (3600, "h"), (60, "min"))


def printable(text: str, *, kept: str = "") -> str:
    """Return text that cannot steer a terminal or begin a line: control characters and bytes that are no text are escaped.

    Args:
        text: From anybody.
        kept: Characters that stay as they are.
    """
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def human_size(size_bytes: float) -> str:
    """Return a size with three digits or so: ``6 B``, ``1.3 kB``, ``25.0 GB``."""
    if size_bytes < _THOUSAND:
        return f"{size_bytes} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size_bytes /= _THOUSAND
        if size_bytes < _THOUSAND - 0.05:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / _THOUSAND:,.1f} PB"


def human_duration(duration_s: float) -> str:
    """Return a duration in its largest unit: ``12 ms``, ``1.5 s``, ``48 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit_s, unit in _UNITS_S:
        if duration_s >= unit_s:
            return f"{duration_s // unit_s:.0f} {unit}"
    if duration_s < 1:
        return f"{max(0.0, duration_s) * 1000:.0f} ms"
    return f"{duration_s:.1f} s" if duration_s < 10 else f"{duration_s:.0f} s"  # noqa: PLR2004 - two digits


def human_age(age_s: float) -> str:
    """Return how long ago something was, in whole units: ``0 s``, ``48 s``, ``5 min``."""
    return f"{max(0.0, age_s):.0f} s" if age_s < _UNITS_S[-1][0] else human_duration(age_s)


def human_time(moment: datetime, now: datetime) -> str:
    """Return the time of day, after the date if that is not today: ``12:00:03``, ``2026-01-31 12:00:03``."""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def human_rate(per_s: float) -> str:
    """Return a rate in the unit that gives a number to read: ``0``, ``3/min``, ``12/s``."""
    if per_s < 1:
        return f"{per_s * 60:.0f}/min" if per_s else "0"
    return f"{per_s:,.0f}/s"
