"""The reconciler: brings the index in line with a source and commits each difference.

It owns the rules of what a reading proves: nothing is inferred from what could not be read. Which
differences wait is decided in ``deferral``, what conditions hold back in ``gates`` and
``reopening``, what a rename proves in ``renamed_files``, and what becomes of rows that a completed
scan did not meet in ``missing_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes.batch_reading import BatchReading, meet_known
from watcher.changes.deferral import Deferral
from watcher.changes.detector import Difference
from watcher.changes.gates import Gates
from watcher.changes.leaving_rows import LeavingRows
from watcher.changes.missing_rows import MissingRows
from watcher.changes.renamed_files import RenamedFiles
from watcher.changes.reopening import Reopening
from watcher.changes.running_scans import RunningScans
from watcher.errors import WatcherError
from watcher.limits.turns import pause
from watcher.model import GATE_REPORTED, HIDDEN, ChangeSet, Delta, Rescan
from watcher.sources.observations import Inspection, LinksChanged, Rename, Renames, Subtree
from watcher.sources.scans import BATCH_ENTRIES
from watcher.spec import Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watcher.changes.detector import ChangeDetector
    from watcher.changes.groups import GroupRecorder
    from watcher.changes.running_scans import RunningScan
    from watcher.clock import Clock
    from watcher.delivery.outbox import Outbox
    from watcher.model import Entry, Row
    from watcher.sources.observations import Observation
    from watcher.sources.protocol import Source
    from watcher.sources.scans import Batch, Scan
    from watcher.state.port import Index


class Interrupted(Exception):  # noqa: N818 - not an error: the watch asked for it
    """A scan was left before its end: the watch stops, or its journal is full."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of a completed scan of the whole place.

    Attributes:
        entries: Entries that were met.
        held: Deletions that wait for a second scan to agree; 0 if none do.
        duration_s: Seconds that it took.
        new_inodes: Entries that differed in their inodes alone, as all beside them did.
    """

    entries: int
    held: int
    duration_s: float
    new_inodes: int = 0


class Reconciler:
    """Compares what a source reads with the index of one watch.

    Args:
        source: Reads the place.
        index: The entries last reported.
        detector: Decides which differences are changes.
        outbox: Commits changes with their differences.
        checkpoint: Called between batches of a scan with the number of entries met so far; raises
            ``Interrupted`` to leave the scan.
        clock: Measures scans.
        groups: Notes what changes in groups; None where there are none.
        conditions: What an entry must satisfy to be reported; None lets all be.

    Attributes:
        rescan_reason: Why the whole place must be scanned, or None; the watch scans and clears it.
        learnt: Entries with unknown contents in the last pass of ``learn_digests``.
        is_reopened: The place was opened since the last completed scan of all of it.
        record_window: Called before rows leave that the window of the place has left behind; makes
            durable how far it has come.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it connects, clock and conditions
        self,
        source: Source,
        index: Index,
        detector: ChangeDetector,
        outbox: Outbox,
        checkpoint: Callable[[int], None],
        clock: Clock,
        groups: GroupRecorder | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        self._source = source
        self._index = index
        self._detector = detector
        self._outbox = outbox
        self._gates = Gates(conditions or Conditions(), source, index, detector)
        self._checkpoint = checkpoint
        self._clock = clock
        self._groups = groups
        self._scans = RunningScans()
        self._deferral = Deferral(source, detector)
        self._reopening = Reopening(
            source, self._gates, self._deferral, detector, self._commit, checkpoint, clock
        )
        self._renamed = RenamedFiles(
            source, index, detector, self._gates, self._commit, self._compare_inspection
        )
        self._leaving = LeavingRows(source, index, self._commit, has_groups=groups is not None)
        self._missing = MissingRows(
            source, index, self._seen, self._delete, may_hold=detector.reports_missing
        )
        self._new_inodes = 0
        self._renumbered: set[bytes] = set()
        self._undigested: Iterator[list[Row]] | None = None
        self.rescan_reason: Rescan | None = None
        self.is_reopened = False
        self.learnt = 0
        self.record_window: Callable[[], None] = lambda: None

    def apply(self, observation: Observation) -> None:
        """Compare an observation with the index and commit the difference.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint``.
        """
        match observation:
            case Inspection():
                self._compare_inspection(observation)
            case Renames():
                self._apply_renames(observation.renames)
            case Subtree(prefix=b"", reason=reason):
                self.rescan_reason = reason
                self._gates.is_outdated = True
            case Subtree(prefix=prefix):
                self._reconcile(self._source.scan(prefix), with_hints=False)
            case LinksChanged():
                links = self._index.links()
                for start in range(0, len(links), BATCH_ENTRIES):
                    page = links[start : start + BATCH_ENTRIES]
                    self._compare_links(page)

    def scan(self, *, is_baseline: bool) -> ScanResult:
        """Read the whole place and compare it with the index.

        Args:
            is_baseline: It is the first scan: hints wait.

        Raises:
            UnavailableError: The place cannot be read now; differences found before are committed.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint``.
        """
        start_s = self._clock.monotonic()
        entries, held = self._reconcile(self._source.scan(), with_hints=not is_baseline)
        if self.is_reopened and self._detector.rule.is_content:
            self._undigested, self.learnt = self._index.rows_under(b""), 0
        new_inodes, self._new_inodes, self.is_reopened = self._new_inodes, 0, False
        self._renumbered.clear()
        return ScanResult(entries, held, self._clock.monotonic() - start_s, new_inodes)

    def drop(self, admits: Callable[[bytes], bool]) -> None:
        """Remove entries from the index that a new filter excludes, without reporting them.

        Args:
            admits: Returns whether a path is still wanted.

        Raises:
            StateError: The state cannot be written.
        """
        self._leaving.drop(admits)

    def learn_digests(self) -> bool:
        """Have the next contents read whose digests are not known, when no others are read.

        Each opening of the place is followed by one pass through the index. What could not be read
        is tried again by the source.

        Returns:
            Whether the pass goes on at once.
        """
        if self._undigested is None or not self._source.is_digesting_idle:
            return False
        page = next(self._undigested, None)
        if page is None:
            self._undigested = None
            return False
        undigested = [row.entry for row in page if not row.entry.etag and not row.gate]
        self.learnt += len(undigested)
        self._source.learn_digests(undigested)
        return self._source.is_digesting_idle

    @property
    def is_learning(self) -> bool:
        """Whether a pass of ``learn_digests`` goes on."""
        return self._undigested is not None

    # Volumes

    def hide(self, prefix: bytes) -> None:
        """Mark the rows under a prefix as hidden: what is mounted there says nothing about them.

        Raises:
            StateError: The state cannot be written.
        """
        self._mark(prefix, HIDDEN)

    def reveal(self, prefix: bytes) -> None:
        """Take back what ``hide`` did.

        Raises:
            StateError: The state cannot be written.
        """
        self._mark(prefix, "")

    def _mark(self, prefix: bytes, storage_class: str) -> None:
        for page in self._index.rows_under(prefix):
            marked = [
                row._replace(entry=row.entry._replace(storage_class=storage_class)) for row in page
            ]
            self._commit(ChangeSet(Delta(upserts=marked)))

    # Inspections and renames

    def _compare_inspection(self, inspection: Inspection) -> None:
        entries, gone = inspection.entries, inspection.gone
        rows = self._index.rows([entry.path for entry in entries] + gone)
        self._detector.forget_existing(gone)
        found = self._detector.delete(self._seen([rows[path] for path in gone if path in rows]))
        if self._groups is not None:
            found.touched = [path for path in gone if path not in rows]
        if self._gates.is_active:
            result = self._gates.sort(entries, rows, attributes_only=inspection.attributes_only)
            entries = result.open
            found.add(result.found)
        if inspection.expected_ctime_ns:
            entries = self._deferral.defer_ctime_only(entries, rows, inspection.expected_ctime_ns)
        if not inspection.has_digests:
            entries = self._deferral.defer_undigested(entries, rows, inspection.attributes_only)
        found.add(self._detector.compare(rows, entries, attributes_only=inspection.attributes_only))
        self._commit(found)
        if self._gates.has_arrivals:
            self._reopening.evaluate()

    def _compare_links(self, paths: Sequence[bytes]) -> None:
        """Compare entries whose changes notify nobody."""
        inspection = self._source.inspect(paths)
        rows = self._index.rows([entry.path for entry in inspection.entries])
        differing = [
            entry
            for entry in inspection.entries
            if entry.path not in rows
            or rows[entry.path].entry != entry
            or rows[entry.path].gate & GATE_REPORTED
        ]
        inspection.entries = self._deferral.defer_incomplete(differing, rows)
        self._compare_inspection(inspection)

    def _apply_renames(self, renames: Sequence[Rename]) -> None:
        if not renames[0].is_directory:
            self._renamed.follow(renames)
            return
        for rename in renames:
            self._renamed.follow_directory(rename)
            self.apply(Subtree(rename.old_path))
            self.apply(Subtree(rename.path))

    # Scans

    def _reconcile(self, scan: Scan, *, with_hints: bool) -> tuple[int, int]:
        """Return the number of entries met, and of deletions held."""
        self._gates.begin_scan()
        with self._scans.begin(self._index.id_limit, is_whole=not scan.prefix) as running:
            count = self._compare_scan(scan, running, with_hints=with_hints)
            self._leaving.follow(scan, self.record_window)
            missing = self._index.entries - len(running.met)
            if (verification := scan.verification_scan(missing)) is not None:
                self._compare_scan(verification, running, with_hints=with_hints)
            held = 0
            if not scan.prefix:
                held = self._missing.delete_all(scan, running.met)
            elif not self._missing.delete_under(scan, running.met):
                self.rescan_reason = Rescan.MANY_GONE
            if self._gates.is_active:
                self._reopening.evaluate(running.met, is_scanned=not scan.prefix)
            return count, held

    def _compare_scan(self, scan: Scan, running: RunningScan, *, with_hints: bool) -> int:
        """Compare the batches of a scan, and return the number of their entries."""
        count = 0
        with self._outbox.deferring():
            for batch in scan:
                pause()
                self._leaving.follow(scan, self.record_window)
                count += self._compare_batch(batch, running)
                self._checkpoint(count)
                if with_hints:
                    for observation in self._source.observe():
                        self.apply(observation)
        return count

    def _compare_batch(self, batch: Batch, running: RunningScan) -> int:
        """Compare a batch with its rows, and return the number of its entries."""
        if size := meet_known(batch, running):
            return size
        reading = BatchReading(batch, running)
        met, entries = running.met, reading.entries
        ids, rows, differing = self._index.compare(entries)
        if any(row.id in met for row in rows.values()):
            running.known.invalidate()
        met.add(ids)
        found = self._adopt_new_inodes(entries, differing, rows)
        if found.delta.upserts:
            adopted = {row.entry.path for row in found.delta.upserts}
            differing = [entry for entry in differing if entry.path not in adopted]
        newer = self._deferral.drop_outdated(differing, rows)
        is_settled, differing = len(newer) == len(differing), newer
        if self._gates.is_active:
            result = self._gates.sort(differing, rows, met)
            differing, is_settled = result.open, is_settled and result.is_settled
            found.add(result.found)
        if self._detector.only_records(differing, rows):
            ready = differing
            found.add(self._detector.record(ready))
        else:
            ready = self._deferral.defer_ctime_only(differing, rows, dict.fromkeys(rows))
            ready = self._deferral.defer_incomplete(ready, rows)
            ready = self._deferral.defer_undigested(ready, rows)
            found.add(self._detector.compare(rows, ready))
        self._write(found)
        self._scans.invalidate_batches(found.delta, running)
        # A batch is known once the rows are as it says.
        if batch.digest and is_settled and len(ready) == len(differing):
            reading.keep(ids, rows, found.delta.upserts)
        return len(reading)

    def _adopt_new_inodes(
        self, entries: list[Entry], differing: list[Entry], rows: Mapping[bytes, Row]
    ) -> ChangeSet:
        """Return the new rows of entries of a batch that differ in nothing but made-up inodes.

        Where a volume was mounted again by a file system that makes up its inodes, those of all
        files differ: a single one that does is a file that replaced another.

        Args:
            entries: The entries of the batch.
            differing: Those that differ from their rows or have none.
            rows: The rows of the differing entries.
        """
        if not rows or not self._detector.rule.accepts_new_inodes:
            return ChangeSet()
        renumbered = [
            entry
            for entry in differing
            if (self.is_reopened or self._source.is_remounted(entry.path))
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
        self._new_inodes += len(adopted)
        return self._detector.adopt(rows, adopted)

    def _delete(self, paths: Sequence[bytes]) -> None:
        """Delete the rows at paths at which there is nothing."""
        self._commit(self._detector.delete(self._seen(self._index.rows(paths).values())))

    def _seen(self, rows: Iterable[Row]) -> list[Row]:
        """Return those of some rows that no volume hides, so that their files can be seen."""
        return [row for row in rows if not (row.is_hidden and self._source.volumes)]

    def _commit(self, found: ChangeSet) -> None:
        """Commit a difference that was not found by reading a batch."""
        self._scans.invalidate_batches(found.delta)
        self._write(found)

    def _write(self, found: ChangeSet) -> None:
        if self._groups is not None:
            self._groups.note(found)
        self._describe(found)
        self._outbox.commit(found)
        self._scans.record(found.delta)

    def _describe(self, found: ChangeSet) -> None:
        """Add what the source says of the entries that are reported; nothing is committed yet.

        Raises:
            WatcherError: The place cannot be read now: the difference is found again.
        """
        try:
            found.changes = list(self._source.describe(found.changes))
        except WatcherError:
            self._detector.restore_existing(found.changes)
            raise
