"""Evaluates entries again that were held back and may be reported now.

Their rows are found in the index: markers have come, or the whole place was scanned for the first
time since the watch was started. What may be reported takes the way of any difference: it must be
complete, and its digest known where contents are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.changes.deferral import Deferral
    from watcher.changes.detector import ChangeDetector
    from watcher.changes.gates import Gates, Ids
    from watcher.clock import Clock
    from watcher.model import ChangeSet, Row
    from watcher.sources.protocol import Source


class Reopening:
    """The entries of one place that were held back. For one thread.

    Args:
        source: Inspects the entries where that is cheap, or no scan shows them.
        gates: Decides what is held back.
        deferral: Lets entries wait that are not complete.
        detector: Decides what is reported.
        commit: Commits a difference.
        checkpoint: See ``Reconciler``.
        clock: Times inspections.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the steps that a difference takes
        self,
        source: Source,
        gates: Gates,
        deferral: Deferral,
        detector: ChangeDetector,
        commit: Callable[[ChangeSet], None],
        checkpoint: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self._source = source
        self._gates = gates
        self._deferral = deferral
        self._detector = detector
        self._commit = commit
        self._checkpoint = checkpoint
        self._clock = clock

    def evaluate(self, met: Ids | None = None, *, is_scanned: bool = False) -> None:
        """Evaluate what may no longer be held back, and commit what is not.

        Args:
            met: Ids of the rows that the scan has met that ends now; None where none does.
            is_scanned: It has read the whole place.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint``.
        """
        is_done = False
        try:
            for page in self._detector.whole(self._gates.candidates(is_scanned=is_scanned)):
                self._evaluate_rows(page, met)
                self._checkpoint(0)
            is_done = True
        finally:
            if not is_done:
                self._gates.is_outdated = True

    def _evaluate_rows(self, page: Sequence[Row], met: Ids | None) -> None:
        rows = {row.entry.path: row for row in page}
        read_ns = None
        if met is None or self._source.has_cheap_inspection:
            read_ns = self._clock.wall_ns()
            entries = self._source.inspect(list(rows)).entries
            unmet = len(page) - len(entries)
        else:
            # Of what the listing lacks, only another one can show that it is there.
            listed = [row for row in page if row.id in met]
            newest = self._gates.newest(listed)
            entries = self._deferral.drop_outdated(newest, rows)
            unmet = len(page) - len(listed) + len(newest) - len(entries)
        entries = self._detector.in_order(entries, rows)
        result = self._gates.sort(entries, rows, met, is_last=True)
        ready = self._deferral.defer_incomplete(result.open, rows, read_ns)
        ready = self._deferral.defer_undigested(ready, rows)
        result.found.add(self._detector.compare(rows, ready))
        self._commit(result.found)
        # What comes back as it was differs from no row, so no scan would evaluate it again.
        if unmet or len(ready) < len(result.open):
            self._gates.is_outdated = True
