"""Keeps what running scans have met: rows of the index, and batches that the next one may skip.

Scans nest: a hint that is applied between two batches of a scan may scan a subtree. Pure.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes.bitmap import Bitmap
from watcher.changes.known_batches import UnchangedBatches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.model import Delta


@dataclass(frozen=True, slots=True)
class RunningScan:
    """A scan that is not completed.

    Attributes:
        met: Ids of the rows that it has met, and of those written while it runs.
        known: The batches that it need not read.
    """

    met: Bitmap
    known: UnchangedBatches


@dataclass(frozen=True, slots=True)
class CompletedScan:
    """The rows that a completed scan of the whole place has met.

    Attributes:
        met: Their ids.
        id_limit: Ids of rows that were written later are not below this.
    """

    met: Bitmap
    id_limit: int

    def missed(self, id_: int) -> bool:
        """Return whether there was a row with an id, and the scan did not meet it."""
        return id_ < self.id_limit and id_ not in self.met


class RunningScans:
    """The scans of one watch that are running, the outermost first."""

    def __init__(self) -> None:
        self._running: list[RunningScan] = []
        self._last = UnchangedBatches()

    @contextmanager
    def begin(self, id_limit: int, *, is_whole: bool) -> Iterator[RunningScan]:
        """Provide a new scan; if the block raises, it leaves no batches to the next one.

        Args:
            id_limit: Row ids are below this.
            is_whole: The whole place is read. The batches of a scan that reads a part are those of
                no other: it neither finds any nor leaves any.
        """
        scan = RunningScan(Bitmap(id_limit), UnchangedBatches(self._last if is_whole else None))
        if is_whole:
            self._last = UnchangedBatches()
        self._running.append(scan)
        try:
            yield scan
        finally:
            self._running.pop()
        if is_whole:
            self._last = scan.known

    def record(self, delta: Delta) -> None:
        """Mark rows that were written as met by all running scans, and deleted ones as not met."""
        for scan in self._running:
            scan.met.add([row.id for row in delta.upserts])
            scan.met.remove(row.id for row in delta.deletes)

    def invalidate_batches(self, delta: Delta, read_by: RunningScan | None = None) -> None:
        """Forget the batches with rows that have changed.

        Args:
            delta: The changes.
            read_by: The scan that has read them in a batch, which is as its rows are; None if
                they were found otherwise.
        """
        ids = [row.id for row in (*delta.upserts, *delta.deletes)]
        if ids:
            self._last.touch(ids)
            for scan in self._running:
                if scan is not read_by:
                    scan.known.touch(ids)
