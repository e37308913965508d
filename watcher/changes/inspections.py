"""Compares paths that were inspected one by one with their rows, and commits the differences.

An inspection proves both that a file is there and that there is none. Links are inspected here when
their targets may have changed, which notifies nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import GATE_REPORTED
from watcher.sources.scans import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from watcher.changes.deferral import Deferral
    from watcher.changes.detector import ChangeDetector
    from watcher.changes.gates import Gates
    from watcher.changes.reopening import Reopening
    from watcher.model import ChangeSet, Row
    from watcher.sources.observations import Inspection
    from watcher.sources.protocol import Source
    from watcher.state.port import Index


class Inspections:
    """The inspections of one place. For one thread.

    Args:
        source: Inspects links.
        index: The entries last reported.
        detector: Decides which differences are changes.
        gates: Decides which entries are held back.
        deferral: Lets entries wait that cannot be compared yet.
        reopening: Evaluates again what was held back, once its marker is there.
        seen: Returns those of some rows that no volume hides.
        commit: Commits a difference.
        has_groups: The watch has groups, which notice also what came and went between two looks.
    """

    def __init__(  # noqa: PLR0913 - the steps that a difference takes
        self,
        source: Source,
        index: Index,
        detector: ChangeDetector,
        *,
        gates: Gates,
        deferral: Deferral,
        reopening: Reopening,
        seen: Callable[[Iterable[Row]], list[Row]],
        commit: Callable[[ChangeSet], None],
        has_groups: bool,
    ) -> None:
        self._source = source
        self._index = index
        self._detector = detector
        self._gates = gates
        self._deferral = deferral
        self._reopening = reopening
        self._seen = seen
        self._commit = commit
        self._has_groups = has_groups

    def compare(self, inspection: Inspection) -> None:
        """Compare an inspection with the index and commit the difference.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint`` of ``Reconciler``.
        """
        entries, gone = inspection.entries, inspection.gone
        rows = self._index.rows([entry.path for entry in entries] + gone)
        self._detector.forget_existing(gone)
        found = self._detector.delete(self._seen([rows[path] for path in gone if path in rows]))
        if self._has_groups:
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

    def compare_links(self) -> None:
        """Inspect every entry that is a link, and commit the differences.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
            Interrupted: See ``checkpoint`` of ``Reconciler``.
        """
        links = self._index.links()
        for start in range(0, len(links), BATCH_ENTRIES):
            self._compare_links(links[start : start + BATCH_ENTRIES])

    def _compare_links(self, paths: Sequence[bytes]) -> None:
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
        self.compare(inspection)
