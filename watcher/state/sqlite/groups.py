"""The groups of one watch in its state file: those that have changed, and the changes of each."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from watcher.model import GATE_REPORTED, HIDDEN, ChangeType, GroupCounts, group_prefix
from watcher.state.group_port import ChangedGroup, GroupTotals
from watcher.state.rows import PAGE_ROWS, range_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from watcher.model import GroupDelta
    from watcher.state.sqlite.database import Database

_CREATED, _MODIFIED, _DELETED = 1, 2, 3
_NEW, _GONE = ChangeType.CREATED, ChangeType.DELETED

NOTE_ROWS = 256
"""Rows that one statement writes: far cheaper than as many statements."""

_ADD_UP = f"""
    ON CONFLICT (path) DO UPDATE SET kind = CASE
        WHEN excluded.kind = {_DELETED} THEN iif(kind <= {_CREATED}, 0, {_DELETED})
        WHEN kind = {_DELETED} THEN {_MODIFIED}
        ELSE kind END
"""
"""Makes one change of the former and the new one; 0 for none. Twice the same is once."""

_DROP_NONE = "DELETE FROM group_change WHERE path = ? AND kind = 0"
_SET_DUE = """
    INSERT INTO changed_group VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET due = excluded.due
"""
_TOUCH = "UPDATE changed_group SET due = ? WHERE path = ? AND due IS NOT NULL"
_DUE = """
    SELECT path, due FROM changed_group
    WHERE due <= ? AND (due, path) > (?, ?) ORDER BY due, path LIMIT ?
"""
_FIRST_DUE = """
    SELECT path, due FROM changed_group WHERE due IS NOT NULL ORDER BY due, path LIMIT ?
"""
_NOT_DUE = "SELECT path, due FROM changed_group WHERE due IS NULL ORDER BY path LIMIT ?"
_ENTRIES = f"""
    SELECT count(*), sum(size >> 32), sum(size & 0xffffffff), max(mtime_ns) FROM entry
    WHERE storage_class <> '{HIDDEN}' AND (gate = 0 OR gate & {GATE_REPORTED})
"""  # noqa: S608 - only constants; in two sums, since sizes that a store invents may overflow one
_MAX_SIZE = (1 << 63) - 1
"""Maximum of a total size in bytes: larger ones are no number that JSON decoders can be given."""


class SqliteGroups:
    """The groups of one state file; implements ``group_port.Groups``.

    Args:
        db: The file.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def due(self, until_s: float, after: ChangedGroup | None, *, limit: int) -> list[ChangedGroup]:
        """Return groups that are due, by time and path; see ``group_port.Groups``."""
        path, due_s = (b"", -1.0) if after is None else after
        with self._db.guarded():
            rows = self._db.execute(_DUE, (until_s, due_s, path, limit)).fetchall()
        return [ChangedGroup._make(row) for row in rows]

    def next_due_s(self, after_s: float) -> float | None:
        """Return when the first group is due after a time; None if there is none."""
        with self._db.guarded():
            (due_s,) = self._db.execute(
                "SELECT min(due) FROM changed_group WHERE due > ?", (after_s,)
            ).fetchone()
        return None if due_s is None else float(due_s)

    def changed(self, *, limit: int) -> tuple[int, list[ChangedGroup]]:
        """Return the number of groups that have changed, and those that are due first."""
        with self._db.guarded():
            (count,) = self._db.execute("SELECT count(*) FROM changed_group").fetchone()
            rows = self._db.execute(_FIRST_DUE, (limit,)).fetchall()
            rows += self._db.execute(_NOT_DUE, (limit - len(rows),)).fetchall()
        return int(count), [ChangedGroup._make(row) for row in rows]

    def known(self, groups: Iterable[bytes]) -> set[bytes]:
        """Return those of some groups that have changed."""
        query = "SELECT 1 FROM changed_group WHERE path = ?"
        with self._db.guarded():
            return {path for path in groups if self._db.execute(query, (path,)).fetchone()}

    def totals(self, group: bytes) -> GroupTotals:
        """Count the entries of a group that are in the index, and its changes."""
        within, values = _within(group)
        changes = f"SELECT kind, count(*) FROM group_change WHERE {within} GROUP BY kind"  # noqa: S608 - only constants
        with self._db.guarded():
            entries, high, low, mtime_ns = self._db.execute(
                f"{_ENTRIES} AND {within}", values
            ).fetchone()
            by_kind = dict(self._db.execute(changes, values).fetchall())
        counts = (by_kind.get(kind, 0) for kind in (_CREATED, _MODIFIED, _DELETED))
        size = ((high or 0) << 32) + (low or 0)
        return GroupTotals(min(size, _MAX_SIZE), mtime_ns or 0, GroupCounts(entries, *counts))

    def changed_paths(self) -> Iterator[list[bytes]]:
        """Yield the paths of all entries with changes, in pages and in order."""
        query = "SELECT path FROM group_change WHERE path > ? ORDER BY path LIMIT ?"
        after = b""
        while True:
            with self._db.guarded():
                page = [path for (path,) in self._db.execute(query, (after, PAGE_ROWS)).fetchall()]
            if not page:
                return
            yield page
            after = page[-1]

    def write(self, delta: GroupDelta) -> None:
        """Write a delta within the caller's transaction."""
        db = self._db
        if delta.is_regrouped:
            db.execute("DELETE FROM changed_group")
        if delta.latest_due_s is not None:
            db.execute("UPDATE changed_group SET due = ? WHERE due > ?", (delta.latest_due_s,) * 2)
        if delta.changes:
            self._note(delta.changes)
        db.executemany(_SET_DUE, delta.due.items())
        db.executemany(_TOUCH, [(due_s, path) for path, due_s in delta.touched.items()])
        db.executemany(
            "DELETE FROM group_change WHERE path = ?", [(path,) for path in delta.forgotten]
        )
        for group in delta.completed:
            within, values = _within(group)
            db.execute(f"DELETE FROM group_change WHERE {within}", values)  # noqa: S608 - only constants
            db.execute("DELETE FROM changed_group WHERE path = ?", (group,))

    def _note(self, changes: Mapping[bytes, ChangeType]) -> None:
        # Compared by identity, since the hash of an enum costs as much as all else here.
        rows = [
            (path, _DELETED if kind is _GONE else _CREATED if kind is _NEW else _MODIFIED)
            for path, kind in changes.items()
        ]
        for start in range(0, len(rows), NOTE_ROWS):
            part = rows[start : start + NOTE_ROWS]
            # sqlite3 caches compiled statements by text: repeating the last row up to a power of
            # two keeps the number of texts small.
            part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
            self._db.execute(_note_statement(len(part)), [value for row in part for value in row])
        self._db.executemany(_DROP_NONE, [(path,) for path, kind in rows if kind == _DELETED])


@cache
def _note_statement(rows: int) -> str:
    return f"INSERT INTO group_change VALUES {','.join(['(?, ?)'] * rows)} {_ADD_UP}"  # noqa: S608 - only marks and constants


def _within(group: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return the condition that a path lies in a group, and its values."""
    prefix = group_prefix(group)
    end = range_end(prefix)
    return ("path >= ?", (prefix,)) if end is None else ("path >= ? AND path < ?", (prefix, end))
