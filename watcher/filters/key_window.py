"""Decides which keys belong to a bucket's place, which moves on where its prefix has dates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.filters.dated_prefix import DatedPrefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock

AHEAD_S = 3600.0
"""Seconds ahead of the present whose prefixes are read already: the next day's before midnight, for
writers whose clocks are ahead."""
SET_BACK_MAX_S = 86_400.0
"""Seconds that a clock may be set back without the window following it. A store refuses requests
that were signed with a clock more than 15 minutes off, so more is seen with unsigned ones only."""


class Window(NamedTuple):
    """The keys that belong to a place at one time.

    Attributes:
        since_s: First moment whose prefix belongs to it, seconds since the epoch.
        until_s: The begin of the last unit of time whose prefix does.
        prefixes: The prefixes, ascending; none begins with another.
    """

    since_s: float
    until_s: float
    prefixes: tuple[bytes, ...]

    def admits(self, key: bytes) -> bool:
        """Return whether a key belongs to the place."""
        return key.startswith(self.prefixes)


class KeyWindow:
    """Which keys belong to a place now.

    A prefix without dates is a window that does not move. Any thread may ask.

    Args:
        prefix: The prefix of the place, which may have dates.
        lookback_s: Seconds for which a date belongs to the place.
        clock: The time.

    Attributes:
        is_moving: The prefix has dates.
        lookback_s: See above.
        literal: Text with which all its prefixes begin.

    Raises:
        PrefixError: A date in the prefix cannot be read.
    """

    def __init__(self, prefix: str, lookback_s: float, clock: Clock) -> None:
        self._prefix = DatedPrefix.parse(prefix)
        self.is_moving = self._prefix.is_dated
        self.literal = self._prefix.literal
        self.lookback_s = lookback_s
        self._clock = clock
        self._since_reached_s = self._until_reached_s = float("-inf")
        fixed = () if self.is_moving else (self._prefix.render(0.0).encode(),)
        self._last = Window(float("-inf"), float("-inf"), fixed)

    @property
    def present_prefix(self) -> str:
        """The prefix in which the objects of this moment are; never longer than it is listed."""
        present = self._prefix.render(self._clock.wall())
        listed = (prefix.decode() for prefix in self.now().prefixes)
        return next((prefix for prefix in listed if present.startswith(prefix)), present)

    def resume(self, since_s: float, until_s: float) -> None:
        """Continue a window that an earlier run has moved on.

        Args:
            since_s: The ``since_s`` of its last window; minus infinity if it had another lookback.
            until_s: The ``until_s`` of its last window.
        """
        self._since_reached_s = max(self._since_reached_s, since_s)
        self._until_reached_s = max(self._until_reached_s, until_s)

    def now(self) -> Window:
        """Return the window of this moment, which never moves back for a clock that is set back."""
        if not self.is_moving:
            return self._last
        unit_s, now_s = self._prefix.unit_s, self._clock.wall()
        since_s = (now_s - self.lookback_s) // unit_s * unit_s
        until_s = (now_s + AHEAD_S) // unit_s * unit_s
        self._since_reached_s = since_s = _unless_set_back(since_s, self._since_reached_s)
        self._until_reached_s = until_s = _unless_set_back(until_s, self._until_reached_s)
        if (since_s, until_s) != self._last[:2]:
            self._last = self._make(since_s, until_s)
        return self._last

    def older_test(self, since_s: float) -> Callable[[bytes], bool]:
        """Return a function that returns whether a key belongs to the place of old.

        Args:
            since_s: Seconds since the epoch: what belonged to the place before is of old.
        """
        window = self.now()
        newer = self._make(max(since_s, window.since_s), window.until_s).prefixes
        older = tuple(prefix for prefix in window.prefixes if prefix not in newer)
        return lambda key: key.startswith(older) and not key.startswith(newer)

    def admits(self, key: bytes) -> bool:
        """Return whether a key belongs to the place now."""
        return self.now().admits(key)

    def _make(self, since_s: float, until_s: float) -> Window:
        prefixes = self._prefix.expand(since_s, until_s)
        return Window(since_s, until_s, tuple(prefix.encode() for prefix in prefixes))


def _unless_set_back(time_s: float, reached_s: float) -> float:
    """Return a time, or the later one that was reached before the clock was set back a little."""
    return reached_s if 0 < reached_s - time_s <= SET_BACK_MAX_S else time_s
