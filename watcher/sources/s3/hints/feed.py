"""The protocol of a feed of hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.status_values import HintStatus


class HintFeed(Protocol):
    """Brings hints about one bucket into an inbox. No method but ``verify`` raises or waits.

    It is started whenever the source is opened and stopped whenever it is closed, which happens
    again and again while the place cannot be read.
    """

    @property
    def status(self) -> HintStatus:
        """What has arrived; read from any thread.

        ``keys``, ``waiting`` and ``heads`` are filled in by the source, which also adds what it
        knows to ``messages`` (those that it was given itself), ``errors`` and ``oldest_age_s``.
        """

    @property
    def problem(self) -> str:
        """Why no hints arrive now, with what to do; empty while they do. Read from any thread.

        While there is one, the place is listed as often as without hints, and ``degraded`` says so:
        a request that fails once is none.
        """

    @property
    def complaint(self) -> str:
        """What is wrong with single hints, while others arrive; empty for nothing."""

    @property
    def misses_hints(self) -> bool:
        """Whether hints were, or may have been, missed since the last ``take_missed``.

        The place must then be listed.
        """

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew: the caller lists the place."""

    def known_until_s(self) -> float:
        """Return the monotonic time up to which all hints have arrived, as far as can be known.

        Infinity where they arrive as changes are made; minus infinity while there is a problem.
        """

    def verify(self) -> None:
        """Check that hints can arrive, as far as that is not due to pass; may wait for the network.

        Raises:
            NotFoundError: What brings them does not exist.
            DeniedError: It may not be used.
        """

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        """Begin to bring hints; may be called again after ``stop``.

        Args:
            inbox: Where they go. ``put`` with a ticket returns False while it has no room: the
                feed then reads no further until it has. ``put_or_list`` is for hints that cannot
                wait elsewhere.
            wake: Called from any thread when ``problem`` or ``misses_hints`` has changed.
        """

    def stop(self) -> None:
        """End soon, and return at once; may be called twice and without ``start``.

        Keys in the inbox stay there, and their tickets may be settled later, also after the next
        ``start``.
        """
