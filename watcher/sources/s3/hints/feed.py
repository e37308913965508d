"""The protocol of a feed of hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.model import HintStatus
    from watcher.sources.s3.hints.inbox import HintInbox


class HintFeed(Protocol):
    """Brings hints about one bucket into an inbox. No method raises or waits."""

    @property
    def status(self) -> HintStatus:
        """What has arrived; read from any thread. ``waiting`` and ``heads`` are the source's."""

    @property
    def problem(self) -> str:
        """Why no hints arrive now, with what to do; empty while they do. Read from any thread."""

    @property
    def misses_hints(self) -> bool:
        """Whether hints were, or may have been, missed since ``start`` or the last ``take_missed``.

        The place must then be listed.
        """

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew: the caller lists the place."""

    def known_until_s(self) -> float:
        """Return the monotonic time up to which all hints have arrived, as far as can be known.

        Infinity where they arrive as changes are made; minus infinity while there is a problem.
        """

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        """Begin to bring hints; may be called again after ``stop``.

        Args:
            inbox: Where they go.
            wake: Called from any thread when ``problem`` or ``misses_hints`` has changed.
        """

    def stop(self) -> None:
        """End soon, and return at once; may be called twice and without ``start``."""
