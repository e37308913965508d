"""A feed of hints whose problems a test chooses."""

from __future__ import annotations

from collections.abc import Callable

from watcher.sources.s3.hints.inbox import HintInbox
from watcher.spec import HintKind
from watcher.status_values import HintStatus


class ChosenFeed:
    """A feed that brings nothing by itself, as a queue that keeps all messages; see ``HintFeed``.

    Attributes:
        problem: Why no hints arrive.
        complaint: What is wrong with single ones.
        misses_hints: Whether some were missed.
        known_s: Up to when they have arrived, on the monotonic clock.
        is_started: Whether it runs.
        inbox: Where a test puts hints; there is one once it was started.
    """

    def __init__(self) -> None:
        self.problem = ""
        self.complaint = ""
        self.misses_hints = False
        self.known_s = float("inf")
        self.is_started = False
        self.inbox: HintInbox
        self._wake: Callable[[], None] = lambda: None

    @property
    def status(self) -> HintStatus:
        """What a queue would count."""
        return HintStatus(HintKind.QUEUE, messages=3, errors=2, requests=7, oldest_age_s=1.5)

    def take_missed(self) -> bool:
        missed, self.misses_hints = self.misses_hints, False
        return missed

    def known_until_s(self) -> float:
        return self.known_s

    def verify(self) -> None:
        """Do nothing: hints can arrive."""

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        self.inbox, self._wake, self.is_started = inbox, wake, True

    def stop(self) -> None:
        self.is_started = False

    def fail(self, problem: str) -> None:
        """Begin or end to have a problem, and wake the watch."""
        self.problem = problem
        self._wake()
