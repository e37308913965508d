"""Reads and writes sizes as people do: ``512``, ``10KiB``, ``1.5GiB``, ``5MB``."""

from __future__ import annotations

import re
from decimal import Decimal

from watcher.formatting import exact_size

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
_MAX_DIGITS = 20
"""Digits that are too many for a size in bytes."""

_NEARLY = re.compile(r"[0-9.]+ ?([kmgt])i?b?", re.IGNORECASE)
"""A size whose unit is written as elsewhere: ``10Ki``, ``5gb``."""

_SIZE = re.compile(rf"([0-9]{{1,19}}(?:\.[0-9]{{1,19}})?) ?({'|'.join(_BYTES)})")


def parse_size(text: str) -> int:
    """Return the bytes of a size, fractions of a byte cut off.

    Raises:
        ValueError: The text is not a size; the message continues the name of its key.
    """
    if text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS:
        return int(text)
    found = _SIZE.fullmatch(text)
    if found is None and (nearly := _NEARLY.fullmatch(text)):
        unit = nearly[1].upper()
        raise ValueError(f"must have the unit {unit}B (decimal) or {unit}iB (binary)")
    if found is None:
        raise ValueError('must be bytes, or a size with its unit, such as "10KiB" or "5MB"')
    return int(Decimal(found[1]) * _BYTES[found[2]])


def format_size(size_bytes: int) -> str:
    """Return a size in its largest whole binary unit: ``5GiB``, ``10KiB``, ``1000B``, ``0``."""
    return exact_size(size_bytes).replace(" ", "") if size_bytes else "0"
