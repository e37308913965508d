"""The tables in the database: made, migrated, or refused when a newer program has made them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.postgres.database import MIN_VERSION, is_code

if TYPE_CHECKING:
    from watcher.state.postgres.database import Database, Transaction

_LOCK = 0x7761_7463_6865_7221
"""Key of the lock under which one server migrates; it ends with the transaction."""

_SERVER = """
    SELECT current_setting('server_version_num')::int8, current_setting('server_encoding'),
        pg_is_in_recovery() OR current_setting('transaction_read_only')::bool
"""
# Read from tables: what to_regclass() and its like have found stays in the session's cache.
_EXISTS = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'setting')
"""
_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
_VERSION = "SELECT value FROM watcher.setting WHERE key = 'schema'"
_NO_RIGHT = "42501"
_MIGRATE_HINT = "let a role that may make tables run `watcher migrate --to URL`"


def check_server(database: Database) -> None:
    """Make sure that the server can keep state.

    Raises:
        StateError: It is too old, has another encoding, or cannot be written.
    """
    ((version, encoding, is_read_only),) = database.fetch(_SERVER)
    place = str(database.target)
    if version < MIN_VERSION:
        raise StateError(
            f"the database is PostgreSQL {version // 10_000}",
            place=place,
            hint=f"{MIN_VERSION // 10_000} or newer is needed",
        )
    if encoding != "UTF8":
        raise StateError(
            f"the database has the encoding {encoding}",
            place=place,
            hint="make one with ENCODING 'UTF8'",
        )
    if is_read_only:
        raise StateError(
            "the database cannot be written",
            place=place,
            hint="name the primary, or add target_session_attrs=read-write",
        )


def find_version(database: Database) -> int:
    """Return the version of the tables; 0 if there are none.

    Raises:
        StateError: The database cannot be read, or a newer program has made them.
    """
    ((exists,),) = database.fetch(_EXISTS, database.target.schema)
    version = int(database.fetch(_VERSION)[0][0]) if exists else 0
    if version > len(parts()):
        raise StateError(
            f"the tables have schema version {version}, this program knows {len(parts())}",
            place=str(database.target),
            hint="run the newer version",
        )
    return version


def prepare(database: Database) -> int:
    """Make or migrate the tables if that is needed, and return the version that they had.

    Raises:
        StateError: The role may not make tables, or a newer program has made them.
    """
    version = find_version(database)
    if version < len(parts()):
        try:
            with database.transaction() as transaction:
                transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
                _migrate(transaction, database.target.schema)
        except StateError as error:
            if is_code(error, _NO_RIGHT):
                error.hint = _MIGRATE_HINT
            raise
    return version


def _migrate(transaction: Transaction, schema: str) -> None:
    ((exists,),) = transaction.fetch(_EXISTS, schema)
    version = int(transaction.fetch(_VERSION)[0][0]) if exists else 0
    if not version:
        # A role may have been given a schema that it could not make.
        ((has_schema,),) = transaction.fetch(_HAS_SCHEMA, schema)
        if not has_schema:
            transaction.fetch(f"CREATE SCHEMA {schema}")
    for number, part in enumerate(parts()[version:], start=version + 1):
        for statement in _statements(part):
            transaction.fetch(statement)
        transaction.fetch(
            "INSERT INTO watcher.setting VALUES ('schema', $1) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            str(number),
        )


def version() -> int:
    """Return the version of the tables that this program makes."""
    return len(parts())


@cache
def parts() -> list[str]:
    """Return one script for each version of the schema, in order."""
    text = files("watcher.state.postgres").joinpath("schema.sql").read_text(encoding="utf-8")
    return re.split(r"^-- version \d+$", text, flags=re.MULTILINE)[1:]


def _statements(script: str) -> list[str]:
    """Return the statements of a script, which has no semicolon elsewhere but in comments."""
    bare = re.sub(r"--.*", "", script)
    return [each for statement in bare.split(";") if (each := statement.strip())]
