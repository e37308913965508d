"""Draws what a watch did in the last hour: a small picture (SVG 2), and the same in words.

The picture needs no script and no style sheet: its colours are that of the text, unless the style
sheet has others, and changes and lag are apart by their place, not by their colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.formatting import human_age

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 2
"""Width of a minute in pixels."""

HEIGHT = 16
"""Height of each of the two series in pixels."""

GAP = 3
"""Pixels between the two series."""

MIN_LAG_S = 60.0
"""Lag in seconds that has the full height at least, so that the redelivery window looks small."""

_DESCRIPTION = (
    "Two rows of bars, one for each minute, from an hour ago on the left to now on the right. "
    "Above: the changes found. Below: the lag, which is the age of the oldest unconfirmed event."
)


def draw_last_hour(changes: Sequence[float], lag_s: Sequence[float]) -> str:
    """Return HTML with the picture of two series of as many minutes, and its numbers.

    Args:
        changes: Changes of each minute, the oldest first; empty if there were none.
        lag_s: Greatest lag of each minute in seconds, the oldest first; empty if there was none.
    """
    if not changes and not lag_s:
        return "<small>no changes</small>"
    total = sum(changes)
    found = f"{total:,.0f} change{'s' * (total != 1)}, up to {max(changes, default=0):,.0f}/min"
    late = f"lag up to {human_age(max(lag_s, default=0.0))}"
    minutes = max(len(changes), len(lag_s))
    width, height = STEP * minutes, 2 * HEIGHT + GAP
    above = _bars(changes, max(changes, default=1.0), HEIGHT)
    below = _bars(lag_s, max(*lag_s, MIN_LAG_S) if lag_s else MIN_LAG_S, height)
    return (
        f'<svg role="img" width="{width}" height="{height + 1}" viewBox="0 0 {width} {height + 1}" '
        'fill="currentColor">'
        f"<title>The last hour: {found}; {late}</title><desc>{_DESCRIPTION}</desc>"
        f'<path class="axis" opacity="0.3" d="M0 {HEIGHT}h{width}v1h-{width}z'
        f'M0 {height}h{width}v1h-{width}z"/>'
        f'<path class="changes" d="{above}"/><path class="lag" d="{below}"/></svg>'
        f"<small>{found}</small><small>{late}</small>"
    )


def _bars(values: Sequence[float], top: float, base: int) -> str:
    """Return a path of bars that stand on a line; what is above 0 has a pixel at least."""
    return "".join(
        f"M{STEP * minute} {base}v-{max(1, round(HEIGHT * value / top))}h{STEP}V{base}z"
        for minute, value in enumerate(values)
        if value > 0
    )
