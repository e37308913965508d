"""The groups of one watch in the database: those that have changed, and the changes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import GATE_REPORTED, HIDDEN, ChangeType, GroupCounts, group_prefix
from watcher.state.group_port import ChangedGroup, GroupTotals
from watcher.state.postgres.arrays import bytea_array, float8_array, int2_array
from watcher.state.postgres.keys import PATH, key_of, keys_of, long_paths, under
from watcher.state.postgres.session import one
from watcher.state.postgres.steps import Part
from watcher.state.rows import PAGE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from watcher.model import GroupDelta
    from watcher.state.postgres.session import Session

_CREATED, _MODIFIED, _DELETED = 1, 2, 3
_NEW, _GONE = ChangeType.CREATED, ChangeType.DELETED

_NOTE = f"""
    INSERT INTO watcher.group_change AS former (watch, path, long_path, kind)
    SELECT $1, new.* FROM unnest(?::bytea[], ?::bytea[], ?::int2[]) AS new
    ON CONFLICT (watch, path) DO UPDATE SET kind = CASE
        WHEN excluded.kind = {_DELETED} THEN
            CASE WHEN former.kind <= {_CREATED} THEN 0 ELSE {_DELETED} END
        WHEN former.kind = {_DELETED} THEN {_MODIFIED}
        ELSE former.kind END
"""  # noqa: S608 - only constants
"""Makes one change of the former and the new one; 0 for none. Twice the same is once."""

_DROP_NONE = """
    DELETE FROM watcher.group_change WHERE watch = $1 AND path = ANY(?::bytea[]) AND kind = 0
"""
_FORGET = "DELETE FROM watcher.group_change WHERE watch = $1 AND path = ANY(?::bytea[])"
_FORGET_GROUPS = "DELETE FROM watcher.changed_group WHERE watch = $1"
_FORGET_GROUP = f"{_FORGET_GROUPS} AND path = ?"
_LATEST_DUE = "UPDATE watcher.changed_group SET due = ? WHERE watch = $1 AND due > ?"
_SET_DUE = """
    INSERT INTO watcher.changed_group (watch, path, long_path, due)
    SELECT $1, new.* FROM unnest(?::bytea[], ?::bytea[], ?::float8[]) AS new
    ON CONFLICT (watch, path) DO UPDATE SET due = excluded.due
"""
_TOUCH = """
    UPDATE watcher.changed_group SET due = touched.due
    FROM unnest(?::bytea[], ?::float8[]) AS touched (path, due)
    WHERE watch = $1 AND changed_group.path = touched.path AND changed_group.due IS NOT NULL
"""
_DUE = f"""
    SELECT {PATH}, due FROM watcher.changed_group
    WHERE watch = $1 AND due <= ? AND (due, path) > (?, ?)
    ORDER BY due, changed_group.path LIMIT ?
"""  # noqa: S608 - only constants
_FIRST_DUE = f"""
    SELECT {PATH}, due FROM watcher.changed_group WHERE watch = $1 AND due IS NOT NULL
    ORDER BY due, changed_group.path LIMIT ?
"""  # noqa: S608 - only constants
_NOT_DUE = f"""
    SELECT {PATH}, due FROM watcher.changed_group WHERE watch = $1 AND due IS NULL
    ORDER BY changed_group.path LIMIT ?
"""  # noqa: S608 - only constants
_NEXT_DUE = "SELECT min(due) FROM watcher.changed_group WHERE watch = $1 AND due > ?"
_NUMBER = "SELECT count(*) FROM watcher.changed_group WHERE watch = $1"
_KNOWN = f"SELECT {PATH} FROM watcher.changed_group WHERE watch = $1 AND path = ANY(?::bytea[])"  # noqa: S608 - only constants
_ENTRIES = f"""
    SELECT count(*), least(coalesce(sum(size), 0), {(1 << 63) - 1})::int8,
        coalesce(max(mtime_ns), 0)
    FROM watcher.entry
    WHERE watch = $1 AND storage_class <> '{HIDDEN}' AND (gate = 0 OR gate & {GATE_REPORTED} <> 0)
"""  # noqa: S608 - only constants; larger sizes are no number that JSON decoders can be given
_BY_KIND = "SELECT kind, count(*) FROM watcher.group_change WHERE watch = $1"
_CHANGED_PATHS = f"""
    SELECT {PATH} FROM watcher.group_change WHERE watch = $1 AND path > ?
    ORDER BY group_change.path LIMIT {PAGE_ROWS}
"""  # noqa: S608 - only constants


class PostgresGroups:
    """The groups of one watch; implements ``group_port.Groups``.

    Args:
        session: The way to the database.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def due(self, until_s: float, after: ChangedGroup | None, *, limit: int) -> list[ChangedGroup]:
        """Return groups that are due, by time and path; see ``group_port.Groups``."""
        path, due_s = (b"", -1.0) if after is None else after
        rows = self._session.read(_DUE, until_s, due_s, key_of(path), limit)
        return [ChangedGroup._make(row) for row in rows]

    def next_due_s(self, after_s: float) -> float | None:
        """Return when the first group is due after a time; None if there is none."""
        (due_s,) = one(self._session.read(_NEXT_DUE, after_s))
        return None if due_s is None else float(due_s)

    def changed(self, *, limit: int) -> tuple[int, list[ChangedGroup]]:
        """Return the number of groups that have changed, and those that are due first."""
        with self._session.guarded():
            (count,) = one(self._session.read(_NUMBER))
            rows = self._session.read(_FIRST_DUE, limit)
            rows += self._session.read(_NOT_DUE, limit - len(rows))
        return int(count), [ChangedGroup._make(row) for row in rows]

    def known(self, groups: Iterable[bytes]) -> set[bytes]:
        """Return those of some groups that have changed."""
        return {path for (path,) in self._session.read(_KNOWN, bytea_array(keys_of([*groups])))}

    def totals(self, group: bytes) -> GroupTotals:
        """Count the entries of a group that are in the index, and its changes."""
        within, values = under(group_prefix(group))
        with self._session.guarded():
            entries, size, mtime_ns = one(self._session.read(f"{_ENTRIES} AND {within}", *values))
            rows = self._session.read(f"{_BY_KIND} AND {within} GROUP BY kind", *values)
        by_kind: dict[int, int] = dict(rows)
        counts = (by_kind.get(kind, 0) for kind in (_CREATED, _MODIFIED, _DELETED))
        return GroupTotals(size, mtime_ns, GroupCounts(entries, *counts))

    def changed_paths(self) -> Iterator[list[bytes]]:
        """Yield the paths of all entries with changes, in pages and in order."""
        after = b""
        while page := [path for (path,) in self._session.read(_CHANGED_PATHS, after)]:
            yield page
            after = key_of(page[-1])

    # Writing, as parts of a step of the store, done in order

    def parts(self, delta: GroupDelta) -> Iterator[Part]:
        """Yield what writes a delta; the parts may write the same rows, one after the other."""
        if delta.is_regrouped:
            yield Part(_FORGET_GROUPS)
        if delta.latest_due_s is not None:
            yield Part(_LATEST_DUE, (delta.latest_due_s,) * 2)
        if delta.changes:
            yield from _note(delta.changes)
        if delta.due:
            yield Part(_SET_DUE, (*_paths(delta.due), float8_array([*delta.due.values()])))
        if delta.touched:
            keys = bytea_array(keys_of(delta.touched))
            yield Part(_TOUCH, (keys, float8_array([*delta.touched.values()])))
        if delta.forgotten:
            yield Part(_FORGET, (bytea_array(keys_of(delta.forgotten)),))
        for group in delta.completed:
            within, values = under(group_prefix(group))
            yield Part(
                f"DELETE FROM watcher.group_change WHERE watch = $1 AND {within}",  # noqa: S608 - only constants
                values,
            )
            yield Part(_FORGET_GROUP, (key_of(group),))


def _note(changes: Mapping[bytes, ChangeType]) -> Iterator[Part]:
    # Compared by identity, since the hash of an enum costs as much as all else here.
    kinds = [
        _DELETED if kind is _GONE else _CREATED if kind is _NEW else _MODIFIED
        for kind in changes.values()
    ]
    yield Part(_NOTE, (*_paths(changes), int2_array(kinds)))
    gone = [path for path, kind in changes.items() if kind is _GONE]
    if gone:
        yield Part(_DROP_NONE, (bytea_array(keys_of(gone)),))


def _paths(paths: Iterable[bytes]) -> tuple[bytes, bytes]:
    paths = list(paths)
    return bytea_array(keys_of(paths)), bytea_array(long_paths(paths))
