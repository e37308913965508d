"""Decides what becomes of the rows that a completed scan did not meet.

A row is deleted only if its path is confirmed to be empty. A scan that would delete most of the
index is held until a second one agrees. Where a source cannot confirm single paths, it learns which
of them the scan before has missed too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.running_scans import CompletedScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watcher.changes.bitmap import Bitmap
    from watcher.model import Row
    from watcher.sources.protocol import Source
    from watcher.sources.scans import Scan
    from watcher.state.port import Index

HOLD_ENTRIES = 100
"""A scan that would delete at most this number of entries is never held."""

HOLD_SHARE = 0.5
"""A scan that would delete at most this share of the index is never held."""


class MissingRows:
    """The rows of one watch that its scans have missed. For one thread.

    Args:
        source: Confirms that there is nothing at a path.
        index: The entries last reported.
        seen: Returns those of some rows that no volume hides.
        delete: Deletes the rows at paths at which there is nothing.
        may_hold: Deletions are reported, so that many at once wait for a second scan.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        seen: Callable[[Iterable[Row]], Sequence[Row]],
        delete: Callable[[Sequence[bytes]], None],
        *,
        may_hold: bool = True,
    ) -> None:
        self._source = source
        self._index = index
        self._seen = seen
        self._delete_paths = delete
        self._may_hold = may_hold
        self._is_held = False
        self._former: CompletedScan | None = None

    def delete_under(self, scan: Scan, met: Bitmap) -> bool:
        """Delete what the completed scan of a subtree did not meet.

        Args:
            scan: The scan.
            met: Ids of the rows that it has met.

        Returns:
            Whether that was done; False if the whole place must be scanned instead.
        """
        is_unread = scan.unread_test()
        if not self._source.notifies(scan.prefix) and self._is_suspicious(
            self._count(scan.prefix, met, is_unread)
        ):
            # No event named them, so they are held like those that a scan of the place misses.
            return False
        for missing in self._pages(scan.prefix, met, is_unread):
            self._delete(missing, None)
        return True

    def delete_all(self, scan: Scan, met: Bitmap) -> int:
        """Delete what the completed scan of the whole place did not meet.

        Args:
            scan: The scan.
            met: Ids of the rows that it has met.

        Returns:
            The number of rows that are held instead.
        """
        is_unread = scan.unread_test()
        former, self._former = self._former, None
        completed = CompletedScan(met, self._index.id_limit)
        count = self._index.entries - len(met)
        may_be_unread = scan.unread or self._source.volumes or scan.window is not None
        if count > HOLD_ENTRIES and may_be_unread:
            count = self._count(b"", met, is_unread)
        is_suspicious = self._is_suspicious(count)
        if is_suspicious and not self._is_held:
            # A loss that the source can disprove now is an error, not a loss to be held.
            self._source.confirm_deleted(list(next(self._pages(b"", met, is_unread))))
            self._is_held, self._former = True, completed
            return count
        self._is_held = False
        if count == 0:
            return 0
        for missing in self._pages(b"", met, is_unread):
            if self._delete(missing, former) < len(missing):
                # What two scans have agreed on is not held again while it cannot be confirmed.
                self._former, self._is_held = completed, is_suspicious
        return 0

    def _delete(self, missing: Mapping[bytes, int], former: CompletedScan | None) -> int:
        """Delete those rows that the source confirms to be gone, and return their number.

        Args:
            missing: Ids of rows that a completed scan did not meet, by path.
            former: The completed scan before; None if it missed nothing.
        """
        missed_before = [path for path, id_ in missing.items() if former and former.missed(id_)]
        gone = self._source.confirm_deleted(list(missing), missed_before)
        self._delete_paths(gone)
        return len(gone)

    def _is_suspicious(self, missing: int) -> bool:
        """Return whether a number of missing entries must be confirmed by a second scan."""
        is_most = missing > HOLD_ENTRIES and missing > self._index.entries * HOLD_SHARE
        return self._may_hold and is_most

    def _count(self, prefix: bytes, met: Bitmap, is_unread: Callable[[bytes], bool]) -> int:
        return sum(map(len, self._pages(prefix, met, is_unread)))

    def _pages(
        self, prefix: bytes, met: Bitmap, is_unread: Callable[[bytes], bool]
    ) -> Iterator[Mapping[bytes, int]]:
        """Yield the paths under a prefix that were read but not met, with the ids of their rows."""
        for page in self._index.paths_under(prefix):
            missing = {path: id_ for id_, path in page if id_ not in met and not is_unread(path)}
            if missing and self._source.volumes:
                rows = self._index.rows(list(missing))
                missing = {row.entry.path: row.id for row in self._seen(rows.values())}
            if missing:
                yield missing
