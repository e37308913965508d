"""Takes over inodes that a file system has made up anew, where no file was replaced.

Where a volume was mounted again by a file system that makes up its inodes, those of all files
differ: a single one that does is a file that replaced another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.detector import Difference
from watcher.model import ChangeSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.changes.detector import ChangeDetector
    from watcher.model import Entry, Row
    from watcher.sources.protocol import Source


class NewInodes:
    """The inodes of one place that differ from the index. For one thread.

    Args:
        source: Knows which volumes were mounted since they were read.
        detector: Decides which attributes count.
    """

    def __init__(self, source: Source, detector: ChangeDetector) -> None:
        self._source = source
        self._detector = detector
        self._adopted = 0
        self._renumbered: set[bytes] = set()

    def adopt(
        self,
        entries: list[Entry],
        differing: list[Entry],
        rows: Mapping[bytes, Row],
        *,
        is_reopened: bool,
    ) -> ChangeSet:
        """Return the new rows of entries of a batch that differ in nothing but made-up inodes.

        Args:
            entries: The entries of the batch.
            differing: Those that differ from their rows or have none.
            rows: The rows of the differing entries.
            is_reopened: The place was opened since the last completed scan of all of it.

        Returns:
            No changes; without rows if no inode is taken over.
        """
        if not rows or not self._detector.rule.accepts_new_inodes:
            return ChangeSet()
        renumbered = [
            entry
            for entry in differing
            if (is_reopened or self._source.is_remounted(entry.path))
            and (row := rows.get(entry.path)) is not None
            and not row.gate
            and self._detector.difference(row, entry) is Difference.INODE
        ]
        if not renumbered:
            return ChangeSet()
        mount_point = self._source.mount_point
        others = {entry.path for entry in differing}
        kept = {mount_point(entry.path) for entry in entries if entry.path not in others}
        # Batches may be cut otherwise in a scan that goes on after an interruption.
        kept -= self._renumbered
        adopted = [entry for entry in renumbered if mount_point(entry.path) not in kept]
        self._renumbered |= {mount_point(entry.path) for entry in adopted}
        self._adopted += len(adopted)
        return self._detector.adopt(rows, adopted)

    def end_scan(self) -> int:
        """Return how many inodes were taken over since the last completed scan of the place."""
        adopted, self._adopted = self._adopted, 0
        self._renumbered.clear()
        return adopted
