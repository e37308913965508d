"""Decides what of a batch is read: nothing, all, or the parts that the last scan had not. Pure.

In a bucket a few keys of every batch may change between two listings. Most parts of such a batch
are as they were: their rows are known, and nothing of them is read or looked up.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from watcher.changes.known_batches import as_ranges, as_runs
from watcher.sources.scans import DividedBatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from watcher.changes.running_scans import RunningScan
    from watcher.model import Entry, Row
    from watcher.sources.scans import Batch


def meet_known(batch: Batch, running: RunningScan) -> int:
    """Mark the rows of a batch that this scan or the one before had as met.

    Returns:
        Their number; 0 where the batch must be read.
    """
    met, known = running.met, running.known
    if size := known.kept_rows(batch.digest):
        return size
    ranges = known.find(batch.digest)
    if not ranges or any(map(met.overlaps, ranges)):
        return 0
    for range_ in ranges:
        met.add_range(range_)
    known.keep(batch.digest, ranges)
    if isinstance(batch, DividedBatch):
        known.keep_former_parts(batch.name)
    return sum(map(len, ranges))


class BatchReading:
    """What is read of a batch, and the rows of the rest.

    Args:
        batch: The batch.
        running: The scan that it belongs to; the rows of parts that are not read are met by it.

    Attributes:
        entries: The entries that were read, in the batch's order.
        skipped: Ids of the rows of the others.
    """

    def __init__(self, batch: Batch, running: RunningScan) -> None:
        self._batch = batch
        self._running = running
        self._digests: Sequence[bytes] = ()
        self._skipped: dict[bytes, Sequence[range]] = {}
        self._read: dict[bytes, Sequence[Entry]] = {}
        # Parts take time and memory, and most batches of a first scan never change.
        is_divided = (
            running.known.has_former and isinstance(batch, DividedBatch) and self._read_parts(batch)
        )
        self.skipped = [*chain.from_iterable(self._skipped.values())]
        for range_ in self.skipped:
            running.met.add_range(range_)
        self.entries = [*chain.from_iterable(self._read.values())] if is_divided else batch.entries

    def __len__(self) -> int:
        """Return the number of entries of the batch."""
        return len(self.entries) + sum(map(len, self.skipped))

    def keep(self, ids: Sequence[int], rows: Mapping[bytes, Row], written: Collection[Row]) -> None:
        """Remember the batch, whose rows are as it says.

        Args:
            ids: Ids of the rows that the entries had before, in the order of ``entries``.
            rows: Rows of those that differed, by path.
            written: Rows that were written.
        """
        known = self._running.known
        all_ids = {*ids, *(row.id for row in written), *chain.from_iterable(self.skipped)}
        known.keep(self._batch.digest, as_ranges(all_ids))
        if not isinstance(self._batch, DividedBatch):
            return
        created = {row.entry.path: row.id for row in written if row.entry.path not in rows}
        if len(ids) + sum(entry.path in created for entry in self.entries) == len(self.entries):
            known.keep_parts(self._batch.name, self._find_rows(ids, created))

    def _read_parts(self, batch: DividedBatch) -> bool:
        """Read the parts that are not known; return whether they can be read by themselves."""
        met, digests = self._running.met, batch.part_digests
        skipped = {
            digest: ranges
            for digest, ranges in self._running.known.find_parts(batch.name).items()
            if not any(map(met.overlaps, ranges))
        }
        unknown = [number for number, digest in enumerate(digests) if digest not in skipped]
        read = batch.read_parts(unknown)
        if read is None:
            return False
        self._digests = digests
        self._skipped = {digest: skipped[digest] for digest in digests if digest in skipped}
        self._read = {
            digests[number]: entries for number, entries in zip(unknown, read, strict=True)
        }
        return True

    def _find_rows(
        self, ids: Sequence[int], created: Mapping[bytes, int]
    ) -> dict[bytes, Sequence[range]]:
        """Return the ids of the rows of all parts, in their order, by digest."""
        found = iter(ids)
        return {
            digest: self._skipped[digest]
            if digest in self._skipped
            else as_runs(
                [
                    created[entry.path] if entry.path in created else next(found)
                    for entry in self._read[digest]
                ]
            )
            for digest in self._digests
        }
