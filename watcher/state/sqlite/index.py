"""The index of one watch in its state file: a row for each entry, ordered by path."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from watcher.model import GATE_MASK, GATE_REPORTED, Entry, Gate, Row
from watcher.state.port import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.model import Delta
    from watcher.state.sqlite.database import Database

PAGE_ROWS = 1000
"""Rows that a paged reading fetches at once."""

FIND_ROWS = 1024
"""Paths looked up in one statement; SQLite's own limit is 32,766 unless it was built with more."""

MIN_RUN_PATHS = 8
"""Paths of one directory from which its range is read; fewer are looked up."""

SCATTERED_BATCHES = 8
"""Batches looked up path by path after one without ranges, such as that of a huge directory."""

SPARSE_IDS = 8
"""Ids per row from which a file is numbered afresh when it is opened."""

_COLUMNS = "id, gate, path, size, mtime_ns, ctime_ns, inode, etag, storage_class, is_link"
_ETAG = _COLUMNS.split(", ").index("etag")
_UPSERT = f"""
    INSERT INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (path) DO UPDATE SET
        size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
        inode = excluded.inode, etag = excluded.etag, storage_class = excluded.storage_class,
        is_link = excluded.is_link, gate = excluded.gate
"""  # noqa: S608 - only constants
_BETWEEN = f"SELECT {_COLUMNS} FROM entry WHERE path BETWEEN ? AND ? LIMIT ?"  # noqa: S608 - only constants
_GATES = "SELECT gate, count(*) FROM entry WHERE gate != 0 GROUP BY gate"
_ALL = "entry WHERE true"
_GATED = "entry INDEXED BY entry_gate WHERE gate != 0"
"""What a paged reading reads; the second names its index, which SQLite would not choose."""

_HELD_BACK = f"""
    SELECT {_COLUMNS} FROM {_GATED} AND gate & {GATE_MASK} != {Gate.MARKER.value}
    ORDER BY path LIMIT ?
"""  # noqa: S608 - only constants
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
        row = Row(self._next_id, entry)
        self._next_id += 1
        return row

    def rows(self, paths: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those of the paths that are in the index, by path."""
        return {path: _row(values) for path, values in self._find(paths).items()}

    def compare(self, entries: Sequence[Entry]) -> Comparison:
        """Compare the entries of one batch with their rows.

        No ``Row`` is made for an entry that equals its row: in most batches all do.
        """
        paths = [entry.path for entry in entries]
        known = self._find_batch(paths)
        found = [known.get(path) for path in paths]
        # An entry whose newer version is held back may equal its row again; few watches have one.
        reported = GATE_REPORTED if self.gates else 0
        differing = [
            (entry, values)
            for entry, values in zip(entries, found, strict=True)
            if values is None
            or (values[2:] != entry and not _equals_but_digest(values, entry))
            or (reported and values[1] & reported)
        ]
        return Comparison(
            [values[0] for values in found if values is not None],
            {entry.path: _row(values) for entry, values in differing if values is not None},
            [entry for entry, _ in differing],
        )

    def rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows whose path begins with ``prefix`` (empty: all), in pages and in order."""
        for page in self._pages(_COLUMNS, prefix):
            yield [_row(values) for values in page]

    def paths_under(self, prefix: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """Yield id and path of the rows of ``rows_under``; several times cheaper."""
        return self._pages("id, path", prefix)

    def gated_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows with a gate whose path begins with ``prefix``, in pages and in order."""
        for page in self._pages(_COLUMNS, prefix, _GATED):
            yield [_row(values) for values in page]

    def held_back(self, limit: int) -> list[Row]:
        """Return the first rows, by path, that have a gate and are no markers."""
        # The index has the gates, so that of a million markers no row is read.
        with self._db.guarded():
            return [_row(values) for values in self._db.execute(_HELD_BACK, (limit,)).fetchall()]

    def links(self) -> list[bytes]:
        """Return the paths of the entries that are symbolic links."""
        with self._db.guarded():
            links = self._db.execute("SELECT path FROM entry WHERE is_link").fetchall()
        return [path for (path,) in links]

    def write(self, delta: Delta) -> int:
        """Write a delta within the caller's transaction.

        Returns:
            The value of ``entries`` once the transaction is committed.
        """
        if delta.deletes:
            self._db.executemany(
                "DELETE FROM entry WHERE path = ?", [(row.entry.path,) for row in delta.deletes]
            )
        if delta.upserts:
            self._db.executemany(_UPSERT, [(row.id, row.gate, *row.entry) for row in delta.upserts])
        entries = self.entries + delta.created - len(delta.deletes)
        self._db.execute("UPDATE counters SET next_id = ?, entries = ?", (self._next_id, entries))
        return entries

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

    def _find_batch(self, paths: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of the paths of one batch, and perhaps of others between them.

        Reading a range is up to twice as fast as looking up its paths. A batch of an ordered
        listing is one range; of a directory tree, it is one range a directory.
        """
        if self._lookups_left or not paths:
            self._lookups_left = max(0, self._lookups_left - 1)
            return self._find(paths)
        first, last = min(paths), max(paths)
        with self._db.guarded():
            most = _max_range_rows(len(paths))
            if self._db.execute(_HAS_MORE, (first, last, most)).fetchone() is not None:
                return self._find_by_directory(paths)
            return _by_path(self._db.execute(_BETWEEN, (first, last, most)).fetchall())

    def _find_by_directory(self, paths: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of paths that are no dense range, and perhaps of others beside them."""
        runs: dict[bytes, list[bytes]] = {}
        for path in paths:
            runs.setdefault(path[: path.rfind(b"/") + 1], []).append(path)
        found: dict[bytes, tuple[Any, ...]] = {}
        rest: list[bytes] = []
        for run in runs.values():
            if MIN_RUN_PATHS <= len(run) < len(paths):
                most = _max_range_rows(len(run))
                rows = self._db.execute(_BETWEEN, (min(run), max(run), most + 1)).fetchall()
                if len(rows) <= most:
                    found.update(_by_path(rows))
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
                query = f"SELECT {_COLUMNS} FROM entry WHERE path IN ({marks})"  # noqa: S608 - only marks
                found.update(_by_path(self._db.execute(query, part).fetchall()))
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


def _row(values: tuple[Any, ...]) -> Row:
    return Row(values[0], Entry._make(values[2:]), values[1])


def _equals_but_digest(values: tuple[Any, ...], entry: Entry) -> bool:
    """Return whether a row has a digest and an entry none, and all else is equal."""
    return not entry.etag and (*values[2:_ETAG], "", *values[_ETAG + 1 :]) == entry


def _by_path(rows: list[tuple[Any, ...]]) -> dict[bytes, tuple[Any, ...]]:
    return {values[2]: values for values in rows}


def _max_range_rows(paths: int) -> int:
    """Return the number of rows above which a range is slower than looking up the paths in it."""
    return paths + paths // 2


def range_end(prefix: bytes) -> bytes | None:
    """Return the least byte string above all that begin with ``prefix``; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
