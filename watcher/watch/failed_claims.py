"""Remembers which watches a server could not take, so that it leaves them alone for some time.

Their configuration is not allowed here, or they could not be started. Another configuration is
tried at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.survey import SurveyedWatch

FAILED_S = 5.0
"""Seconds until a watch that could not be started is tried again; doubled each time."""

FAILED_MAX_S = 300.0
"""Maximum of that."""


class _Failure(NamedTuple):
    """A watch that could not be started here.

    Attributes:
        document_version: Of the configuration that could not be.
        retry_s: When to try it again, on the monotonic clock.
        pause_s: Seconds that it was left alone for.
    """

    document_version: int
    retry_s: float
    pause_s: float


class FailedClaims:
    """The failures of one server, by watch; for the event loop.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[Identity, _Failure] = {}

    def is_left_alone(self, surveyed: SurveyedWatch) -> bool:
        """Return whether a watch could not be started here a short time ago, or may not be."""
        failure = self._failures.get(surveyed.identity)
        if failure is None or failure.document_version != surveyed.document_version:
            return False
        return self._clock.monotonic() < failure.retry_s

    def refuse(self, surveyed: SurveyedWatch) -> None:
        """Leave a watch alone until it has another configuration."""
        failure = _Failure(surveyed.document_version, float("inf"), FAILED_S)
        self._failures[surveyed.identity] = failure

    def postpone(self, surveyed: SurveyedWatch) -> tuple[float, bool]:
        """Leave a watch alone for some time, twice as long as the last time.

        Returns:
            The seconds, and whether there was a last time not long ago.
        """
        former = self._failures.get(surveyed.identity)
        now_s = self._clock.monotonic()
        if former is not None and now_s - former.retry_s > FAILED_MAX_S:
            former = None
        pause_s = FAILED_S if former is None else min(FAILED_MAX_S, 2 * former.pause_s)
        failure = _Failure(surveyed.document_version, now_s + pause_s, pause_s)
        self._failures[surveyed.identity] = failure
        return pause_s, former is not None

    def retain(self, known: AbstractSet[Identity]) -> None:
        """Forget all watches but some.

        Args:
            known: Those that there still are.
        """
        for identity in self._failures.keys() - known:
            del self._failures[identity]
