"""The database of a state file: memory and disk that are no longer needed are given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.turn_taker import TurnTaker
from watcher.errors import StateError
from watcher.limits.turns import Turns
from watcher.state.meter import Failure, StateMeter
from watcher.state.sqlite.database import FREE_BYTES, TIDY_BYTES, WAL_BYTES, Database, schema_parts

LARGE_BYTES = 1 << 20

DEADLINE_S = 60.0


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as db:
        yield db


def fill(db: Database, count: int, first: int = 1) -> None:
    """Commit large payloads, all at once."""
    with db.transaction():
        db.executemany(
            "INSERT INTO journal VALUES (?, ?, 0, 0)",
            [(first + number, bytes(LARGE_BYTES)) for number in range(count)],
        )


def clear(db: Database, condition: str = "1") -> None:
    """Delete payloads."""
    with db.transaction():
        db.execute(f"DELETE FROM journal WHERE {condition}")  # noqa: S608 - only constants


def tidy(db: Database) -> int:
    """Tidy until there is nothing left to do, and return the number of calls."""
    calls = 0
    while db.is_untidy:
        db.tidy()
        calls += 1
    return calls


def disk_bytes(path: Path) -> int:
    """Return the size of the file and its side files, but for the shared memory."""
    return sum(
        file.stat().st_size for file in path.parent.iterdir() if not file.name.endswith("-shm")
    )


@pytest.mark.parametrize("shared_memory", [True, False])
def test_free_pages_are_given_back(path: Path, *, shared_memory: bool) -> None:
    """When large payloads are deleted the file shrinks, portion by portion; the rest is intact."""
    with closing(Database(path, shared_memory=shared_memory)) as db:
        fill(db, 50)
        clear(db, "seq NOT IN (1, 50)")
        assert disk_bytes(path) > 50 * LARGE_BYTES
        assert tidy(db) >= 50 * LARGE_BYTES / TIDY_BYTES
        assert disk_bytes(path) < 5 * LARGE_BYTES
        assert db.execute("SELECT seq, length(payload) FROM journal").fetchall() == [
            (1, LARGE_BYTES),
            (50, LARGE_BYTES),
        ]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_portion_at_a_time(db: Database, path: Path) -> None:
    """No thread waits until a large file has shrunk as a whole."""
    fill(db, 50)
    clear(db)
    before_bytes = path.stat().st_size
    db.tidy()
    assert path.stat().st_size == pytest.approx(before_bytes - TIDY_BYTES, abs=LARGE_BYTES)


def test_a_little_free_space_is_kept(db: Database, path: Path) -> None:
    """A file in use keeps few free pages, in bytes or in proportion: the next events need them."""
    fill(db, 10)
    clear(db, "seq = 5")
    kept_bytes = path.stat().st_size
    tidy(db)
    assert path.stat().st_size == kept_bytes
    clear(db)
    tidy(db)
    assert path.stat().st_size <= FREE_BYTES + LARGE_BYTES / 2


def test_a_large_transaction_leaves_no_large_wal(db: Database, path: Path) -> None:
    """The WAL of a burst is truncated by one of the next commits."""
    wal = path.with_name(path.name + "-wal")
    fill(db, 20)
    assert wal.stat().st_size > 20 * LARGE_BYTES
    for seq in (100, 101):
        fill(db, 1, seq)
    assert wal.stat().st_size <= WAL_BYTES


def test_freed_pages_are_not_overwritten(db: Database, path: Path) -> None:
    """Confirming costs no writes to the freed pages, whatever default SQLite was built with."""
    fill(db, 20)
    fill(db, 1, 100)
    clear(db)
    assert path.with_name(path.name + "-wal").stat().st_size <= WAL_BYTES


def test_memory_is_given_back_at_rest(db: Database) -> None:
    """The cache is emptied when a file was not used between two calls, and only then."""
    statements: list[str] = []
    db.connection.set_trace_callback(statements.append)
    for seq in (1, 2, 3):
        fill(db, 1, seq)
        db.tidy()
    assert "PRAGMA shrink_memory" not in statements
    assert (db.is_untidy, tidy(db), db.is_untidy) == (True, 1, False)
    assert statements.count("PRAGMA shrink_memory") == 1


def test_an_older_file_is_used_as_it_is(path: Path) -> None:
    """A file made without ``auto_vacuum`` is not rewritten; it reuses its free pages."""
    with closing(sqlite3.connect(path, isolation_level=None)) as former:
        former.execute("PRAGMA journal_mode = WAL")
        former.executescript(";".join(schema_parts()))
        former.execute(f"PRAGMA user_version = {len(schema_parts())}")
    with closing(Database(path)) as db:
        fill(db, 20)
        clear(db)
        assert tidy(db) == 2
        kept_bytes = path.stat().st_size
        fill(db, 10)
        assert path.stat().st_size == kept_bytes
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_opening_a_file_writes_nothing(path: Path) -> None:
    """A current file is the same, byte for byte, after it was opened and closed."""
    Database(path).close()
    before = path.read_bytes()
    Database(path).close()
    assert path.read_bytes() == before


def test_a_failure_is_counted_once(path: Path) -> None:
    """It is no step."""
    meter = StateMeter(FakeClock())
    with closing(Database(path, meter=meter)) as db:
        with pytest.raises(StateError), db.transaction():
            db.execute("SELECT nothing")
        assert (meter.steps.count, meter.failures[Failure.FAILED]) == (0, 1)
        fill(db, 1)
        assert (meter.steps.count, meter.failures[Failure.FAILED]) == (1, 1)


def test_another_thread_has_its_turn_while_a_transaction_is_committed(db: Database) -> None:
    """A disk may take long, and nothing is computed meanwhile."""
    turns = Turns(FakeClock())
    other, begun = TurnTaker(turns), []

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            begun.append(wait([other.begin()], DEADLINE_S).done != set())

    db.connection.set_trace_callback(trace)
    with turns.make().taken():
        with db.transaction():
            db.execute("INSERT INTO journal VALUES (1, x'', 0, 0)")
            assert not begun
        other.close().result(DEADLINE_S)
    assert begun == [True]
