"""For how long the database has answered without interruption, by the clock of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.clock import Clock

GAP_S = 2.5
"""Seconds between two answers above which the contact counts as interrupted: half a lease, so that
others can still renew theirs after a shorter gap."""


class Continuity:
    """The answers of the database to one thread; any thread may read it.

    An answer counts from when it was asked for: how long it has taken is not known to the database.

    Args:
        clock: The clock of the server.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_s = clock.monotonic()
        self._since_s: float | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether the last question has had no answer, or none was asked."""
        return self._since_s is None

    @property
    def away_s(self) -> float:
        """Seconds since that was asked which was answered last."""
        return self._clock.monotonic() - self._asked_s

    def has_lasted(self, seconds: float) -> bool:
        """Return whether the database has answered without interruption for the last seconds."""
        now_s, since_s = self._clock.monotonic(), self._since_s
        return since_s is not None and now_s - since_s >= seconds and self.away_s <= GAP_S

    def note(self, asked_s: float) -> bool:
        """Note an answer.

        Args:
            asked_s: When it was asked for, on the monotonic clock.

        Returns:
            Whether the contact begins with it.
        """
        begins = self._since_s is None or asked_s - self._asked_s > GAP_S
        self._asked_s = asked_s
        if begins:
            self._since_s = asked_s
        return begins

    def interrupt(self) -> None:
        """Note that there was no answer."""
        self._since_s = None
