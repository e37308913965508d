"""Inserts: an array for each column, and one value for a column that is the same in all rows."""

from __future__ import annotations

from watcher.state.postgres.arrays import bytea_array, int8_array
from watcher.state.postgres.inserts import TYPES, insert
from watcher.state.transfer import TABLES


def test_a_column_that_is_the_same_in_all_rows_is_one_value() -> None:
    part = insert("entry", {"id": [1, 2], "etag": ["", ""], "path": [b"a", b"b"]})
    assert part.sql == (
        "INSERT INTO watcher.entry (watch, id, etag, path) "
        "SELECT $1, unnest(?::int8[]), ?::text, unnest(?::bytea[])"
    )
    assert part.values == (int8_array([1, 2]), "", bytea_array([b"a", b"b"]))


def test_a_column_that_ends_as_it_begins_is_an_array() -> None:
    part = insert("entry", {"id": [1, 2, 1]})
    assert part.values == (int8_array([1, 2, 1]),)


def test_one_row_has_no_array() -> None:
    part = insert("changed_group", {"path": (b"a",), "due": (None,)}, "ON CONFLICT DO NOTHING")
    assert part.sql == (
        "INSERT INTO watcher.changed_group (watch, path, due) "
        "SELECT $1, ?::bytea, ?::float8 ON CONFLICT DO NOTHING"
    )
    assert part.values == (b"a", None)


def test_every_column_of_a_watch_has_a_type() -> None:
    assert {column for columns in TABLES.values() for column in columns} <= TYPES.keys()
