"""News: what servers that share a state tell each other, so that nobody has to wait for a poll.

News name watches at which other servers should look again. They are hints and may be lost, so
servers that depend on them also look from time to time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet


class Topic(StrEnum):
    """What news are about."""

    JOURNAL = "journal"
    """New payloads, or a replay: for followers."""
    WATCH = "watch"
    """Owner, readers, requests, answers, acknowledgements or document: for those who survey."""


class News(Protocol):
    """The news of one state. Any thread may use it."""

    @property
    def is_delivered(self) -> bool:
        """Whether news of other servers arrive; if not, they are found by looking only."""

    def send(self, watches: Iterable[int], topic: Topic = Topic.WATCH) -> None:
        """Have all other servers look at watches; returns at once.

        Args:
            watches: Their numbers; see ``survey.SurveyedWatch``.
            topic: What is new of them.
        """

    def subscribe(
        self, notify: Callable[[AbstractSet[int]], None], topic: Topic | None = None
    ) -> None:
        """Have a function called with the numbers of watches, from any thread.

        Args:
            notify: Must return at once. Empty numbers mean that news may have been lost: look at
                everything.
            topic: Of which news; None for all.
        """


class SoleNews:
    """The news of a state that one server uses alone: there are none; see ``News``."""

    is_delivered = True

    def send(self, watches: Iterable[int], topic: Topic = Topic.WATCH) -> None:
        """Do nothing: nobody else is there."""

    def subscribe(
        self, notify: Callable[[AbstractSet[int]], None], topic: Topic | None = None
    ) -> None:
        """Do nothing."""
