"""Rows to insert, as arrays of their columns; what is the same in all of them is sent once.

A single row is all values and no array. In a listing most columns are one value: that halves the
time which the server takes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from watcher.state.postgres.arrays import (
    bool_array,
    bytea_array,
    float8_array,
    int2_array,
    int8_array,
    text_array,
)
from watcher.state.postgres.steps import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TYPES: Mapping[str, str] = {
    **dict.fromkeys(("id", "size", "mtime_ns", "ctime_ns", "inode", "seq"), "int8"),
    **dict.fromkeys(("path", "long_path", "payload", "event"), "bytea"),
    **dict.fromkeys(("etag", "storage_class"), "text"),
    **dict.fromkeys(("gate", "kind"), "int2"),
    **dict.fromkeys(("is_link", "is_acknowledged"), "bool"),
    **dict.fromkeys(("committed_at", "due"), "float8"),
}
"""The type of each column."""

_ARRAYS: Mapping[str, Callable[[Sequence[Any]], bytes]] = {
    "int8": int8_array,
    "bytea": bytea_array,
    "text": text_array,
    "int2": int2_array,
    "bool": bool_array,
    "float8": float8_array,
}


def insert(table: str, columns: Mapping[str, Sequence[Any]], conflict: str = "") -> Part:
    """Return the part of a step that inserts rows of a watch.

    Args:
        table: Its name.
        columns: The values of the rows by column, at least one row.
        conflict: What to do with a row that is there; an error if empty.
    """
    uniform = frozenset(name for name, values in columns.items() if _is_uniform(values))
    given = [
        values[0] if name in uniform else _ARRAYS[TYPES[name]](values)
        for name, values in columns.items()
    ]
    sql = _insert(table, tuple(columns), uniform)
    return Part(f"{sql} {conflict}" if conflict else sql, tuple(given))


def _is_uniform(values: Sequence[Any]) -> bool:
    # The last one first: most columns that differ do so there.
    return bool(values[0] == values[-1]) and values.count(values[0]) == len(values)


@cache
def _insert(table: str, columns: tuple[str, ...], uniform: frozenset[str]) -> str:
    # Not "FROM unnest(...)", which would keep all rows in a table of its own first.
    given = [
        f"?::{TYPES[name]}" if name in uniform else f"unnest(?::{TYPES[name]}[])"
        for name in columns
    ]
    return (
        f"INSERT INTO watcher.{table} (watch, {', '.join(columns)}) SELECT $1, {', '.join(given)}"
    )
