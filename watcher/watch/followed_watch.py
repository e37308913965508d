"""A watch that another server owns, for the streams of this one: what they ask of a ``Watch``.

It has no thread and reads no place. ``follower_pump.py`` brings what is new of its journal.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from watcher.delivery.publisher import Publisher

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.errors import WatcherError
    from watcher.settings import WatchLimits
    from watcher.spec import Spec
    from watcher.state.following import FollowedStore


class FollowedWatch:
    """A followed watch, from its first stream here to its last.

    Args:
        spec: What its owner watches.
        store: Its state as this server sees it; closed here.
        limits: Redelivery window and retention.
        clock: The time.

    Attributes:
        spec: The same.
        store: The same.
        publisher: What streams read from.
        document_version: Number of the configuration that has ``spec``.
        joining: Number of streams that are about to join.
        origin: Whose streams are moving here; None if there are none.

    Raises:
        StateError: The state cannot be read.
    """

    def __init__(self, spec: Spec, store: FollowedStore, limits: WatchLimits, clock: Clock) -> None:
        self.spec = spec
        self.store = store
        self.document_version = store.document_version
        self.publisher = Publisher(spec, store, limits, clock=clock, wake=lambda: None)
        self.joining = 0
        self.origin: Publisher | None = None
        self._reporting = ExitStack()
        self._failure: WatcherError | None = None
        self._is_running = True
        self._is_handed_over = False

    @property
    def is_running(self) -> bool:
        """Whether streams can join."""
        return self._is_running

    @property
    def is_handed_over(self) -> bool:
        """Whether its streams are to move to where the watch is now."""
        return self._is_handed_over

    @property
    def is_baselined(self) -> bool:
        """Whether the baseline scan is over: what happens from now on is reported."""
        return self.store.is_baselined

    @property
    def failure(self) -> WatcherError | None:
        """Why its streams end; None while they do not, or if the server stops."""
        return self._failure

    def begin_move(self, origin: Publisher, reporting: ExitStack) -> None:
        """Expect the streams of another publisher.

        Args:
            origin: The publisher, which gets no further streams.
            reporting: Keeps positions from being reported; closed once the last stream has moved,
                or left, or the watch ends.
        """
        self._reporting.close()
        self.origin, self._reporting = origin, reporting

    def end_move(self) -> None:
        """Expect no more streams of another publisher."""
        self.origin = None
        self._reporting.close()

    def hand_over(self) -> None:
        """Have the streams move to where the watch is now."""
        if self._is_running:
            self._is_handed_over = True
            self.stop()

    def fail(self, error: WatcherError) -> None:
        """End the streams with an error."""
        if self._is_running:
            self._failure = error
            self.stop()

    def stop(self) -> None:
        """End: no stream can join, and those that there are end or move."""
        self._is_running = False
        self.publisher.notify()

    def check_state(self) -> None:
        """End the watch if its state is of no further use, though nothing was asked of it since."""
        if (failure := self.store.failure) is not None:
            self.fail(failure)
