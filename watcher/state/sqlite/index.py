"""The index of one watch in its state file: a row for each entry, ordered by path."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from watcher.model import GATE_MASK, Gate, Row
from watcher.state.rows import (
    COLUMNS,
    MIN_RUN_PATHS,
    PAGE_ROWS,
    SCATTERED_BATCHES,
    SPARSE_IDS,
    by_path,
    compare,
    make_row,
    max_range_rows,
    number_rows,
    range_end,
    runs_by_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from watcher.model import Delta, Entry
    from watcher.state.port import Comparison
    from watcher.state.sqlite.database import Database

FIND_ROWS = 1024
"""Paths looked up in one statement; SQLite's own limit is 32,766 unless it was built with more."""

LOOKS = 8
"""Looks for a row between the paths of a batch, each as costly as to look up a few of them."""

_MARKS = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT = f"""
    INSERT INTO entry ({COLUMNS}) VALUES {{}}
    ON CONFLICT (path) DO UPDATE SET
        size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
        inode = excluded.inode, etag = excluded.etag, storage_class = excluded.storage_class,
        is_link = excluded.is_link, gate = excluded.gate
"""  # noqa: S608 - only constants
_FILE_MARKS = "(?, 0, ?, ?, ?, ?, ?, '', '', 0)"
"""Values of a row of ``_FILE_END``: of ten bound values, four would take a third of the time."""

_FILE_END = ("", "", False)
"""The last values of a file that is no link and whose content was not read."""

_path_of = attrgetter("entry.path")

_BETWEEN = f"SELECT {COLUMNS} FROM entry WHERE path BETWEEN ? AND ? LIMIT ?"  # noqa: S608 - only constants
_GATES = "SELECT gate, count(*) FROM entry WHERE gate != 0 GROUP BY gate"
_ALL = "entry WHERE true"
_GATED = "entry INDEXED BY entry_gate WHERE gate != 0"
"""What a paged reading reads; the second names its index, which SQLite would not choose."""

_HELD_BACK = f"""
    SELECT {COLUMNS} FROM {_GATED} AND gate & {GATE_MASK} != {Gate.MARKER.value}
    ORDER BY path LIMIT ?
"""  # noqa: S608 - only constants
_NEXT = "SELECT path FROM entry WHERE path >= ? ORDER BY path LIMIT 1"
_HAS_MORE = "SELECT 1 FROM entry WHERE path BETWEEN ? AND ? LIMIT 1 OFFSET ?"
_RENUMBER = """
    UPDATE entry SET id = numbered.id
    FROM (SELECT path, row_number() OVER (ORDER BY id) - 1 AS id FROM entry) AS numbered
    WHERE entry.path = numbered.path
"""


class SqliteIndex:
    """The rows of one state file; implements ``port.Index``.

    Args:
        db: The file.

    Attributes:
        entries: Number of rows.
        gates: By gate, the number of rows that have it; without those that are 0.

    Raises:
        StateError: The file cannot be read, or not be numbered afresh.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lookups_left = 0
        with db.guarded():
            self.entries: int
            self._next_id: int
            self.entries, self._next_id = db.execute(
                "SELECT entries, next_id FROM counters"
            ).fetchone()
            self.gates = read_gates(db.execute)
        if self._next_id > SPARSE_IDS * (self.entries + PAGE_ROWS):
            self._renumber()

    @property
    def id_limit(self) -> int:
        """All ids are below this number."""
        return self._next_id

    def new_row(self, entry: Entry) -> Row:
        """Return a row with a fresh id for an entry that has none; nothing is written."""
        return self.new_rows((entry,))[0]

    def new_rows(self, entries: Iterable[Entry]) -> list[Row]:
        """Return ``new_row`` of each of many entries, at a fraction of the cost."""
        rows = number_rows(entries, self._next_id)
        self._next_id += len(rows)
        return rows

    def rows(self, paths: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those of the paths that are in the index, by path."""
        return {path: make_row(values) for path, values in self._find(paths).items()}

    def compare(self, entries: Sequence[Entry]) -> Comparison:
        """Compare the entries of one batch with their rows; see ``port.Index``."""
        known = self._find_batch([entry.path for entry in entries])
        return compare(entries, known, has_gates=bool(self.gates))

    def rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows whose path begins with ``prefix`` (empty: all), in pages and in order."""
        for page in self._pages(COLUMNS, prefix):
            yield [make_row(values) for values in page]

    def paths_under(self, prefix: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """Yield id and path of the rows of ``rows_under``; several times cheaper."""
        return self._pages("id, path", prefix)

    def gated_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows with a gate whose path begins with ``prefix``, in pages and in order."""
        for page in self._pages(COLUMNS, prefix, _GATED):
            yield [make_row(values) for values in page]

    def held_back(self, limit: int) -> list[Row]:
        """Return the first rows, by path, that have a gate and are no markers."""
        # The index has the gates, so that of a million markers no row is read.
        with self._db.guarded():
            return [
                make_row(values) for values in self._db.execute(_HELD_BACK, (limit,)).fetchall()
            ]

    def links(self) -> list[bytes]:
        """Return the paths of the entries that are symbolic links."""
        with self._db.guarded():
            links = self._db.execute("SELECT path FROM entry WHERE is_link").fetchall()
        return [path for (path,) in links]

    def write(self, delta: Delta) -> int:
        """Write the rows of a delta within the caller's transaction, which writes the counters.

        Returns:
            The value of ``entries`` once the transaction is committed.
        """
        if delta.deletes:
            self._db.executemany(
                "DELETE FROM entry WHERE path = ?", [(row.entry.path,) for row in delta.deletes]
            )
        if delta.upserts:
            self._upsert(delta.upserts)
        return self.entries + delta.created - len(delta.deletes)

    def accept(self, delta: Delta, entries: int) -> None:
        """Take note that a delta was committed.

        Args:
            delta: What ``write`` has written.
            entries: What it has returned.
        """
        self.entries = entries
        if delta.gates or self.gates:
            gates = Counter(self.gates)
            gates.update(delta.gates)
            gates.subtract(row.gate for row in delta.deletes if row.gate)
            self.gates = {gate: rows for gate, rows in gates.items() if rows}

    def _upsert(self, rows: Iterable[Row]) -> None:
        """Write rows, in the order of their paths: that of the file's pages."""
        files: list[Any] = []
        others: list[Any] = []
        for id_, entry, gate in sorted(rows, key=_path_of):
            if entry[5:] == _FILE_END and not gate:
                files += (id_, *entry[:5])
            else:
                others += (id_, gate, *entry)
        self._db.execute_rows(_UPSERT, _FILE_MARKS, files)
        self._db.execute_rows(_UPSERT, _MARKS, others)

    def _find_batch(self, paths: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of the paths of one batch, and perhaps of others between them.

        Reading a range is up to twice as fast as looking up its paths. A batch of an ordered
        listing is one range; of a directory tree, it is one range a directory.
        """
        paths = sorted(paths)
        if not paths or self._are_new(paths):
            return {}
        if self._lookups_left:
            self._lookups_left -= 1
            return self._find(paths)
        first, last = paths[0], paths[-1]
        with self._db.guarded():
            most = max_range_rows(len(paths))
            if self._db.execute(_HAS_MORE, (first, last, most)).fetchone() is not None:
                return self._find_by_directory(paths)
            return by_path(self._db.execute(_BETWEEN, (first, last, most)).fetchall())

    def _are_new(self, paths: Sequence[bytes]) -> bool:
        """Return whether none of ordered paths has a row, if a few looks between the rows show it.

        In a first scan they do where batches are whole directories. A directory with more files
        than a batch is listed in no order, so its batches lie between the rows of each other.
        """
        position = 0
        with self._db.guarded():
            for _ in range(LOOKS):
                found = self._db.execute(_NEXT, (paths[position],)).fetchone()
                if found is None or found[0] > paths[-1]:
                    return True
                position = bisect_left(paths, found[0], position)
                if paths[position] == found[0]:
                    return False
        return False

    def _find_by_directory(self, paths: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of paths that are no dense range, and perhaps of others beside them."""
        found: dict[bytes, tuple[Any, ...]] = {}
        rest: list[bytes] = []
        for run in runs_by_directory(paths):
            if MIN_RUN_PATHS <= len(run) < len(paths):
                most = max_range_rows(len(run))
                rows = self._db.execute(_BETWEEN, (min(run), max(run), most + 1)).fetchall()
                if len(rows) <= most:
                    found.update(by_path(rows))
                    continue
            rest += run
        if len(rest) > len(paths) // 2:
            self._lookups_left = SCATTERED_BATCHES
        found.update(self._find(rest))
        return found

    def _find(self, paths: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        found: dict[bytes, tuple[Any, ...]] = {}
        with self._db.guarded():
            for start in range(0, len(paths), FIND_ROWS):
                part = [*paths[start : start + FIND_ROWS]]
                # sqlite3 caches compiled statements by text: repeating the last path up to a power
                # of two keeps the number of texts small.
                part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
                marks = ",".join("?" * len(part))
                query = f"SELECT {COLUMNS} FROM entry WHERE path IN ({marks})"  # noqa: S608 - only marks
                found.update(by_path(self._db.execute(query, part).fetchall()))
        return found

    def _pages(self, columns: str, prefix: bytes, source: str = _ALL) -> Iterator[list[Any]]:
        after, end = prefix, range_end(prefix)
        condition = "path >= ?" if end is None else "path >= ? AND path < ?"
        query = f"SELECT {columns} FROM {source} AND {condition} ORDER BY path LIMIT {PAGE_ROWS}"  # noqa: S608 - only constants
        path = columns.split(", ").index("path")
        while True:
            with self._db.guarded():
                page = self._db.execute(query, (after,) if end is None else (after, end)).fetchall()
            if not page:
                return
            yield page
            after = page[-1][path] + b"\0"

    def _renumber(self) -> None:
        """Number the rows from 0, in the order of their ids: it shows which of two is older.

        Ids are not reused, and the bitmap of a scan is as long as the highest of them.
        """
        with self._db.transaction():
            self._db.execute(_RENUMBER)
            self._db.execute("UPDATE counters SET next_id = entries")
        self._next_id = self.entries


def read_gates(execute: Callable[[str], Any]) -> dict[int, int]:
    """Return the numbers of rows by gate; a file of an earlier version has none.

    Args:
        execute: Executes a statement in the file, within the caller's guard.
    """
    columns = execute("SELECT name FROM pragma_table_info('entry')").fetchall()
    return dict(execute(_GATES).fetchall()) if ("gate",) in columns else {}
