"""The detector: entries and rows of the index in, changes out. Pure.

An entry is ``modified`` if one of the attributes that its watch compares differs from its row, or
its etag; timestamps are compared for equality, never for order. A different ctime alone is
``modified`` where it is compared, since content may have been replaced and its mtime restored,
unless a notification named nothing but attributes. Any other difference updates the index silently.
The time of an object may lose or gain digits, see ``object_times``.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from watcher.changes.object_times import has_same_time, with_more_digits
from watcher.model import GATE_EXISTING, Change, ChangeSet, ChangeType, Delta, Entry, Row
from watcher.spec import ALL_ATTRIBUTES, Attribute, Compare

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
    INODE = auto()
    CTIME = auto()
    CONTENT = auto()


_MODIFIED = frozenset({Difference.INODE, Difference.CONTENT})
"""Differences that make an entry modified, however they were noticed."""


class Rule:
    """Which attributes of a file are compared.

    Args:
        compare: What the spec asks for.
        has_stable_inodes: Returns whether the inode of the file at a path stays the same, see
            ``Source.has_stable_inodes``.
        has_stable_ctimes: Returns whether its change time does, see ``Source.has_stable_ctimes``.
    """

    def __init__(
        self,
        compare: Compare | None = None,
        has_stable_inodes: Callable[[bytes], bool] = lambda _path: True,
        has_stable_ctimes: Callable[[bytes], bool] = lambda _path: True,
    ) -> None:
        self._compare = compare or Compare()
        self._has_stable_inodes = has_stable_inodes
        self._has_stable_ctimes = has_stable_ctimes

    def attributes(self, path: bytes) -> frozenset[Attribute]:
        """Return the attributes that are compared at a path."""
        chosen = self._compare.attributes
        if not self._compare.is_auto:
            return chosen
        if not self._has_stable_inodes(path):
            chosen -= {Attribute.INODE}
        if not self._has_stable_ctimes(path):
            chosen -= {Attribute.CTIME}
        return chosen

    @property
    def is_content(self) -> bool:
        """Whether digests decide where they are known."""
        return self._compare.is_content

    @property
    def accepts_new_inodes(self) -> bool:
        """Whether inodes that have all changed at once are no change."""
        return self._compare.is_auto


def difference(
    row: Row,
    entry: Entry,
    attributes: frozenset[Attribute] = ALL_ATTRIBUTES,
    *,
    is_content: bool = False,
) -> Difference:
    """Compare an entry with its row.

    Args:
        row: The row.
        entry: An entry at the same path.
        attributes: The attributes that are compared, beside the etag.
        is_content: The etag of a file is a digest, which decides where both have one.
    """
    old = row.entry
    if old == entry:
        return Difference.NONE
    has_etags = bool(old.etag and entry.etag)
    if has_etags and (is_content or entry.is_link):
        # A link with a digest is the key of a ConfigMap: each update replaces the file, perhaps
        # with the same content.
        is_same = (old.size, old.etag) == (entry.size, entry.etag)
        return Difference.SILENT if is_same else Difference.CONTENT
    if (
        (has_etags and old.etag != entry.etag)
        or (old.size != entry.size and Attribute.SIZE in attributes)
        or (
            old.mtime_ns != entry.mtime_ns
            and Attribute.MTIME in attributes
            and not has_same_time(old, entry)
        )
    ):
        return Difference.CONTENT
    if old.inode != entry.inode and Attribute.INODE in attributes:
        is_alone = old._replace(inode=entry.inode) == entry
        return Difference.INODE if is_alone else Difference.CONTENT
    has_new_ctime = old.ctime_ns != entry.ctime_ns and Attribute.CTIME in attributes
    return Difference.CTIME if has_new_ctime else Difference.SILENT


def with_digest_of(row: Row, entry: Entry) -> Entry:
    """Return an entry with the digest of its row, unless it has one of its own."""
    return entry if entry.etag else entry._replace(etag=row.entry.etag)


class ChangeDetector:
    """Compares observations with the index for one watch.

    Args:
        events: The change types to report.
        new_rows: Makes the rows of entries that have none (``Index.new_rows``).
        rule: Which attributes are compared; None compares all.
        is_too_old: Returns whether an entry is too old to be reported when it is first met; None
            if none is.

    Attributes:
        rule: Which attributes are compared.
        reports_missing: An entry that is gone is a change.
        appearance: The meaning of a path without a row; replaced while the first scan runs.
    """

    def __init__(
        self,
        events: Collection[ChangeType],
        new_rows: Callable[[Iterable[Entry]], list[Row]],
        rule: Rule | None = None,
        is_too_old: Callable[[Entry], bool] | None = None,
    ) -> None:
        self._is_too_old = is_too_old
        self._events = frozenset(events)
        self._new_rows = new_rows
        self.rule = rule or Rule()
        self.reports_missing = True
        self.appearance: Callable[[bytes], Appearance] = lambda _path: Appearance.NEW
        self._existing: set[bytes] = set()

    def is_too_old(self, entry: Entry) -> bool:
        """Return whether an entry that is met for the first time is only recorded, for its age."""
        return self._is_too_old is not None and self._is_too_old(entry)

    def meaning(self, entry: Entry, row: Row | None = None) -> Appearance:
        """Return the meaning of an entry that was not reported yet.

        Args:
            entry: The entry.
            row: Its row if it was held back until now; else it is met for the first time.
        """
        if row is None and self._is_too_old is not None and self._is_too_old(entry):
            return Appearance.IGNORED_EXISTING
        return self.appearance(entry.path)

    def only_records(self, entries: Collection[Entry], rows: Mapping[bytes, Row]) -> bool:
        """Return whether entries are all met for the first time, and none is to be reported."""
        return (
            not rows
            and not self._existing
            and all(self.meaning(entry) is Appearance.IGNORED_EXISTING for entry in entries)
        )

    def record(self, entries: Iterable[Entry]) -> ChangeSet:
        """Return the rows of entries that are only recorded; of two with one path the last counts.

        It is what ``compare`` returns of them, at a third of the cost: a first scan may have
        millions.
        """
        new = {entry.path: entry for entry in entries}
        rows = self._new_rows(new.values())
        return ChangeSet(Delta(upserts=rows, created=len(rows)))

    def keep_existing(self, paths: Iterable[bytes]) -> None:
        """Remember which of these paths without a row are existing, until each is reported."""
        for path in paths:
            if len(self._existing) < EXISTING_MAX and self.appearance(path) is Appearance.EXISTING:
                self._existing.add(path)

    def restore_existing(self, changes: Iterable[Change]) -> None:
        """Remember again what existed of changes that could not be committed."""
        for change in changes:
            if change.existing and len(self._existing) < EXISTING_MAX:
                self._existing.add(self._path_of(change))

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
            if row is None or row.is_unreported:
                self._appear(entry, found, row)
            elif row.gate or row.entry != entry:
                self._differ(row, entry, found, silent=entry.path in attributes_only)
        return found

    def whole(self, pages: Iterable[list[Row]]) -> Iterable[list[Row]]:
        """Yield the rows of pages, so that those that are reported in an order are in one page."""
        return pages

    def in_order(self, entries: list[Entry], rows: Mapping[bytes, Row]) -> list[Entry]:  # noqa: ARG002 - of versions
        """Return the entries of rows in the order in which they are to be reported."""
        return entries

    def difference(self, row: Row, entry: Entry) -> Difference:
        """Return how an entry differs from its row in what is compared."""
        attributes = self.rule.attributes(entry.path)
        return difference(row, entry, attributes, is_content=self.rule.is_content)

    def adopt(self, rows: Mapping[bytes, Row], entries: Iterable[Entry]) -> ChangeSet:
        """Return the rows of entries whose differences are no changes; each has a row."""
        found = ChangeSet()
        for entry in entries:
            row = rows[entry.path]
            self._put(row, with_digest_of(row, entry), found)
        return found

    def delete(self, rows: Iterable[Row]) -> ChangeSet:
        """Return the deletion of rows at whose paths nothing is any more."""
        found = ChangeSet()
        for row in rows:
            found.delta.deletes.append(row)
            if not row.is_unreported:
                self._report(found, Change(ChangeType.DELETED, row.entry))
        return found

    def move(self, pairs: Sequence[tuple[Row, Entry]], rows: Mapping[bytes, Row]) -> ChangeSet:
        """Return the changes of paired renames.

        No change takes a path before the entry that was there has left it. Where entries exchanged
        their paths there is no such order: each of these paths is compared with what was there.

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
                self._differ(rows[path], entry, found, silent=False)
                continue
            if old_path not in arriving:
                found.delta.deletes.append(row)
            self._put(rows.get(path), entry, found)
            replaced = None if path in leaving else rows.get(path)
            is_known = replaced is not None and not replaced.is_unreported
            self._report_move(row, entry, found, replaced if is_known else None)
        return found

    def _appear(self, entry: Entry, found: ChangeSet, row: Row | None) -> None:
        appearance = self.meaning(entry, row)
        if entry.path in self._existing:
            self._existing.remove(entry.path)
            appearance = Appearance.EXISTING
        if row is not None and row.gate & GATE_EXISTING:
            appearance = Appearance.EXISTING
        self._put(row, entry, found)
        if appearance is not Appearance.IGNORED_EXISTING:
            change = self._first_change(entry, row)
            existing = appearance is Appearance.EXISTING
            self._report(found, replace(change, existing=True) if existing else change)

    def _differ(self, row: Row, entry: Entry, found: ChangeSet, *, silent: bool) -> None:
        kind = self.difference(row, entry)
        if (kept := with_more_digits(row.entry, entry)) != row.entry or row.gate:
            self._put(row, kept, found)
        if kind in _MODIFIED or (kind is Difference.CTIME and not silent):
            self._report(found, self._next_change(row, entry))

    def _path_of(self, change: Change) -> bytes:
        """Return the path of the row of a change."""
        return change.entry.path

    def _first_change(self, entry: Entry, row: Row | None) -> Change:  # noqa: ARG002 - of versions
        """Return the change of an entry that was not reported before.

        Args:
            entry: The entry.
            row: Its row if it was held back until now.
        """
        return Change(ChangeType.CREATED, entry)

    def _next_change(self, row: Row, entry: Entry) -> Change:  # noqa: ARG002 - of versions
        """Return the change of an entry that differs from what was reported."""
        return Change(ChangeType.MODIFIED, entry)

    def _report_move(self, row: Row, entry: Entry, found: ChangeSet, replaced: Row | None) -> None:
        if ChangeType.MOVED in self._events:
            replaces = replaced is not None
            self._report(
                found,
                Change(ChangeType.MOVED, entry, old_path=row.entry.path, replaces=replaces),
            )
            # The rename itself changes the ctime.
            if self.difference(row, entry) in _MODIFIED:
                self._report(found, Change(ChangeType.MODIFIED, entry))
            return
        # Without ``moved``: one path is gone, and another has new content.
        self._report(found, Change(ChangeType.DELETED, row.entry))
        if replaced is None:
            self._report(found, Change(ChangeType.CREATED, entry))
        elif self.difference(replaced, entry) in {*_MODIFIED, Difference.CTIME}:
            self._report(found, Change(ChangeType.MODIFIED, entry))

    def _put(self, row: Row | None, entry: Entry, found: ChangeSet) -> None:
        found.delta.put(row, self._new_rows((entry,))[0] if row is None else Row(row.id, entry))

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
