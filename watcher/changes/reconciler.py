"""The reconciler: brings the index in line with a source and commits each difference.

It compares scans, and applies what is observed between two of them: nothing is inferred from what
could not be read. Single paths are compared in ``inspections``. Which differences wait is decided
in ``deferral``, what conditions hold back in ``gates`` and ``reopening``, which inodes are taken
over in ``new_inodes``, what a rename proves in ``renamed_files``, and what becomes of rows that a
completed scan did not meet in ``missing_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes.batch_reading import BatchReading, meet_known
from watcher.changes.deferral import Deferral
from watcher.changes.gates import Gates
from watcher.changes.inspections import Inspections
from watcher.changes.leaving_rows import LeavingRows
from watcher.changes.missing_rows import MissingRows
from watcher.changes.new_inodes import NewInodes
from watcher.changes.renamed_files import RenamedFiles
from watcher.changes.reopening import Reopening
from watcher.changes.running_scans import RunningScans
from watcher.errors import WatcherError
from watcher.limits.turns import pause
from watcher.model import HIDDEN, ChangeSet, Delta, Rescan
from watcher.sources.observations import Inspection, LinksChanged, Rename, Renames, Subtree
from watcher.spec import Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from watcher.changes.detector import ChangeDetector
    from watcher.changes.groups import GroupRecorder
    from watcher.changes.running_scans import RunningScan
    from watcher.clock import Clock
    from watcher.delivery.outbox import Outbox
    from watcher.model import Row
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
        self._inspections = Inspections(
            source,
            index,
            detector,
            gates=self._gates,
            deferral=self._deferral,
            reopening=self._reopening,
            seen=self._seen,
            commit=self._commit,
            has_groups=groups is not None,
        )
        self._renamed = RenamedFiles(
            source, index, detector, self._gates, self._commit, self._inspections.compare
        )
        self._leaving = LeavingRows(source, index, self._commit, has_groups=groups is not None)
        self._missing = MissingRows(
            source, index, self._seen, self._delete, may_hold=detector.reports_missing
        )
        self._new_inodes = NewInodes(source, detector)
        self.rescan_reason: Rescan | None = None
        self.is_reopened = False
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
                self._inspections.compare(observation)
            case Renames():
                self._apply_renames(observation.renames)
            case Subtree(prefix=b"", reason=reason):
                self.rescan_reason = reason
                self._gates.is_outdated = True
            case Subtree(prefix=prefix):
                self._reconcile(self._source.scan(prefix), with_hints=False)
            case LinksChanged():
                self._inspections.compare_links()

    def _apply_renames(self, renames: Sequence[Rename]) -> None:
        if not renames[0].is_directory:
            self._renamed.follow(renames)
            return
        for rename in renames:
            self._renamed.follow_directory(rename)
            self.apply(Subtree(rename.old_path))
            self.apply(Subtree(rename.path))

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
        self.is_reopened = False
        duration_s = self._clock.monotonic() - start_s
        return ScanResult(entries, held, duration_s, self._new_inodes.end_scan())

    def drop(self, admits: Callable[[bytes], bool]) -> None:
        """Remove entries from the index that a new filter excludes, without reporting them.

        Args:
            admits: Returns whether a path is still wanted.

        Raises:
            StateError: The state cannot be written.
        """
        self._leaving.drop(admits)

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
        found = self._new_inodes.adopt(entries, differing, rows, is_reopened=self.is_reopened)
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
