"""The volumes that belong into a watched place: new ones are accepted, missing ones released.

A release is an operator's, who takes a volume for gone for good. It is asked for on any thread and
done by the watch's.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from watcher.errors import StateError, UnavailableError, WatcherError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.changes.reconciler import Reconciler
    from watcher.sources.protocol import Source
    from watcher.watch.baseline import Baseline


class Volumes:
    """The volumes of one watch.

    Args:
        place: The watched place, for errors.
        source: Knows which volumes are mounted, and which are missing.
        baseline: Records which volumes belong into the place.
        reconciler: Marks what a volume hides.
    """

    def __init__(
        self, place: str, source: Source, baseline: Baseline, reconciler: Reconciler
    ) -> None:
        self._place = place
        self._source = source
        self._baseline = baseline
        self._reconciler = reconciler
        self._requested: deque[tuple[bytes, Future[None]]] = deque()

    def accept_new(self) -> None:
        """Have volumes read that were mounted since, once what they hide is marked.

        To be called after a scan since the place was opened: it has met the links that lead there.

        Raises:
            StateError: The state cannot be used.
        """
        if not (new := self._source.new_volumes):
            return
        for point in new:
            for prefix in self._source.hidden_by(point):
                self._reconciler.hide(prefix)
        self._baseline.record_volumes({**self._source.volumes, **new})
        self._source.accept_volumes()

    def request_release(self, prefix: bytes) -> Future[None]:
        """Have ``release_requested`` release a mount; called from any thread.

        Args:
            prefix: Path of its mount point, relative to the place.

        Returns:
            Done when that is recorded, or failed with the reason why not: NotFoundError if no such
            mount is missing, UnavailableError if the place cannot be read or the watch ends.
        """
        done: Future[None] = Future()
        # A caller that no longer waits must not cancel it.
        done.set_running_or_notify_cancel()
        self._requested.append((prefix, done))
        return done

    def refuse_releases(self, reason: str) -> None:
        """Fail what is requested with an UnavailableError."""
        while self._requested:
            _, done = self._requested.popleft()
            done.set_exception(UnavailableError(reason, place=self._place))

    def release_requested(self) -> Iterator[bytes]:
        """Release what is requested, and yield each mount point before its caller is answered.

        Raises:
            StateError: The state cannot be used.
        """
        while self._requested:
            prefix, done = self._requested.popleft()
            try:
                self._release(prefix)
            except StateError as error:
                done.set_exception(error)
                raise
            except WatcherError as error:
                done.set_exception(error)
                continue
            yield prefix
            done.set_result(None)

    def _release(self, point: bytes) -> None:
        """Take what is at a point for what belongs there, and show again what a volume has hidden.

        Raises:
            NotFoundError: No mount is missing there.
            StateError: The state cannot be used.
        """
        hidden = self._source.hidden_by(point)
        self._source.release(point)
        self._baseline.record_volumes(self._source.volumes)
        if point not in self._source.volumes:
            for prefix in hidden:
                self._reconciler.reveal(prefix)
