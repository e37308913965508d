"""The tables: made once, migrated in one transaction, refused if newer, and explained if not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from support.clock import FakeClock
from support.postgres import SHARED
from watcher.errors import StateError
from watcher.state.membership import used_alone
from watcher.state.postgres import schema
from watcher.state.postgres.administration import summaries_of
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine


def tables(database: Database) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = $1"
    return {name for (name,) in database.fetch(query, database.target.schema)}


def test_several_servers_make_the_tables_once(url: str, database: Database) -> None:
    def prepare() -> int:
        with closing(Database(parse_url(url), "maker")) as own:
            return schema.prepare(own)

    with ThreadPoolExecutor(4) as pool:
        makers = [pool.submit(prepare) for _ in range(4)]
        assert {maker.result() for maker in makers} <= {0, len(schema.parts())}
    assert {"entry", "journal", "lease"} < tables(database)
    assert schema.find_version(database) == len(schema.parts())


def test_a_migration_that_fails_leaves_the_version_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.prepare(database)
    parts = [*schema.parts(), "CREATE TABLE watcher.next (); SELECT no_such_function()"]
    monkeypatch.setattr(schema, "parts", lambda: parts)
    with pytest.raises(StateError, match="no_such_function"):
        schema.prepare(database)
    assert "next" not in tables(database)
    parts[-1] = "CREATE TABLE watcher.next ()"
    assert schema.prepare(database) == len(parts) - 1
    assert "next" in tables(database)


def test_tables_of_a_newer_program_are_refused(url: str, database: Database) -> None:
    schema.prepare(database)
    database.fetch("UPDATE watcher.setting SET value = '99'")
    with pytest.raises(StateError, match=r"schema version 99, .* run the newer version"):
        PostgresEngine(url, FakeClock()).__enter__()
    with pytest.raises(StateError, match="99"):
        summaries_of(url)


def test_a_database_without_state_is_no_empty_state(url: str) -> None:
    with pytest.raises(StateError, match="there is no state in the database"):
        summaries_of(url)


def test_a_role_without_rights_is_told_what_to_do(url: str, database: Database) -> None:
    """Once the tables are there, it needs no more than to read and write them."""
    name = database.target.schema
    database.fetch(f"CREATE ROLE {name} LOGIN")
    own = url.replace("postgres@", f"{name}@")
    with pytest.raises(StateError, match="watcher migrate"):
        PostgresEngine(own, FakeClock()).__enter__()
    schema.prepare(database)
    database.fetch(f"GRANT USAGE ON SCHEMA {name} TO {name}")
    database.fetch(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {name}")
    with used_alone(PostgresEngine(own, FakeClock())) as engine:
        engine.probe()
        assert engine.summaries() == {}


def test_a_database_that_is_not_in_utf_8_is_refused() -> None:
    cluster = SHARED.get()
    cluster.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StateError, match="encoding LATIN1"):
        PostgresEngine(cluster.url_of("latin"), FakeClock()).__enter__()


def test_a_database_that_cannot_be_written_is_refused(url: str) -> None:
    own = f"{url}&options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(StateError, match="target_session_attrs=read-write"):
        PostgresEngine(own, FakeClock()).__enter__()
