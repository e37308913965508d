"""Reads and writes durations as Go does: ``500ms``, ``1.5s``, ``1h30m``."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS_S = {
    "ns": "1e-9",
    "us": "1e-6",
    "µs": "1e-6",
    "μs": "1e-6",
    "ms": "1e-3",
    "s": "1",
    "m": "60",
    "h": "3600",
}
_DURATION = re.compile(r"(?:[0-9]{1,20}(?:\.[0-9]{0,20})?(?:ns|us|µs|μs|ms|s|m|h)){1,8}")
_DAYS = re.compile(r"([0-9]{1,6}) ?d(?:ays?)?", re.ASCII)
_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration, which is never negative.

    Raises:
        ValueError: The text is not a duration; the message continues the name of its key.
    """
    if days := _DAYS.fullmatch(text):
        raise ValueError(f'must have hours as its largest unit, write "{24 * int(days[1])}h"')
    if not _DURATION.fullmatch(text):
        raise ValueError('must be a duration with its unit, such as "500ms", "30s" or "1h30m"')
    parts = _PART.findall(text)
    return float(sum(Decimal(number) * Decimal(_UNITS_S[unit]) for number, unit in parts))


def format_duration(duration_s: float) -> str:
    """Return a duration, rounded to milliseconds, in its largest whole unit: ``90s``, ``15m``."""
    duration_ms = round(duration_s * 1000)
    for unit, unit_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if duration_ms % unit_ms == 0 and duration_ms >= unit_ms:
            return f"{duration_ms // unit_ms}{unit}"
    return f"{duration_ms}ms" if duration_ms else "0s"
