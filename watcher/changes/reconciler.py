"""The reconciler: brings the index in line with what a source reads, and commits each difference with its changes.

It owns the rules of what a reading proves. A row is deleted only when a completed reading did not meet it and nothing is there; a scan
that would delete most of the index is held until a second one agrees; nothing is inferred from what could not be read.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes.bitmap import Bitmap
from watcher.changes.detector import Difference, difference
from watcher.changes.known_batches import UnchangedBatches, as_ranges
from watcher.model import ChangeSet, Delta
from watcher.sources.protocol import BATCH_ENTRIES, Inspection, LinksChanged, Renames, Subtree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from watcher.changes.detector import ChangeDetector
    from watcher.delivery.outbox import Outbox
    from watcher.model import Entry, Rescan, Row
    from watcher.sources.protocol import Batch, Observation, Rename, Scan, Source
    from watcher.state.index import Index

HOLD_ENTRIES = 100
HOLD_SHARE = 0.5
"""A scan that would delete more than so many entries and more than this share of the index is held."""


class Interrupted(Exception):  # noqa: N818 - not an error: the watch asked for it
    """A scan was left in the middle because the watch stops or its journal is full."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a completed scan of the whole place did.

    Attributes:
        entries: Entries that were met.
        held: Deletions that wait for a second scan to agree; 0 when none do.
        duration_s: How long it took.
    """

    entries: int
    held: int
    duration_s: float


class Reconciler:
    """Compares what a source reads with the index of one watch.

    Args:
        source: Reads the place.
        index: Its rows.
        detector: Tells what is a change.
        outbox: Commits.
        checkpoint: Called between batches of a scan with the entries met so far; raises ``Interrupted`` to leave the scan.

    Attributes:
        rescan_reason: Why the whole place must be scanned; None when it need not be. The watch scans when it suits, and clears it.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        detector: ChangeDetector,
        outbox: Outbox,
        checkpoint: Callable[[int], None],
    ) -> None:
        self._source = source
        self._index = index
        self._detector = detector
        self._outbox = outbox
        self._checkpoint = checkpoint
        self._seen: list[Bitmap] = []
        self._known: list[UnchangedBatches] = []
        self._batches: Mapping[bytes, Sequence[range]] = {}
        self._is_held = False
        self.rescan_reason: Rescan | None = None

    def apply(self, observation: Observation) -> None:
        """Take in what a hint made the source look at.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint``.
        """
        match observation:
            case Inspection():
                self._apply_looks(observation)
            case Renames():
                self._apply_moves(observation.moves)
            case Subtree(prefix=b"", reason=reason):
                self.rescan_reason = reason
            case Subtree(prefix=prefix):
                self._reconcile(self._source.scan(prefix), with_hints=False)
            case LinksChanged():
                links = self._index.links()
                for start in range(0, len(links), BATCH_ENTRIES):
                    self._apply_looks(self._source.inspect(links[start : start + BATCH_ENTRIES]))

    def scan(self, *, is_baseline: bool) -> ScanResult:
        """Read the whole place and compare it with the index.

        Args:
            is_baseline: It is the first one: hints wait, and what is being written is taken as it is.

        Raises:
            UnavailableError: The place cannot be read now; what was found until then is committed.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint``.
        """
        start_s = time.monotonic()
        entries, held = self._reconcile(
            self._source.scan(settled_only=not is_baseline), with_hints=not is_baseline
        )
        return ScanResult(entries, held, time.monotonic() - start_s)

    def drop(self, admits: Callable[[bytes], bool]) -> None:
        """Take entries that are no longer wanted out of the index and say nothing.

        Args:
            admits: Tells whether a path is still wanted.

        Raises:
            StateError: The state cannot be written.
        """
        for page in self._index.rows_under(b""):
            self._commit(
                ChangeSet(Delta(deletes=[row for row in page if not admits(row.entry.path)]))
            )

    # Inspection and moves

    def _apply_looks(self, looks: Inspection) -> None:
        rows = self._index.rows([entry.path for entry in looks.entries] + looks.gone)
        step = self._detector.gone([rows[path] for path in looks.gone if path in rows])
        entries = (
            self._defer_ctime_only(looks.entries, rows, looks.doubts)
            if looks.doubts
            else looks.entries
        )
        step.add(self._detector.seen(rows, entries, attributes_only=looks.attributes_only))
        self._commit(step)

    def _apply_moves(self, moves: Sequence[Rename]) -> None:
        if not moves[0].is_directory:
            self._move_files(moves)
            return
        for move in moves:
            for page in self._index.paths_under(move.old_path):
                self._move_files(
                    [type(move)(path, move.path + path[len(move.old_path) :]) for _, path in page]
                )
            self.apply(Subtree(move.old_path))
            self.apply(Subtree(move.path))

    def _move_files(self, moves: Sequence[Rename]) -> None:
        rows = self._index.rows([move.old_path for move in moves] + [move.path for move in moves])
        found = {
            entry.path: entry
            for entry in self._source.inspect([move.path for move in moves]).entries
        }
        pairs: list[tuple[Row, Entry]] = []
        doubtful: list[bytes] = []
        for move in moves:
            row, entry = rows.get(move.old_path), found.get(move.path)
            # An inode alone never pairs a rename; the kernel's pairing is taken only while the inode agrees with it.
            if row is not None and entry is not None and row.entry.inode == entry.inode:
                pairs.append((row, entry))
            else:
                doubtful += [move.old_path, move.path]
        self._commit(self._detector.moved(pairs, rows))
        self._source.recheck(
            dict.fromkeys(path for path in doubtful if path in rows or path in found)
        )

    # Scans

    def _reconcile(self, scan: Scan, *, with_hints: bool) -> tuple[int, int]:
        with self._bitmap() as seen, self._remembering() as known:
            count = self._compare_scan(scan, seen, known, with_hints=with_hints)
            if (second := scan.verification_scan(self._index.entries - len(seen))) is not None:
                self._compare_scan(second, seen, known, with_hints=with_hints)
            return count, self._delete_missing(scan, seen)

    def _compare_scan(
        self, scan: Scan, seen: Bitmap, known: UnchangedBatches, *, with_hints: bool
    ) -> int:
        """Compare what a scan yields, and return how many entries it has."""
        count = 0
        for batch in scan:
            count += self._compare_batch(batch, seen, known) + len(batch.unsettled)
            self._checkpoint(count)
            if with_hints:
                for observation in self._source.observe():
                    self.apply(observation)
        return count

    def _compare_batch(self, batch: Batch, seen: Bitmap, known: UnchangedBatches) -> int:
        """Compare a batch with its rows and return how many entries it has."""
        if size := known.size_of_kept(batch.digest):
            return size
        ranges = known.find(batch.digest)
        if ranges and not any(map(seen.overlaps, ranges)):
            for ids in ranges:
                seen.add_range(ids)
            known.keep(batch.digest, ranges)
            return sum(map(len, ranges))
        entries = batch.entries
        met, rows, differing = self._index.met(entries)
        if any(row.id in seen for row in rows.values()):
            known.invalidate()
        seen.add(met)
        if batch.unsettled:
            seen.add(row.id for row in self._index.rows(batch.unsettled).values())
        step = self._detector.seen(
            rows, self._defer_ctime_only(differing, rows, dict.fromkeys(rows))
        )
        self._write(step)
        if batch.digest:
            known.keep(batch.digest, as_ranges({*met, *(row.id for row in step.delta.upserts)}))
        return len(entries)

    def _defer_ctime_only(
        self, entries: list[Entry], rows: Mapping[bytes, Row], doubts: Mapping[bytes, int | None]
    ) -> list[Entry]:
        """Put off entries that no notification spoke of and of which nothing but the change time differs; return the others.

        That is either a chmod whose own hint is still on its way, which says nothing, or content with its mtime restored. Whoever meets
        the same change time again later, and no hint of a chmod came, knows that it is the second.

        Args:
            entries: What is there.
            rows: Their rows.
            doubts: Those which no notification spoke of, with the change time that was met before.
        """
        if self._source.mode != "notify":
            return entries
        doubtful = [
            entry
            for entry in entries
            if (row := rows.get(entry.path)) is not None
            and doubts.get(entry.path, entry.ctime_ns) != entry.ctime_ns
            and difference(row, entry) is Difference.CTIME
        ]
        if not doubtful:
            return entries
        waiting: dict[bytes, int | None] = {entry.path: entry.ctime_ns for entry in doubtful}
        self._source.recheck(waiting)
        return [entry for entry in entries if entry.path not in waiting]

    def _delete_missing(self, scan: Scan, seen: Bitmap) -> int:
        """Delete the rows that a completed scan did not meet; return how many are held instead."""
        unread = tuple(scan.unread)
        if not scan.prefix:
            missing = self._index.entries - len(seen)
            if missing > HOLD_ENTRIES and unread:
                missing = sum(len(unmet) for unmet in self._unmet(scan.prefix, seen, unread))
            is_suspicious = missing > HOLD_ENTRIES and missing > self._index.entries * HOLD_SHARE
            if is_suspicious and not self._is_held:
                # What a source finds to be untrue now is no loss that somebody should be asked about.
                self._source.confirm_deleted(next(self._unmet(scan.prefix, seen, unread)))
                self._is_held = True
                return missing
            self._is_held = False
            if missing == 0:
                return 0
        for unmet in self._unmet(scan.prefix, seen, unread):
            self._delete(unmet)
        return 0

    def _unmet(
        self, prefix: bytes, seen: Bitmap, unread: tuple[bytes, ...]
    ) -> Iterator[list[bytes]]:
        """Yield the paths under a prefix that were not met though they could have been, in lists that are not empty."""
        for page in self._index.paths_under(prefix):
            if unmet := [
                path for id_, path in page if id_ not in seen and not path.startswith(unread)
            ]:
                yield unmet

    def _delete(self, paths: Sequence[bytes]) -> None:
        gone = self._source.confirm_deleted(paths)
        rows = self._index.rows(gone)
        self._write(self._detector.gone(rows.values()))

    def _commit(self, step: ChangeSet) -> None:
        """Commit what another reading than that of a batch found: rows are no longer as the batches said."""
        if step.delta.upserts or step.delta.deletes:
            self._batches = {}
            for known in self._known:
                known.invalidate()
        self._write(step)

    def _write(self, step: ChangeSet) -> None:
        self._outbox.commit(step)
        for seen in self._seen:
            seen.add(row.id for row in step.delta.upserts)
            seen.remove(row.id for row in step.delta.deletes)

    @contextmanager
    def _remembering(self) -> Iterator[UnchangedBatches]:
        """Provide what the last scan remembered, and what this one remembers for the next if it is completed."""
        known, self._batches = UnchangedBatches(self._batches), {}
        self._known.append(known)
        try:
            yield known
        finally:
            self._known.pop()
        self._batches = known.batches

    @contextmanager
    def _bitmap(self) -> Iterator[Bitmap]:
        """Provide a bitmap of the rows that a scan meets; every row that is written meanwhile is marked too."""
        seen = Bitmap(self._index.id_limit)
        self._seen.append(seen)
        try:
            yield seen
        finally:
            self._seen.pop()
