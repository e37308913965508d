"""The index: the rows of one watch in its state file, which say what its place held when it was last looked at.

It is written within a transaction of the store, together with what is said about the difference. Knows no payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.model import Entry, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.model import Delta
    from watcher.state.sqlite.database import Database

PAGE_ROWS = 1000
"""Rows that a paged reading of the index fetches at once."""

FIND_ROWS = 1024
"""Paths that are asked for at once; SQLite takes 32,766 unless it was built to take more."""

SPARSE_FACTOR = 8
"""A file whose ids are so many times the number of its rows is numbered afresh when it is opened."""

_COLUMNS = "id, path, size, mtime_ns, ctime_ns, inode, etag, storage_class, is_link"
_UPSERT = f"""INSERT INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
    inode = excluded.inode, etag = excluded.etag, storage_class = excluded.storage_class, is_link = excluded.is_link"""  # noqa: S608


class Index:
    """The rows of one state file.

    Every method may raise ``StateError`` when the file cannot be read or written.

    Args:
        db: The file.

    Attributes:
        entries: How many rows there are.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        with db.guarded():
            self.entries: int
            self._next_id: int
            self.entries, self._next_id = db.execute(
                "SELECT entries, next_id FROM counters"
            ).fetchone()
        if self._next_id > SPARSE_FACTOR * (self.entries + PAGE_ROWS):
            self._renumber()

    def new_row(self, entry: Entry) -> Row:
        """Return a row for an entry that is not in the index, with an id of its own; nothing is written."""
        row = Row(self._next_id, entry)
        self._next_id += 1
        return row

    @property
    def id_limit(self) -> int:
        """All ids of rows are below this."""
        return self._next_id

    def rows(self, paths: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those paths that are in the index."""
        return {path: _row(values) for path, values in self._find(paths).items()}

    def rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows whose path begins with ``prefix`` (empty: all) in pages, in order; rows may be changed between pages."""
        for page in self._pages(_COLUMNS, prefix):
            yield [_row(values) for values in page]

    def paths_under(self, prefix: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """Yield ids and paths of those rows, likewise; much cheaper than the rows."""
        return self._pages("id, path", prefix)

    def _pages(self, columns: str, prefix: bytes) -> Iterator[list[Any]]:
        after, end = prefix, _range_end(prefix)
        condition = "path >= ?" if end is None else "path >= ? AND path < ?"
        query = f"SELECT {columns} FROM entry WHERE {condition} ORDER BY path LIMIT {PAGE_ROWS}"  # noqa: S608 - only constants
        while True:
            with self._db.guarded():
                page = self._db.execute(query, (after,) if end is None else (after, end)).fetchall()
            if not page:
                return
            yield page
            after = page[-1][1] + b"\0"

    def met(self, entries: Sequence[Entry]) -> tuple[list[int], dict[bytes, Row], list[Entry]]:
        """Compare entries with their rows, at a fraction of the cost of ``rows`` where few of them differ.

        Returns:
            The ids of all their rows; the rows that differ, by path; the entries that differ or have no row.
        """
        found = self._find([entry.path for entry in entries])
        differing = [
            entry
            for entry in entries
            if (values := found.get(entry.path)) is None or values[1:] != entry
        ]
        rows = {entry.path: _row(found[entry.path]) for entry in differing if entry.path in found}
        return [values[0] for values in found.values()], rows, differing

    def _find(self, paths: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        found: dict[bytes, tuple[Any, ...]] = {}
        with self._db.guarded():
            for start in range(0, len(paths), FIND_ROWS):
                part = [*paths[start : start + FIND_ROWS]]
                # The library keeps each text of a statement compiled: so there are few, and what is missing in one is asked for twice.
                part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
                query = f"SELECT {_COLUMNS} FROM entry WHERE path IN ({','.join('?' * len(part))})"  # noqa: S608 - only marks
                found.update(
                    (values[1], values) for values in self._db.execute(query, part).fetchall()
                )
        return found

    def links(self) -> list[bytes]:
        """Return the paths of the entries that are symbolic links."""
        with self._db.guarded():
            return [
                path
                for (path,) in self._db.execute("SELECT path FROM entry WHERE is_link").fetchall()
            ]

    def write(self, delta: Delta) -> int:
        """Write what has changed, within the caller's transaction, and return how many rows there are when it is durable."""
        if delta.deletes:
            self._db.executemany(
                "DELETE FROM entry WHERE path = ?", [(row.entry.path,) for row in delta.deletes]
            )
        if delta.upserts:
            self._db.executemany(_UPSERT, [(row.id, *row.entry) for row in delta.upserts])
        entries = self.entries + delta.created - len(delta.deletes)
        self._db.execute("UPDATE counters SET next_id = ?, entries = ?", (self._next_id, entries))
        return entries

    def _renumber(self) -> None:
        """Number the rows afresh: ids are not used again, and the bitmap of a scan is as long as the highest."""
        query = """UPDATE entry SET id = numbered.id FROM (SELECT path, row_number() OVER (ORDER BY path) - 1 AS id FROM entry) AS numbered
            WHERE entry.path = numbered.path"""
        with self._db.transaction():
            self._db.execute(query)
            self._db.execute("UPDATE counters SET next_id = entries")
        self._next_id = self.entries


def _row(values: tuple[Any, ...]) -> Row:
    return Row(values[0], Entry._make(values[1:]))


def _range_end(prefix: bytes) -> bytes | None:
    """Return the least byte string above all that begin with ``prefix``; None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
