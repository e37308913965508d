"""A watch of the database, read and written as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.errors import StateError
from watcher.model import Identity
from watcher.state.postgres.arrays import text_array
from watcher.state.postgres.history import FINGERPRINT
from watcher.state.postgres.inserts import insert
from watcher.state.postgres.keys import PATH, key_of, keys_of, long_paths
from watcher.state.postgres.steps import numbered
from watcher.state.transfer import TABLES, WatchCopy, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.state.postgres.database import Database

_FIND = """
    SELECT id, principal, name, place, uid, former_ids, ids_renewed_at, used_at, document,
        node, next_id, entries, next_seq, cursor
    FROM watcher.watch JOIN watcher.counters ON counters.watch = id WHERE digest = $1
"""
_META = "SELECT key, value FROM watcher.meta WHERE watch = $1"
_MAKE = f"""
    INSERT INTO watcher.watch (digest, principal, name, place, uid, former_ids, ids_renewed_at,
        used_at, document, node, history)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {FINGERPRINT}) RETURNING id
"""  # noqa: S608 - only constants
_MAKE_COUNTERS = """
    INSERT INTO watcher.counters (watch, next_id, entries, next_seq, cursor)
    VALUES ($1, $2, $3, $4, $5)
"""
_MAKE_META = "INSERT INTO watcher.meta SELECT $1, new.* FROM unnest($2::text[], $3::text[]) AS new"
_COUNTERS = ("next_id", "entries", "next_seq", "cursor")

_ROWS, _PAYLOADS = 1000, 50
"""Rows that one statement reads; payloads may be large."""


def read_watch(database: Database, identity: Identity) -> WatchCopy:
    """Return what the database holds of a watch; its rows are read from it later.

    Raises:
        StateError: The database cannot be read, or has no such watch.
    """
    found = database.fetch(_FIND, identity.digest)
    if not found:
        raise StateError("there is no state of this watch", place=identity.place)
    watch, *named, uid, former_ids, renewed_at, used_at, document, node = found[0][:10]
    return WatchCopy(
        identity=Identity(*named),
        uid=uid,
        former_ids=former_ids,
        ids_renewed_at=renewed_at,
        used_at=used_at,
        counters=dict(zip(_COUNTERS, found[0][10:], strict=True)),
        meta=dict(database.fetch(_META, watch)),
        rows={table: pages(_rows(database, watch, table)) for table in TABLES},
        document=document,
        node=node,
    )


def write_watch(database: Database, copy: WatchCopy) -> None:
    """Write all of a watch, in one transaction.

    Raises:
        StateError: The database cannot be written, or has the watch already; nothing was written.
    """
    identity = copy.identity
    with database.transaction() as transaction:
        own = (copy.uid, copy.former_ids, copy.ids_renewed_at, copy.used_at)
        kept = (copy.document, copy.node)
        ((watch,),) = transaction.fetch(_MAKE, identity.digest, *identity, *own, *kept)
        counters = [copy.counters[column] for column in _COUNTERS]
        transaction.fetch(_MAKE_COUNTERS, watch, *counters)
        meta = (text_array(copy.meta.keys()), text_array(copy.meta.values()))
        transaction.fetch(_MAKE_META, watch, *meta)
        for table, columns in TABLES.items():
            for page in copy.rows[table]:
                part = insert(table, _columns(columns, page))
                transaction.fetch(numbered(part.sql), watch, *part.values)


def _columns(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the values of rows by column, with the keys of paths."""
    values: dict[str, Sequence[Any]] = dict(zip(columns, zip(*rows, strict=True), strict=True))
    if "path" in values:
        paths = values["path"]
        values |= {"path": keys_of(paths), "long_path": long_paths(paths)}
    return values


def _rows(database: Database, watch: int, table: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that belong to a watch, in order of its key."""
    columns = TABLES[table]
    has_paths = "path" in columns
    key = "path" if has_paths else "seq"
    at, limit = columns.index(key), _ROWS if has_paths else _PAYLOADS
    read = ", ".join(PATH if column == "path" else column for column in columns)
    query = (
        f"SELECT {read} FROM watcher.{table} WHERE watch = $1 AND {table}.{key} >= $2 "  # noqa: S608 - only constants
        f"ORDER BY {table}.{key} LIMIT {limit}"
    )
    after: int | bytes = b"" if has_paths else 0
    while rows := database.fetch(query, watch, after):
        yield from rows
        last = rows[-1][at]
        after = key_of(last) + b"\0" if has_paths else last + 1
