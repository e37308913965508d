"""Says for people what the conditions of a watch hold back, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.formatting import exact_size

if TYPE_CHECKING:
    from watcher.spec import Conditions
    from watcher.status_values import HeldBack


def describe_held_back(numbers: HeldBack, conditions: Conditions | None = None) -> str:
    """Return one line, ``12 held back: 9 wait for NAME.done, 3 are smaller than 1 KiB``.

    Args:
        numbers: How many entries are held back.
        conditions: Those that hold them back; None if they are not known.

    Returns:
        Empty if nothing is held back.
    """
    if not numbers.total:
        return ""
    marker, low, high = "their markers", "min_size", "max_size"
    if conditions is not None:
        marker = marker_name(conditions.marker) if conditions.marker else marker
        low = exact_size(conditions.min_size) if conditions.min_size else low
        high = exact_size(conditions.max_size) if conditions.max_size is not None else high
    reasons = [
        (numbers.marker, ("waits", "wait"), f"for {marker}"),
        (numbers.min_size, ("is", "are"), f"smaller than {low}"),
        (numbers.max_size, ("is", "are"), f"larger than {high}"),
    ]
    parts = (f"{number:,} {verbs[number > 1]} {text}" for number, verbs, text in reasons if number)
    return f"{numbers.total:,} held back: {', '.join(parts)}"


def marker_name(pattern: str) -> str:
    """Return the names of markers for people: ``NAME.done``, ``STEM.ok``, ``_SUCCESS``."""
    return pattern.replace("{name}", "NAME").replace("{stem}", "STEM")
