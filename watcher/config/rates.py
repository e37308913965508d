"""Reads and writes rates: ``10/s``, ``600/m``, ``20/h``."""

from __future__ import annotations

import re
from dataclasses import replace

from watcher.config.fields import Kind, MismatchError, scalar
from watcher.formatting import RATE_UNITS_S, format_rate

MAX_PER_S = 100_000
"""Fastest rate in payloads per second; a stream writes fewer."""

_RATE = re.compile(r"([0-9]{1,9})/([smh])", re.ASCII)


def rate() -> Kind:
    """Return the kind of rates; it makes payloads per second."""
    return replace(
        scalar(parse_rate),
        write=lambda per_s: "" if per_s is None else format_rate(per_s),
        suffix="_per_s",
    )


def parse_rate(value: object) -> float:
    """Return the number per second that a rate says.

    Raises:
        MismatchError: It is no rate.
    """
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise MismatchError('must be a whole number and a unit, such as "10/s", "600/m" or "20/h"')
    per_s = int(found[1]) / {unit: unit_s for unit_s, unit in RATE_UNITS_S}[found[2]]
    if not 0 < per_s <= MAX_PER_S:
        raise MismatchError(f"must be from 1/h to {MAX_PER_S}/s")
    return per_s
