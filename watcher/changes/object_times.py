"""Decides whether an object's last-modified is another one, or the same with other digits. Pure.

Stores write the same moment with seconds, milliseconds or microseconds: HEAD with fewer digits than
LIST, one gateway with fewer than the next, a new version with fewer than the old one. An object
with the same etag and size whose time only lost or gained digits is the same object. The index
keeps the time with the most digits, so a row is written at most once, however answers alternate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.clock import NS_PER_S

if TYPE_CHECKING:
    from watcher.model import Entry


def has_same_time(old: Entry, entry: Entry) -> bool:
    """Return whether two observations of an object differ in the digits of their times at most.

    Times prove it only together with size and etag, of which both have one or none does.
    """
    return (
        old.is_object
        and (old.size, old.etag) == (entry.size, entry.etag)
        and (is_cut(old.mtime_ns, entry.mtime_ns) or is_cut(entry.mtime_ns, old.mtime_ns))
    )


def with_more_digits(old: Entry, entry: Entry) -> Entry:
    """Return an entry with the time of its row, where that is the same time with more digits."""
    if old.mtime_ns > entry.mtime_ns and has_same_time(old, entry):
        return entry._replace(mtime_ns=old.mtime_ns)
    return entry


def is_cut(short_ns: int, long_ns: int) -> bool:
    """Return whether a time is another one without some or all digits of its fraction.

    Args:
        short_ns: The time that may have fewer digits, in nanoseconds since the epoch.
        long_ns: The other time.
    """
    if short_ns // NS_PER_S != long_ns // NS_PER_S:
        return False
    fraction, unit_ns = short_ns % NS_PER_S, 1
    while unit_ns < NS_PER_S and fraction % (unit_ns * 10) == 0:
        unit_ns *= 10
    return long_ns % NS_PER_S // unit_ns * unit_ns == fraction
