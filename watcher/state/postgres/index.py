"""The index of one watch in the database: a row for each entry, ordered by path."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from watcher.model import GATE_MASK, Gate, Row
from watcher.state import rows as rows_module
from watcher.state.postgres.arrays import bytea_array, int8_array
from watcher.state.postgres.inserts import insert
from watcher.state.postgres.keys import PATH, key_of, keys_of, long_paths, under
from watcher.state.postgres.steps import Part
from watcher.state.postgres.written_directories import WrittenDirectories
from watcher.state.rows import (
    COLUMNS,
    MIN_RUN_PATHS,
    PAGE_ROWS,
    SCATTERED_BATCHES,
    SPARSE_IDS,
    by_path,
    make_row,
    max_range_rows,
    number_rows,
    runs_by_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.model import Delta, Entry
    from watcher.state.port import Comparison
    from watcher.state.postgres.session import Session

_READ = COLUMNS.replace(" path,", f" {PATH},")
_ENTRY = COLUMNS.split(", ")[2:]
_OVERWRITE = """
    ON CONFLICT (watch, path) DO UPDATE SET
        size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,
        inode = excluded.inode, etag = excluded.etag, storage_class = excluded.storage_class,
        is_link = excluded.is_link, gate = excluded.gate
"""
_DELETE = "DELETE FROM watcher.entry WHERE watch = $1 AND path = ANY(?::bytea[])"
_FIND = f"SELECT {_READ} FROM watcher.entry WHERE watch = $1 AND path = ANY(?::bytea[])"  # noqa: S608 - only constants
_BETWEEN = f"""
    SELECT {_READ} FROM watcher.entry WHERE watch = $1 AND path BETWEEN ? AND ? LIMIT ?
"""  # noqa: S608 - only constants
_BETWEEN_EACH = f"""
    SELECT {_READ}
    FROM unnest(?::bytea[], ?::bytea[], ?::int8[]) AS given (first, last, most)
    CROSS JOIN LATERAL (
        SELECT * FROM watcher.entry
        WHERE watch = $1 AND path BETWEEN given.first AND given.last LIMIT given.most
    ) AS entry
"""  # noqa: S608 - only constants
"""The rows of several ranges, of each up to a number."""

_MAX_KEY = """
    SELECT (SELECT path FROM watcher.entry WHERE watch = $1 ORDER BY path DESC LIMIT 1)
"""
_GATES = """
    SELECT gate, count(*) FROM watcher.entry WHERE watch = $1 AND gate <> 0 GROUP BY gate
"""
_HELD_BACK = f"""
    SELECT {_READ} FROM watcher.entry
    WHERE watch = $1 AND gate <> 0 AND gate & {GATE_MASK} <> {Gate.MARKER.value}
    ORDER BY path LIMIT ?
"""  # noqa: S608 - only constants
_LINKS = f"SELECT {PATH} FROM watcher.entry WHERE watch = $1 AND is_link"  # noqa: S608 - only constants
_RENUMBER = """
    UPDATE watcher.entry SET id = numbered.id
    FROM (
        SELECT path, row_number() OVER (ORDER BY path) - 1 AS id
        FROM watcher.entry WHERE watch = $1
    ) AS numbered
    WHERE watch = $1 AND entry.path = numbered.path
"""


class PostgresIndex:
    """The rows of one watch; implements ``port.Index``.

    Args:
        session: The way to the database.
        entries: Number of rows.
        next_id: That of the next entry.

    Attributes:
        entries: Number of rows.
        gates: By gate, the number of rows that have it; without those that are 0.

    Raises:
        StateError: The rows cannot be read, or not be numbered afresh.
    """

    def __init__(self, session: Session, *, entries: int, next_id: int) -> None:
        self._session = session
        self._lookups_left = 0
        self._trees_left = 0
        # No row has a key above it: so a first listing in order reads nothing.
        self._max_key: bytes = session.read(_MAX_KEY)[0][0] or b""
        # Known until the first scan is over, so that it reads nothing of a tree either.
        self._written = None if self._max_key else WrittenDirectories()
        self.entries = entries
        self._next_id = next_id
        self.gates: dict[int, int] = dict(session.read(_GATES))
        if self._next_id > SPARSE_IDS * (self.entries + PAGE_ROWS):
            # Ids are not reused, and the bitmap of a scan is as long as the highest of them.
            session.write_in_order({"next_id": entries}, lambda: [Part(_RENUMBER)])
            self._next_id = entries

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
        return rows_module.compare(entries, known, has_gates=bool(self.gates))

    def rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows whose path begins with ``prefix`` (empty: all), in pages and in order."""
        for page in self._pages(_READ, rows_module.PATH, prefix):
            yield [make_row(values) for values in page]

    def paths_under(self, prefix: bytes) -> Iterator[list[tuple[int, bytes]]]:
        """Yield id and path of the rows of ``rows_under``; several times cheaper."""
        return self._pages(f"id, {PATH}", 1, prefix)

    def gated_under(self, prefix: bytes) -> Iterator[list[Row]]:
        """Yield the rows with a gate whose path begins with ``prefix``, in pages and in order."""
        for page in self._pages(_READ, rows_module.PATH, prefix, "AND gate <> 0"):
            yield [make_row(values) for values in page]

    def held_back(self, limit: int) -> list[Row]:
        """Return the first rows, by path, that have a gate and are no markers."""
        return [make_row(values) for values in self._session.read(_HELD_BACK, limit)]

    def links(self) -> list[bytes]:
        """Return the paths of the entries that are symbolic links."""
        return [path for (path,) in self._session.read(_LINKS)]

    # Writing, as parts of a step of the store

    def parts(self, delta: Delta) -> list[Part]:
        """Return what writes a delta."""
        parts = []
        if delta.deletes:
            keys = keys_of([row.entry.path for row in delta.deletes])
            parts.append(Part(_DELETE, (bytea_array(keys),)))
        if delta.upserts:
            columns = _columns(delta.upserts)
            if len(set(columns["path"])) < len(delta.upserts):
                columns = _columns(_merged(delta.upserts))
            are_new = delta.created == len(columns["id"])
            parts.append(insert("entry", columns, "" if are_new else _OVERWRITE))
        return parts

    def counters(self, delta: Delta) -> dict[str, int]:
        """Return the counters after a delta."""
        entries = self.entries + delta.created - len(delta.deletes)
        return {"next_id": self._next_id, "entries": entries}

    def accept(self, delta: Delta, entries: int) -> None:
        """Take note that a delta was committed.

        Args:
            delta: What ``parts`` has been given.
            entries: The number of rows now.
        """
        self.entries = entries
        keys = keys_of([row.entry.path for row in delta.upserts])
        if self._written is not None:
            self._written.add(keys)
        self._max_key = max(self._max_key, max(keys, default=b""))
        if delta.gates or self.gates:
            gates = Counter(self.gates)
            gates.update(delta.gates)
            gates.subtract(row.gate for row in delta.deletes if row.gate)
            self.gates = {gate: rows for gate, rows in gates.items() if rows}

    def end_scan(self) -> None:
        """Take note that a scan is over: the next one finds rows everywhere."""
        self._written = None

    # Reading

    def _find_batch(self, paths: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of the paths of one batch, and perhaps of others between them.

        Reading a range is several times as fast as looking up its paths. A batch of an ordered
        listing is one range; of a directory tree, it is one range a directory.
        """
        keys = keys_of(paths)
        if not keys or min(keys) > self._max_key:
            return {}
        if self._written is not None:
            keys = self._written.among(keys)
        found = self._find_near(keys) if keys else {}
        if any(map(found.__contains__, paths)):
            self._written = None
        return found

    def _find_near(self, keys: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of keys, and perhaps of others between them."""
        if self._lookups_left:
            self._lookups_left = max(0, self._lookups_left - 1)
            return self._find_keys(keys)
        if not self._trees_left:
            most = max_range_rows(len(keys))
            rows = self._session.read(_BETWEEN, min(keys), max(keys), most + 1)
            if len(rows) <= most:
                return by_path(rows)
            self._trees_left = SCATTERED_BATCHES
        self._trees_left -= 1
        return self._find_by_directory(keys)

    def _find_by_directory(self, keys: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """Return the rows of keys that are no dense range, and perhaps of others beside them."""
        runs = runs_by_directory(keys)
        dense = [run for run in runs if MIN_RUN_PATHS <= len(run) < len(keys)]
        rest = [key for run in runs if not MIN_RUN_PATHS <= len(run) < len(keys) for key in run]
        found: dict[bytes, tuple[Any, ...]] = {}
        if dense:
            most = [max_range_rows(len(run)) for run in dense]
            rows = self._session.read(
                _BETWEEN_EACH,
                bytea_array([min(run) for run in dense]),
                bytea_array([max(run) for run in dense]),
                int8_array(most),
            )
            found = by_path(rows)
            if len(rows) >= min(most):
                # Perhaps a range was cut off before these.
                rest += [key for run in dense for key in run if key not in found]
        if len(rest) > len(keys) // 2:
            self._lookups_left = SCATTERED_BATCHES
        found.update(self._find_keys(rest))
        return found

    def _find(self, paths: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        return self._find_keys(keys_of(paths))

    def _find_keys(self, keys: list[bytes]) -> dict[bytes, tuple[Any, ...]]:
        return by_path(self._session.read(_FIND, bytea_array(keys))) if keys else {}

    def _pages(
        self, columns: str, path: int, prefix: bytes, condition: str = ""
    ) -> Iterator[list[Any]]:
        within, (after, *values) = under(prefix)
        query = (
            f"SELECT {columns} FROM watcher.entry WHERE watch = $1 AND {within} {condition} "  # noqa: S608 - only constants
            f"ORDER BY entry.path LIMIT {PAGE_ROWS}"
        )
        while page := self._session.read(query, after, *values):
            yield page
            after = key_of(page[-1][path]) + b"\0"


def _merged(rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows with one for each path, the last: one statement writes no row twice."""
    merged: dict[bytes, Row] = {}
    for row in rows:
        former = merged.get(row.entry.path)
        merged[row.entry.path] = row if former is None else row._replace(id=former.id)
    return list(merged.values())


def _columns(rows: Sequence[Row]) -> dict[str, Sequence[Any]]:
    """Return the values of rows by column."""
    ids, entries, gates = zip(*rows, strict=True)
    columns = dict(zip(_ENTRY, zip(*entries, strict=True), strict=True))
    paths = columns["path"]
    keys = {"path": keys_of(paths), "long_path": long_paths(paths)}
    return {"id": ids, "gate": gates, **columns, **keys}
