"""The tables in the database: made, migrated, or refused when a newer program has made them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.postgres.database import MIN_VERSION, is_code
from watcher.state.postgres.former_lease import lock_free

if TYPE_CHECKING:
    from watcher.state.postgres.connection import Target
    from watcher.state.postgres.database import Database, Transaction

LOCK_KEY = 0x7761_7463_6865_7221
"""Key of the lock under which one server migrates or registers; it ends with the transaction."""

LOCK_S = 5.0
"""Longest wait in seconds for what other sessions do with a table that is migrated."""

_SHARED_FROM = 2
"""Version of the tables from which on servers share the watches."""


_SERVER = """
    SELECT current_setting('server_version_num')::int8, current_setting('server_encoding'),
        pg_is_in_recovery() OR current_setting('transaction_read_only')::bool
"""
# Read from tables: what to_regclass() and its like have found stays in the session's cache.
_EXISTS = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'setting')
"""
_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
_VERSIONS = """
    SELECT (SELECT value FROM watcher.setting WHERE key = 'schema')::int8,
        (SELECT value FROM watcher.setting WHERE key = 'readable_from')::int8
"""
_SET = """
    INSERT INTO watcher.setting VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
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
        StateError: The database cannot be read, or its tables are of use to newer programs only.
    """
    ((exists,),) = database.fetch(_EXISTS, database.target.schema)
    if not exists:
        return 0
    ((present, oldest),) = database.fetch(_VERSIONS)
    if present > version() and (oldest is None or oldest > version()):
        raise StateError(
            f"the tables have schema version {present}, this program knows {version()}",
            place=str(database.target),
            hint="run the newer version",
        )
    return int(present)


def needs_former_owner_gone(present: int) -> bool:
    """Return whether tables of a version are migrated only while no former program uses them."""
    return 0 < present < _SHARED_FROM


def prepare(database: Database, former: str | None = None) -> int:
    """Make or migrate the tables if that is needed, and return the version that they had.

    Args:
        database: The database.
        former: Id of a server of version 1 whose lease has run out for good; None if it is free.

    Raises:
        StateError: The role may not make tables, a newer program has made them, or a server of
            version 1 uses them.
    """
    present = find_version(database)
    if present < version():
        try:
            with database.transaction(lock_s=LOCK_S) as transaction:
                transaction.fetch("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
                _migrate(transaction, database.target, former)
        except StateError as error:
            if is_code(error, _NO_RIGHT):
                error.hint = _MIGRATE_HINT
            raise
    return present


def _migrate(transaction: Transaction, target: Target, former: str | None) -> None:
    ((exists,),) = transaction.fetch(_EXISTS, target.schema)
    present = int(transaction.fetch(_VERSIONS)[0][0]) if exists else 0
    if not present:
        # A role may have been given a schema that it could not make.
        ((has_schema,),) = transaction.fetch(_HAS_SCHEMA, target.schema)
        if not has_schema:
            transaction.fetch(f"CREATE SCHEMA {target.schema}")
    if needs_former_owner_gone(present) and not lock_free(transaction, former):
        raise StateError("a server of the former version uses the database", place=str(target))
    for number, part in enumerate(parts()[present:], start=present + 1):
        for statement in _statements(part):
            transaction.fetch(statement)
        transaction.fetch(_SET, "schema", str(number))
        transaction.fetch(_SET, "readable_from", str(readable_from(number)))


def readable_from(number: int) -> int:
    """Return the oldest version of a program that can use the tables of a version.

    It is the version before, so that servers are replaced one by one; but for the first version
    whose servers share the watches.
    """
    return max(number - 1, min(number, _SHARED_FROM))


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
