"""Formats numbers, times and untrusted names for people, on a terminal or a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_THOUSAND = 1000
_UNITS_S = ((86_400, "d"), (3600, "h"), (60, "min"))
_HOUR_S = 3600
SHOWN_GROUPS = 3
"""Number of groups that a line names."""
_ROUNDING = 1e-9
RATE_UNITS_S = ((1, "s"), (60, "m"), (_HOUR_S, "h"))
"""Seconds and names of the units in which configurations give rates."""


def printable(text: str, *, kept: str = "") -> str:
    """Return text that can neither control a terminal nor begin a line.

    Control characters, and bytes that are not UTF-8, are escaped.

    Args:
        text: From any source.
        kept: Characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def human_size(size_bytes: float) -> str:
    """Return a size with about three digits: ``6 B``, ``1.3 kB``, ``25.0 GB``."""
    if size_bytes < _THOUSAND:
        return f"{size_bytes} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size_bytes /= _THOUSAND
        if size_bytes < _THOUSAND - 0.05:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / _THOUSAND:,.1f} PB"


def exact_size(size_bytes: int) -> str:
    """Return a size in its largest whole binary unit: ``1000 B``, ``10 KiB``, ``5 GiB``."""
    for unit, bits in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size_bytes and size_bytes % (1 << bits) == 0:
            return f"{size_bytes >> bits} {unit}"
    return f"{size_bytes} B"


def human_duration(duration_s: float) -> str:
    """Return a duration in its largest unit: ``12 ms``, ``1.5 s``, ``48 s``, ``5 min``, ``2 d``."""
    for unit_s, unit in _UNITS_S:
        if duration_s >= unit_s:
            return f"{duration_s // unit_s:.0f} {unit}"
    if duration_s < 1:
        return f"{max(0.0, duration_s) * 1000:.0f} ms"
    two_digits_below_s = 10
    return f"{duration_s:.1f} s" if duration_s < two_digits_below_s else f"{duration_s:.0f} s"


def human_age(age_s: float) -> str:
    """Return an age in whole units: ``0 s``, ``48 s``, ``5 min``; a negative one is ``0 s``."""
    return f"{max(0.0, age_s):.0f} s" if age_s < _UNITS_S[-1][0] else human_duration(age_s)


def human_left(left_s: float) -> str:
    """Return a time that is left in its two largest units, rounded up: ``4 min 59 s``, ``7 d``."""
    rest = math.ceil(max(0.0, left_s))
    parts = []
    for unit_s, unit in (*_UNITS_S, (1, "s")):
        number, rest = divmod(rest, unit_s)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def human_time(moment: datetime, now: datetime) -> str:
    """Return a time of day, after its date unless that is today's.

    ``12:00:03``, ``2026-01-31 12:00:03``.
    """
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def format_rate(per_s: float) -> str:
    """Return a rate in the shortest unit in which it is whole: ``10/s``, ``90/m``, ``20/h``."""
    for unit_s, unit in RATE_UNITS_S:
        count = per_s * unit_s
        if count >= 1 and abs(count - round(count)) < _ROUNDING * count:
            return f"{round(count)}/{unit}"
    return f"{per_s * _HOUR_S:g}/h"


def waiting_groups(count: int, first: Sequence[tuple[str, float]], now_s: float) -> str:
    """Return a line about groups that have changed, with how long some wait; empty for none.

    Args:
        count: Number of groups.
        first: Paths of some, each with the time until which it waits, in seconds since the epoch;
            0 if it waits for more entries.
        now_s: The time, in seconds since the epoch.
    """
    if not count:
        return ""
    shown = [
        f"{path or '.'} ({_wait(until_s - now_s) if until_s else 'for more entries'})"
        for path, until_s in first[:SHOWN_GROUPS]
    ]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    groups = f"{count:,} changed groups wait" if count > 1 else "1 changed group waits"
    return f"{groups}: {', '.join(shown)}{more}"


def _wait(left_s: float) -> str:
    return human_left(left_s) if left_s > 0 else "due"


def human_rate(per_s: float) -> str:
    """Return a rate per second, or per minute where it is below one: ``0``, ``3/min``, ``12/s``."""
    if per_s < 1:
        return f"{per_s * 60:.0f}/min" if per_s else "0"
    return f"{per_s:,.0f}/s"
