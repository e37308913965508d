"""The detector: entries and rows of the index in, changes out. Pure.

An entry is ``modified`` if its size, mtime, inode or etag differs from its row; timestamps are
compared for equality, never for order. A different ctime alone is ``modified`` too, since content
may have been replaced and its mtime restored, unless a notification named nothing but attributes.
In that case, and for a different storage class, the index is updated silently.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from watcher.model import Change, ChangeSet, ChangeType, Entry, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence


class Appearance(Enum):
    """The meaning of an entry that has no row."""

    NEW = auto()
    """It was created: report it."""
    EXISTING = auto()
    """It is older than the watch: report it as existing."""
    IGNORED_EXISTING = auto()
    """It is older than the watch: only record it."""


EXISTING_MAX = 100_000
"""Maximum number of paths remembered as existing until they are complete; further ones are new."""


class Difference(Enum):
    """How an entry differs from its row."""

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
        # The key of a ConfigMap: each update replaces the file, perhaps with the same content.
        is_same = (old.size, old.etag) == (entry.size, entry.etag)
        return Difference.SILENT if is_same else Difference.CONTENT
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
        new_row: Makes a row for an entry that has none (``Index.new_row``).

    Attributes:
        appearance: The meaning of a path without a row; replaced while the first scan runs.
    """

    def __init__(self, events: Collection[ChangeType], new_row: Callable[[Entry], Row]) -> None:
        self._events = frozenset(events)
        self._new_row = new_row
        self.appearance: Callable[[bytes], Appearance] = lambda _path: Appearance.NEW
        self._existing: set[bytes] = set()

    def keep_existing(self, paths: Iterable[bytes]) -> None:
        """Remember which of these paths without a row are existing, until each is reported."""
        for path in paths:
            if len(self._existing) < EXISTING_MAX and self.appearance(path) is Appearance.EXISTING:
                self._existing.add(path)

    def forget_existing(self, paths: Iterable[bytes]) -> None:
        """Forget that something existed at paths at which nothing is any more."""
        if self._existing:
            self._existing.difference_update(paths)

    def compare(
        self,
        rows: Mapping[bytes, Row],
        entries: Iterable[Entry],
        *,
        attributes_only: Collection[bytes] = (),
    ) -> ChangeSet:
        """Return how entries differ from their rows.

        Args:
            rows: The rows of the entries that have one.
            entries: The entries; of two with one path the last counts.
            attributes_only: Paths whose notifications named nothing but attributes.
        """
        found = ChangeSet()
        for entry in {entry.path: entry for entry in entries}.values():
            row = rows.get(entry.path)
            if row is None:
                self._appear(entry, found)
            elif row.entry != entry:
                self._differ(row, entry, found, silent=entry.path in attributes_only)
        return found

    def delete(self, rows: Iterable[Row]) -> ChangeSet:
        """Return the deletion of rows at whose paths nothing is any more."""
        found = ChangeSet()
        for row in rows:
            found.delta.deletes.append(row)
            self._report(found, Change(ChangeType.DELETED, row.entry))
        return found

    def move(self, pairs: Sequence[tuple[Row, Entry]], rows: Mapping[bytes, Row]) -> ChangeSet:
        """Return the changes of paired renames.

        No change takes a path before the entry that was there has left it. Where entries exchanged
        their paths there is no such order: each of these paths is reported as modified.

        Args:
            pairs: Rows under their old paths, each with its entry under the new path; no path
                occurs twice on either side.
            rows: The rows of the new paths, where they have one.
        """
        found = ChangeSet()
        leaving = {row.entry.path: entry.path for row, entry in pairs}
        arriving = {entry.path: (row, entry) for row, entry in pairs}
        for row, entry in _in_order(pairs, leaving):
            old_path, path = row.entry.path, entry.path
            if _is_exchanged(path, leaving):
                found.delta.upserts.append(Row(rows[path].id, entry))
                self._report(found, Change(ChangeType.MODIFIED, entry))
                continue
            if old_path not in arriving:
                found.delta.deletes.append(row)
            self._put(rows.get(path), entry, found)
            self._report_move(row, entry, found, replaces=path in rows and path not in leaving)
        return found

    def _appear(self, entry: Entry, found: ChangeSet) -> None:
        appearance = self.appearance(entry.path)
        if entry.path in self._existing:
            self._existing.remove(entry.path)
            appearance = Appearance.EXISTING
        self._put(None, entry, found)
        if appearance is not Appearance.IGNORED_EXISTING:
            existing = appearance is Appearance.EXISTING
            self._report(found, Change(ChangeType.CREATED, entry, existing=existing))

    def _differ(self, row: Row, entry: Entry, found: ChangeSet, *, silent: bool) -> None:
        kind = difference(row, entry)
        self._put(row, entry, found)
        if kind is Difference.CONTENT or (kind is Difference.CTIME and not silent):
            self._report(found, Change(ChangeType.MODIFIED, entry))

    def _report_move(self, row: Row, entry: Entry, found: ChangeSet, *, replaces: bool) -> None:
        if ChangeType.MOVED in self._events:
            self._report(found, Change(ChangeType.MOVED, entry, old_path=row.entry.path))
            if (row.entry.size, row.entry.mtime_ns) != (entry.size, entry.mtime_ns):
                self._report(found, Change(ChangeType.MODIFIED, entry))
        else:
            # Without ``moved``: one path is gone, and another has new content.
            self._report(found, Change(ChangeType.DELETED, row.entry))
            self._report(
                found, Change(ChangeType.MODIFIED if replaces else ChangeType.CREATED, entry)
            )

    def _put(self, row: Row | None, entry: Entry, found: ChangeSet) -> None:
        if row is None:
            found.delta.created += 1
            found.delta.upserts.append(self._new_row(entry))
        else:
            found.delta.upserts.append(Row(row.id, entry))

    def _report(self, found: ChangeSet, change: Change) -> None:
        if change.type in self._events:
            found.changes.append(change)


def _in_order(
    pairs: Sequence[tuple[Row, Entry]], leaving: Mapping[bytes, bytes]
) -> list[tuple[Row, Entry]]:
    """Order renames so that a path is left before it is taken."""
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
    """Return whether a path is on a cycle of renames, so that entries exchanged their paths."""
    start, seen = path, set()
    while path in leaving and path not in seen:
        seen.add(path)
        path = leaving[path]
    return path == start and bool(seen)
