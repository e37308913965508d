"""The detector: entries and index rows in, changes out. Pure: it reads no place, no store and no clock.

``modified`` means that size, mtime, inode or etag differ, compared by "differs" and never by "newer". A difference in ctime alone is
``modified`` too, since content may have been replaced with its mtime restored, unless a live hint spoke of attributes only; then, as for
a storage class, the index is updated and nothing is said.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from watcher.model import Change, ChangeSet, ChangeType, Entry, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence


class Appearance(Enum):
    """What it means that an entry is there and has no row."""

    NEW = auto()
    """It was created: report it."""
    EXISTING = auto()
    """It was there before the watch: report it as existing."""
    IGNORED_EXISTING = auto()
    """It was there before the watch: only record it."""


class Difference(Enum):
    """How an entry relates to its row."""

    NONE = auto()
    SILENT = auto()
    CTIME = auto()
    CONTENT = auto()


def difference(row: Row, entry: Entry) -> Difference:
    """Compare an entry with its row."""
    old = row.entry
    if old == entry:
        return Difference.NONE
    if old.etag and entry.is_link:
        # A link whose target carries a digest (a ConfigMap's key): the file is replaced at every update, its content may be the same.
        return (
            Difference.SILENT
            if (old.size, old.etag) == (entry.size, entry.etag)
            else Difference.CONTENT
        )
    if (old.size, old.mtime_ns, old.inode, old.etag) != (
        entry.size,
        entry.mtime_ns,
        entry.inode,
        entry.etag,
    ):
        return Difference.CONTENT
    return Difference.SILENT if old.ctime_ns == entry.ctime_ns else Difference.CTIME


class ChangeDetector:
    """Compares observations with the index for one watch.

    Args:
        events: The change types to report.
        new_row: Makes a row for an entry that has none (``Store.new_row``).

    Attributes:
        appearance: What it means that a path is there and has no row; the watch replaces it while its first scan runs.
    """

    def __init__(self, events: Collection[ChangeType], new_row: Callable[[Entry], Row]) -> None:
        self._events = frozenset(events)
        self._new_row = new_row
        self.appearance: Callable[[bytes], Appearance] = lambda _path: Appearance.NEW

    def seen(
        self,
        rows: Mapping[bytes, Row],
        entries: Iterable[Entry],
        *,
        attributes_only: Collection[bytes] = (),
    ) -> ChangeSet:
        """Return what is different about entries that are there.

        Args:
            rows: The rows of those entries that have one.
            entries: What is there; of two with one path the last counts.
            attributes_only: Paths whose hints spoke of attributes only.
        """
        step = ChangeSet()
        for entry in {entry.path: entry for entry in entries}.values():
            row = rows.get(entry.path)
            if row is None:
                self._appear(entry, step)
            elif row.entry != entry:
                self._differ(row, entry, step, silent=entry.path in attributes_only)
        return step

    def gone(self, rows: Iterable[Row]) -> ChangeSet:
        """Return the deletion of rows whose paths are no longer there."""
        step = ChangeSet()
        for row in rows:
            step.delta.deletes.append(row)
            self._report(step, Change(ChangeType.DELETED, row.entry))
        return step

    def moved(self, pairs: Sequence[tuple[Row, Entry]], rows: Mapping[bytes, Row]) -> ChangeSet:
        """Return what paired renames changed; each row's entry was found again under a new path.

        The changes are ordered so that no entry is reported to take a path before the entry that was there has left it. Where
        entries changed places there is no such order: each of these paths is reported as modified.

        Args:
            pairs: Former rows and the entries that they have become; no path twice on either side.
            rows: The rows of the new paths, where they have one.
        """
        step = ChangeSet()
        leaving = {row.entry.path: entry.path for row, entry in pairs}
        arriving = {entry.path: (row, entry) for row, entry in pairs}
        for row, entry in _in_order(pairs, leaving):
            old_path, path = row.entry.path, entry.path
            if _is_exchanged(path, leaving):
                step.delta.upserts.append(Row(rows[path].id, entry))
                self._report(step, Change(ChangeType.MODIFIED, entry))
                continue
            if old_path not in arriving:
                step.delta.deletes.append(row)
            self._put(rows.get(path), entry, step)
            self._report_move(row, entry, step, replaces=path in rows and path not in leaving)
        return step

    def _appear(self, entry: Entry, step: ChangeSet) -> None:
        appearance = self.appearance(entry.path)
        self._put(None, entry, step)
        if appearance is not Appearance.IGNORED_EXISTING:
            self._report(
                step, Change(ChangeType.CREATED, entry, existing=appearance is Appearance.EXISTING)
            )

    def _differ(self, row: Row, entry: Entry, step: ChangeSet, *, silent: bool) -> None:
        kind = difference(row, entry)
        self._put(row, entry, step)
        if kind is Difference.CONTENT or (kind is Difference.CTIME and not silent):
            self._report(step, Change(ChangeType.MODIFIED, entry))

    def _report_move(self, row: Row, entry: Entry, step: ChangeSet, *, replaces: bool) -> None:
        if ChangeType.MOVED in self._events:
            self._report(step, Change(ChangeType.MOVED, entry, old_path=row.entry.path))
            if (row.entry.size, row.entry.mtime_ns) != (entry.size, entry.mtime_ns):
                self._report(step, Change(ChangeType.MODIFIED, entry))
        else:
            # Who does not ask for moves still learns that one path is gone and another has new content.
            self._report(step, Change(ChangeType.DELETED, row.entry))
            self._report(
                step, Change(ChangeType.MODIFIED if replaces else ChangeType.CREATED, entry)
            )

    def _put(self, row: Row | None, entry: Entry, step: ChangeSet) -> None:
        if row is None:
            step.delta.created += 1
            step.delta.upserts.append(self._new_row(entry))
        else:
            step.delta.upserts.append(Row(row.id, entry))

    def _report(self, step: ChangeSet, change: Change) -> None:
        if change.type in self._events:
            step.changes.append(change)


def _in_order(
    pairs: Sequence[tuple[Row, Entry]], leaving: Mapping[bytes, bytes]
) -> list[tuple[Row, Entry]]:
    """Order moves so that a path is left before it is taken."""
    by_old = {row.entry.path: (row, entry) for row, entry in pairs}
    ordered: list[tuple[Row, Entry]] = []
    placed: set[bytes] = set()
    for row, _ in pairs:
        chain: list[bytes] = []
        path: bytes | None = row.entry.path
        while path is not None and path not in placed:
            placed.add(path)
            chain.append(path)
            path = leaving[path] if leaving[path] in by_old else None
        ordered.extend(by_old[path] for path in reversed(chain))
    return ordered


def _is_exchanged(path: bytes, leaving: Mapping[bytes, bytes]) -> bool:
    """Tell whether the entry at ``path`` went, over any number of renames, to where ``path``'s new entry came from."""
    start, seen = path, set()
    while path in leaving and path not in seen:
        seen.add(path)
        path = leaving[path]
    return path == start and bool(seen)
