"""A watch of a state file, read and written as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.model import Identity
from watcher.state.transfer import TABLES, WatchCopy, pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.state.sqlite.database import Database

_OWN = ("principal", "name", "place", "uid", "former_ids", "ids_renewed_at", "used_at", "directory")
"""Keys of ``meta`` that only this engine keeps there."""

_COUNTERS = ("next_id", "entries", "next_seq", "cursor")


def read_watch(db: Database) -> WatchCopy:
    """Return what a state file holds; its rows are read from it later.

    Raises:
        StateError: The file cannot be read.
    """
    with db.guarded():
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        counters = db.execute(f"SELECT {', '.join(_COUNTERS)} FROM counters").fetchone()  # noqa: S608 - only constants
    return WatchCopy(
        identity=Identity(meta.get("principal", ""), meta.get("name", ""), meta.get("place", "")),
        uid=meta["uid"],
        former_ids=meta.get("former_ids", "[]"),
        ids_renewed_at=float(meta.get("ids_renewed_at", 0)),
        used_at=int(meta.get("used_at", 0)),
        counters=dict(zip(_COUNTERS, counters, strict=True)),
        meta={key: value for key, value in meta.items() if key not in _OWN},
        rows={table: pages(_rows(db, table)) for table in TABLES},
    )


def write_watch(db: Database, copy: WatchCopy) -> None:
    """Write all of a watch into an empty state file, in one transaction.

    Raises:
        StateError: The file cannot be written.
    """
    own = dict(zip(("principal", "name", "place"), copy.identity, strict=True)) | {
        "uid": copy.uid,
        "former_ids": copy.former_ids,
        "ids_renewed_at": str(copy.ids_renewed_at),
        "used_at": str(copy.used_at),
    }
    with db.transaction():
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", ({**copy.meta, **own}).items())
        counters = ", ".join(f"{column} = ?" for column in _COUNTERS)
        db.execute(
            f"UPDATE counters SET {counters}",  # noqa: S608 - only constants
            [copy.counters[column] for column in _COUNTERS],
        )
        for table, columns in TABLES.items():
            marks = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - only constants
            for page in copy.rows[table]:
                db.executemany(statement, page)


def _rows(db: Database, table: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table."""
    columns = TABLES[table]
    flags = [number for number, column in enumerate(columns) if column.startswith("is_")]
    with db.guarded():
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - only constants
            # SQLite has numbers for them.
            values = list(row)
            for number in flags:
                values[number] = bool(values[number])
            yield tuple(values)
