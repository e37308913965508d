"""Decides which entries are held back: their marker is not there, or their size is not right.

What is held back has a row with a gate, so that scans meet it, skip it while it is unchanged, and
delete it like any other. A row that was never reported is not there for the detector. One that was
reported keeps what it was reported with, and differs until its newer version may be reported. An
entry that was reported and is unchanged is never held back, whatever becomes of its marker.

Whether a marker is there is what the present reading shows of it, and not what an earlier one did:
a scan that has met it, or else a look at its path. A scan of a bucket does not ask for single keys:
there an entry waits for its end, which evaluates it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from watcher.changes.detector import Appearance, Difference
from watcher.filters.markers import MarkerPattern
from watcher.model import GATE_EXISTING, GATE_REPORTED, ChangeSet, Gate, Row
from watcher.sources.scans import BATCH_ENTRIES
from watcher.versioned import is_delete_marker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from watcher.changes.detector import ChangeDetector
    from watcher.model import Entry
    from watcher.sources.observations import Rename
    from watcher.sources.protocol import Source
    from watcher.spec import Conditions
    from watcher.state.port import Index


class Ids(Protocol):
    """Ids of rows."""

    def __contains__(self, number: int, /) -> bool:
        """Return whether an id is among them."""


ARRIVED_MAX = 10_000
"""Maximum number of markers whose entries are to be evaluated, about 2 MB; above, all are."""

NEWER_MAX = 10_000
"""Maximum number of newer versions that a scan of a bucket keeps until its end, about 5 MB; later
scans meet the others."""


@dataclass(slots=True)
class Sorted:
    """What conditions make of some entries.

    Attributes:
        open: Entries that may be reported, in their order; of two with one path the last.
        found: The rows of the others, and of markers, that are to be written.
        is_settled: All rows are as the entries say, once ``found`` and ``open`` are written.
    """

    open: list[Entry]
    found: ChangeSet = field(default_factory=ChangeSet)
    is_settled: bool = True


def size_gate(conditions: Conditions, entry: Entry) -> Gate | None:
    """Return what holds an entry back for its size; None if nothing does.

    A delete marker has no size, and is never held back.
    """
    if is_delete_marker(entry):
        return None
    if entry.size < conditions.min_size:
        return Gate.TOO_SMALL
    if conditions.max_size is not None and entry.size > conditions.max_size:
        return Gate.TOO_LARGE
    return None


class Gates:
    """The conditions of one watch, and what they hold back. For one thread.

    Args:
        conditions: What an entry must satisfy to be reported.
        source: Looks at markers where that is cheap.
        index: The rows.
        detector: Decides which differences are changes, and what a new entry means.

    Attributes:
        is_outdated: All rows that are held back must be evaluated again when the whole place has
            been scanned: the watch was started, hints were lost, or an entry is not complete.
    """

    def __init__(
        self,
        conditions: Conditions,
        source: Source,
        index: Index,
        detector: ChangeDetector,
    ) -> None:
        self.is_outdated = True
        self._conditions = conditions
        self._markers = None if conditions.marker is None else MarkerPattern(conditions.marker)
        self._source = source
        self._index = index
        self._detector = detector
        self._has_conditions = bool(
            conditions.min_size or conditions.max_size is not None or self._markers
        )
        self._arrived: dict[bytes, None] = {}
        self._is_overfull = False
        self._newer: dict[bytes, Entry] = {}

    @property
    def is_active(self) -> bool:
        """Whether anything is held back, or may be."""
        return self._has_conditions or bool(self._index.gates)

    @property
    def has_arrivals(self) -> bool:
        """Whether markers came whose entries were not evaluated yet."""
        return self._is_overfull or bool(self._arrived)

    def is_marker(self, path: bytes) -> bool:
        """Return whether a path is that of a marker."""
        return self._markers is not None and self._markers.is_marker(path)

    def is_marker_moved(self, rename: Rename) -> bool:
        """Return whether a rename takes a marker away, or makes one."""
        return self.is_marker(rename.old_path) or self.is_marker(rename.path)

    def begin_scan(self) -> None:
        """Forget what an earlier scan has kept until its end."""
        self._newer.clear()

    def sort(
        self,
        entries: Iterable[Entry],
        rows: Mapping[bytes, Row],
        met: Ids | None = None,
        attributes_only: Collection[bytes] = (),
        *,
        is_last: bool = False,
    ) -> Sorted:
        """Return which entries may be reported, and the rows of the others.

        Args:
            entries: Entries that differ from the index, or were inspected.
            rows: Their rows, as far as there are any.
            met: Ids of rows that the present scan has met; None for entries that were inspected.
            attributes_only: As in ``Inspection``.
            is_last: The scan is over: a marker that it has not met is not there.
        """
        found = {entry.path: entry for entry in entries}
        gates = self._gates(found, rows, met, attributes_only, is_last=is_last)
        result = Sorted([])
        for entry, gate in gates:
            row = rows.get(entry.path)
            if gate is None:
                result.open.append(entry)
            elif gate is Gate.MARKER:
                self._arrive(entry.path)
                self._put(row, entry, gate, result.found)
            else:
                result.is_settled &= self._hold_back(row, entry, gate, result.found)
        return result

    def candidates(self, *, is_scanned: bool = False) -> Iterator[list[Row]]:
        """Yield the rows that may be open now, in pages; they are not yielded again.

        Args:
            is_scanned: The whole place has just been scanned.
        """
        if self._is_overfull or (is_scanned and self.is_outdated):
            self._is_overfull = self.is_outdated = False
            self._arrived.clear()
            pages = self._index.gated_under(b"")
        else:
            arrived, self._arrived = list(self._arrived), {}
            pages = self._opened_by(arrived)
        for page in pages:
            if rows := self._promising([row for row in page if row.gate != Gate.MARKER]):
                yield rows

    def would_hold_back(self, entries: Iterable[Entry]) -> set[bytes]:
        """Return the paths of those of some entries that conditions would hold back anywhere."""
        gates = self._gates({entry.path: entry for entry in entries}, {}, ())
        return {entry.path for entry, gate in gates if gate is not None}

    def newest(self, rows: Iterable[Row]) -> list[Entry]:
        """Return the entries of rows as the scan that ends has met them.

        Newer versions of reported entries are known as far as there was room.
        """
        return [
            self._newer.get(row.entry.path, row.entry)
            for row in rows
            if row.is_unreported or row.entry.path in self._newer
        ]

    def _gates(
        self,
        entries: Mapping[bytes, Entry],
        rows: Mapping[bytes, Row],
        met: Ids | None,
        attributes_only: Collection[bytes] = (),
        *,
        is_last: bool = False,
    ) -> Iterator[tuple[Entry, Gate | None]]:
        """Yield entries, each with what holds it back; None if nothing does."""
        found: dict[bytes, Gate | None] = {}
        waiting: list[bytes] = []
        read: set[bytes] = set()
        for path, entry in entries.items():
            if self.is_marker(path):
                found[path] = Gate.MARKER
                read.add(path)
            elif self._is_exempt(rows.get(path), entry, attributes_only):
                found[path] = None
            else:
                found[path] = size_gate(self._conditions, entry)
                if found[path] is None and self._markers is not None:
                    waiting.append(path)
        if self._markers is not None and waiting:
            found.update(self._await_markers(self._markers, waiting, read, met, is_last=is_last))
        for path, gate in found.items():
            yield entries[path], gate

    def _is_exempt(self, row: Row | None, entry: Entry, attributes_only: Collection[bytes]) -> bool:
        """Return whether there is nothing to report of an entry that could be held back."""
        if row is None:
            return self._detector.is_too_old(entry)
        if row.is_unreported:
            return False
        kind = self._detector.difference(row, entry)
        return kind in {Difference.NONE, Difference.SILENT} or (
            kind is Difference.CTIME and entry.path in attributes_only
        )

    def _await_markers(
        self,
        markers: MarkerPattern,
        paths: Sequence[bytes],
        read: AbstractSet[bytes],
        met: Ids | None,
        *,
        is_last: bool,
    ) -> dict[bytes, Gate | None]:
        """Return the gates of entries whose sizes are right.

        Args:
            markers: The names of markers.
            paths: The paths of these entries.
            read: The markers that were read with them.
            met: See ``sort``.
            is_last: See ``sort``.
        """
        awaited = {path: markers.markers_of(path) for path in paths}
        names = {marker for each in awaited.values() for marker in each} - read
        rows = [
            row
            for row in self._index.rows(list(names)).values()
            if row.gate == Gate.MARKER and not (row.is_hidden and self._source.volumes)
        ]
        there = {row.entry.path for row in rows if met is not None and row.id in met}
        unmet = [row.entry.path for row in rows if row.entry.path not in there]
        if unmet and (met is None or self._source.has_cheap_inspection):
            there |= {entry.path for entry in self._source.inspect(unmet).entries}
            unmet = []
        there |= read
        gates: dict[bytes, Gate | None] = {}
        unknown = frozenset(unmet)
        for path, each in awaited.items():
            gates[path] = None if not there.isdisjoint(each) else Gate.NO_MARKER
            if unknown and not is_last and gates[path] is not None:
                # The end of the scan shows whether it is there.
                for marker in unknown.intersection(each):
                    self._arrive(marker)
        return gates

    def _arrive(self, marker: bytes) -> None:
        """Have the entries of a marker evaluated."""
        if len(self._arrived) < ARRIVED_MAX:
            self._arrived[marker] = None
        else:
            self._is_overfull = True

    def _hold_back(self, row: Row | None, entry: Entry, gate: Gate, found: ChangeSet) -> bool:
        """Add the row of an entry that is held back; return whether it is as the entry says."""
        if row is None:
            is_existing = self._detector.appearance(entry.path) is Appearance.EXISTING
            self._put(None, entry, gate | (GATE_EXISTING if is_existing else 0), found)
        elif row.is_unreported:
            self._put(row, entry, gate | (row.gate & GATE_EXISTING), found)
        else:
            if not self._source.has_cheap_inspection and len(self._newer) < NEWER_MAX:
                self._newer[entry.path] = entry
            self._put(row, row.entry, gate | GATE_REPORTED, found)
            return False
        return True

    def _put(self, row: Row | None, entry: Entry, gate: int, found: ChangeSet) -> None:
        id_ = self._index.new_row(entry).id if row is None else row.id
        if (new := Row(id_, entry, int(gate))) != row:
            found.delta.put(row, new)

    def _opened_by(self, arrived: Sequence[bytes]) -> Iterator[list[Row]]:
        """Yield the rows with a gate of the entries that some markers belong to."""
        if (markers := self._markers) is None:
            return
        if markers.is_single:
            for start in range(0, len(arrived), BATCH_ENTRIES):
                paths = [
                    markers.opened_prefix(each) for each in arrived[start : start + BATCH_ENTRIES]
                ]
                yield [row for row in self._index.rows(paths).values() if row.gate]
            return
        for marker in arrived:
            for page in self._index.gated_under(markers.opened_prefix(marker)):
                yield [row for row in page if markers.opens(marker, row.entry.path)]

    def _promising(self, rows: Sequence[Row]) -> list[Row]:
        """Return those rows that may have another gate now, by what the index says of them."""
        by_path = {row.entry.path: row for row in rows}
        entries = {row.entry.path: row.entry for row in rows}
        gates = self._gates(entries, by_path, _All())
        return [
            row
            for entry, gate in gates
            if (row := by_path[entry.path]).gate & ~(GATE_EXISTING | GATE_REPORTED) != gate
        ]


class _All:
    """All numbers."""

    def __contains__(self, number: object) -> bool:
        return True
