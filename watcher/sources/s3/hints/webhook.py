"""Hints that are sent to ``POST /hint`` of the server, which hands them to the source itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.spec import HintKind
from watcher.status_values import HintStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.sources.s3.hints.inbox import HintInbox


class WebhookFeed:
    """The feed of a bucket whose hints the server receives; see ``feed.HintFeed``.

    That nobody sends any cannot be known, so it never has a problem. What was sent while the watch
    did not run is lost: after each start the place is listed.
    """

    problem = ""
    complaint = ""
    status = HintStatus(HintKind.WEBHOOK)

    def __init__(self) -> None:
        self.misses_hints = False

    def take_missed(self) -> bool:
        """See ``HintFeed.take_missed``."""
        misses_hints, self.misses_hints = self.misses_hints, False
        return misses_hints

    def known_until_s(self) -> float:
        """Return infinity: hints arrive as changes are made."""
        return float("inf")

    def verify(self) -> None:
        """Do nothing: whether somebody will send hints cannot be known."""

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:  # noqa: ARG002 - others fill it
        """Note that hints were missed until now."""
        self.misses_hints = True

    def stop(self) -> None:
        """Do nothing."""
