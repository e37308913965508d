"""Removes rows that no longer belong to the index, without reporting that they are gone.

A filter that has become narrower excludes them, or the dates in the prefix of a bucket have moved
on. Their groups forget them, and what was held back of them waits no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import ChangeSet, Delta, Gate, GroupDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.filters.key_window import Window
    from watcher.model import Row
    from watcher.sources.protocol import Source
    from watcher.sources.scans import Scan
    from watcher.state.port import Index


class LeavingRows:
    """The rows of one watch that leave its index silently. For one thread.

    Args:
        source: Knows which paths belong to the place now.
        index: The rows.
        commit: Makes a step durable.
        has_groups: The watch has groups, which forget what leaves.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        commit: Callable[[ChangeSet], None],
        *,
        has_groups: bool,
    ) -> None:
        self._source = source
        self._index = index
        self._commit = commit
        self._has_groups = has_groups
        self._followed: Window | None = None

    def drop(self, admits: Callable[[bytes], bool]) -> None:
        """Remove what a new filter excludes.

        Args:
            admits: Returns whether a path is still wanted.

        Raises:
            StateError: The state cannot be written.
        """
        # Markers are met anew, perhaps as what they are no longer.
        self._remove(lambda row: row.gate == Gate.MARKER or not admits(row.entry.path))

    def follow(self, scan: Scan, record: Callable[[], None]) -> None:
        """Remove what the place has left behind, as a scan of all of it sees the place.

        Called once the scan has read something: a store that has answered a signed request agrees
        with the clock about the time. What came into the place since the scan began stays.

        Args:
            scan: The scan.
            record: Makes durable how far the place has come, before a row leaves.

        Raises:
            StateError: The state cannot be written.
        """
        window, place = scan.window, self._source.window
        if window is None or place is None or window == self._followed:
            return
        record()
        read = window.admits
        self._remove(lambda row: not read(row.entry.path) and not place.admits(row.entry.path))
        self._followed = window

    def _remove(self, is_leaving: Callable[[Row], bool]) -> None:
        for page in self._index.rows_under(b""):
            if leaving := [row for row in page if is_leaving(row)]:
                delta = Delta(deletes=leaving)
                if self._has_groups:
                    delta.groups = GroupDelta(forgotten=[row.entry.path for row in leaving])
                self._commit(ChangeSet(delta))
