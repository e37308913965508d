"""The detector of a bucket whose versions are reported: each version is one change of its key.

The first version of a key is ``created``, and so is the first after a delete marker; a further one
is ``modified``, and a delete marker is ``deleted``. What a version means depends on what was there
before it: the next older version in the listing, the version that it replaced (``null``), or where
the listing has neither, the newest older one in the index. A version that is deleted for good is no
change: its row just leaves the index. Pure.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from watcher.changes.detector import ChangeDetector, Difference
from watcher.clock import NS_PER_S
from watcher.model import Change, ChangeSet, ChangeType
from watcher.versioned import (
    NULL_VERSION,
    is_delete_marker,
    is_superseded,
    join_version,
    key_of,
    key_prefix,
    older_versions,
    split_version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from watcher.model import Entry, Row

KEY_MAX_ROWS = 10_000
"""Number of rows of one key from which they are not kept together, about 5 MB."""


class VersionDetector(ChangeDetector):
    """Compares versions with the index for one watch.

    Args:
        events: The change types to report.
        new_rows: Makes the rows of versions that have none (``Index.new_rows``).
        rows_under: Reads the rows of a key (``Index.rows_under``).
        is_too_old: Returns whether a version is too old to be reported when it is first met; None
            if none is.
    """

    def __init__(
        self,
        events: Collection[ChangeType],
        new_rows: Callable[[Iterable[Entry]], list[Row]],
        rows_under: Callable[[bytes], Iterable[Collection[Row]]],
        is_too_old: Callable[[Entry], bool] | None = None,
    ) -> None:
        super().__init__(events, new_rows, is_too_old=is_too_old)
        self.reports_missing = False
        self._rows_under = rows_under
        self._replaced_rows: Mapping[bytes, Row] = {}

    def compare(
        self,
        rows: Mapping[bytes, Row],
        entries: Iterable[Entry],
        *,
        attributes_only: Collection[bytes] = (),
    ) -> ChangeSet:
        """Return how versions differ from their rows; see ``ChangeDetector.compare``."""
        found = {entry.path: entry for entry in entries}
        self._replaced_rows = {
            path: row for path, row in rows.items() if _is_replaced(row, found.get(path))
        }
        return super().compare(rows, found.values(), attributes_only=attributes_only)

    def whole(self, pages: Iterable[list[Row]]) -> Iterator[list[Row]]:
        """Yield the rows of pages in path order so that no page cuts a key over.

        A key with ``KEY_MAX_ROWS`` is passed on in portions of about as many.
        """
        carried: list[Row] = []
        for page in pages:
            rows = carried + page
            last = key_of(rows[-1].entry.path)
            begin = next(at for at, row in enumerate(rows) if key_of(row.entry.path) == last)
            if len(rows) - begin >= KEY_MAX_ROWS:
                begin = len(rows)
            if begin:
                yield rows[:begin]
            carried = rows[begin:]
        if carried:
            yield carried

    def in_order(self, entries: list[Entry], rows: Mapping[bytes, Row]) -> list[Entry]:
        """Return the versions of rows key by key, the oldest first."""
        return sorted(
            entries,
            key=lambda each: (key_of(each.path), each.mtime_ns, rows[each.path].id),
        )

    def difference(self, row: Row, entry: Entry) -> Difference:
        """Return how a version differs from its row; only a ``null`` version can be another one.

        Stores exist that give a version another time when a newer one replaces it.
        """
        if split_version(entry.path)[1] != NULL_VERSION:
            return Difference.NONE if row.entry == entry else Difference.SILENT
        if is_delete_marker(row.entry) is not is_delete_marker(entry):
            return Difference.CONTENT
        found = super().difference(row, entry)
        if found is Difference.CONTENT and self._has_another_time(row, entry):
            return Difference.SILENT
        return found

    def delete(self, rows: Iterable[Row]) -> ChangeSet:
        """Return the deletion of rows whose versions are gone for good, which is no change."""
        found = ChangeSet()
        found.delta.deletes += rows
        return found

    def _path_of(self, change: Change) -> bytes:
        return join_version(change.entry.path, change.version_id or NULL_VERSION)

    def _first_change(self, entry: Entry, row: Row | None) -> Change:  # noqa: ARG002 - of any entry
        return self._change(entry)

    def _next_change(self, row: Row, entry: Entry) -> Change:  # noqa: ARG002 - of any entry
        return self._change(entry)

    def _change(self, entry: Entry) -> Change:
        """Return the change that a version is."""
        key, version_id = split_version(entry.path)
        former = self._former_versions(entry, key)
        if not is_delete_marker(entry):
            before = next(former, None)
            is_first = before is None or is_delete_marker(before)
            kind = ChangeType.CREATED if is_first else ChangeType.MODIFIED
            return Change(kind, entry._replace(path=key), version_id=version_id)
        last = next((each for each in former if not is_delete_marker(each)), None)
        shown = entry._replace(storage_class="") if last is None else last
        return Change(ChangeType.DELETED, shown._replace(path=key), version_id=version_id)

    def _former_versions(self, entry: Entry, key: bytes) -> Iterator[Entry]:
        """Yield what was at the key of a version before it, the newest first."""
        listed = older_versions(entry)
        older = next(listed, None)
        replaced = self._replaced(entry, key)
        if replaced is not None and (older is None or self._was_newer(replaced, older)):
            yield replaced.entry
        if older is not None:
            yield from chain((older,), listed)
        elif replaced is None:
            yield from self._indexed(entry, key)

    def _replaced(self, entry: Entry, key: bytes) -> Row | None:
        """Return the row of the ``null`` version before a version, which is listed no more."""
        row = self._replaced_rows.get(join_version(key, NULL_VERSION))
        return None if row is None or _is_later(row.entry, entry) else row

    def _has_another_time(self, row: Row, entry: Entry) -> bool:
        """Return whether a ``null`` version that is superseded differs from its row in time alone.

        One that was put again stands above what came after the former one. With nothing between,
        and the same bytes, the two cannot be told apart.
        """
        is_alike = (row.entry.size, row.entry.etag) == (entry.size, entry.etag)
        if not (is_alike and is_superseded(entry)):
            return False
        older = next(older_versions(entry), None)
        return older is None or self._has_been_above(row, older)

    def _was_newer(self, replaced: Row, older: Entry) -> bool:
        """Return whether a version that was replaced was newer than one that is listed."""
        if older.path == replaced.entry.path:
            # It is what has replaced the version.
            return False
        return not _is_later(older, replaced.entry) or self._has_been_above(replaced, older)

    def _has_been_above(self, row: Row, older: Entry) -> bool:
        """Return whether a ``null`` version was listed above a version that was known too.

        Rows of one key are made from the oldest to the newest, and a ``null`` version only moves
        up. Where its row is the older one, the times decide.
        """
        key = key_of(older.path)
        known = next((each for each in self._known(key) if each.entry.path == older.path), None)
        return known is not None and (known.id < row.id or not _is_later(known.entry, row.entry))

    def _known(self, key: bytes) -> Iterator[Row]:
        """Yield the rows of a key."""
        for page in self._rows_under(key_prefix(key)):
            yield from (row for row in page if key_of(row.entry.path) == key)

    def _indexed(self, entry: Entry, key: bytes) -> list[Entry]:
        """Return what the index knows of versions before one, the newest first."""
        known = sorted(self._known(key), key=lambda row: (row.entry.mtime_ns, row.id), reverse=True)
        # Of versions with one time, those whose rows are newer came after it.
        own = next((row.id for row in known if row.entry == entry), None)
        return [
            row.entry
            for row in known
            if row.entry.path != entry.path
            and row.entry.mtime_ns <= entry.mtime_ns
            and (own is None or row.entry.mtime_ns < entry.mtime_ns or row.id < own)
        ]


def _is_replaced(row: Row, entry: Entry | None) -> bool:
    """Return whether the version of a row is there no more, given the one at its path.

    Without one, what was reported is gone or was replaced by one that is held back.
    """
    return not row.is_unreported if entry is None else row.entry != entry


def _is_later(one: Entry, other: Entry) -> bool:
    """Return whether a version is certainly newer than another: some have whole seconds only."""
    return one.mtime_ns // NS_PER_S > other.mtime_ns // NS_PER_S
