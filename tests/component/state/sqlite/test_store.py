"""The state file of a watch: migrated, without WAL, damaged, full, busy, read beside a server."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.files import unprivileged
from support.state import add, indexed, journalled, open_store
from watcher.errors import StateError
from watcher.model import Delta, Entry, Payload
from watcher.state.sqlite import database
from watcher.state.sqlite.database import ROWS, is_damaged, schema_parts, set_aside
from watcher.state.sqlite.store import SqliteStore, read_summary


def test_a_rollback_journal_is_as_good(path: Path) -> None:
    """Without shared memory no WAL is used, also in a file that had one."""
    with closing(open_store(path)) as store:
        add(store, b"a")
    with closing(open_store(path, shared_memory=False)) as store:
        add(store, b"b")
        assert not path.with_name("state.db-wal").exists()
        assert indexed(store) == [b"a", b"b"]


def test_numbering_afresh_keeps_the_order_of_ids(path: Path) -> None:
    """It shows which row is older, as of versions with one time."""
    with closing(open_store(path)) as store:
        add(store, b"c", b"a", b"d", b"b")
        store.commit(Delta(deletes=list(store.index.rows([b"a"]).values())))
        store._db.execute("UPDATE counters SET next_id = 1000000")
    with closing(open_store(path)) as store:
        ids = {path: row.id for path, row in store.index.rows([b"b", b"c", b"d"]).items()}
        assert ids == {b"c": 0, b"d": 1, b"b": 2}
        assert store.index.id_limit == 3


def test_a_newer_file_is_refused(path: Path) -> None:
    """A file of a later schema is left alone; the error names the remedy and no damage."""
    open_store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")
    with pytest.raises(StateError, match=r"1000.*newer version") as error:
        open_store(path)
    assert not is_damaged(error.value)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1000,)


def test_each_migration_is_done_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is a transaction: one that fails leaves the file at the version before it."""
    parts = schema_parts()
    open_store(path).close()
    further = ["CREATE TABLE two (x)", "CREATE TABLE three (x); broken"]
    monkeypatch.setattr(database, "schema_parts", lambda: [*parts, *further])
    for _ in range(2):
        with pytest.raises(StateError, match="broken"):
            open_store(path)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(parts) + 1,)
            made = db.execute("SELECT name FROM sqlite_master WHERE name IN ('two', 'three')")
            assert made.fetchall() == [("two",)]


def test_a_file_of_the_first_schema_is_migrated(path: Path) -> None:
    """A journal from before acknowledgements is sent as it stands."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(schema_parts()[0])
        db.execute("INSERT INTO journal VALUES (4, 'four')")
        db.execute("UPDATE counters SET next_seq = 5, cursor = 3")
        db.execute("PRAGMA user_version = 1")
    with closing(open_store(path)) as store:
        assert (store.journal.cursor, journalled(store)) == (3, [4])
        assert store.journal.acknowledged == set()
        store.journal.acknowledge([4], keep_s=100)
        assert (store.journal.cursor, journalled(store)) == (4, [])


@pytest.mark.parametrize("is_open", [True, False])
def test_a_summary_writes_nothing(path: Path, *, is_open: bool) -> None:
    """A file can be summarised while it is in use and afterwards; no byte of it changes."""

    def contents() -> dict[str, bytes]:
        files = [file for file in path.parent.iterdir() if not file.name.endswith("-shm")]
        return {file.name: file.read_bytes() for file in files}

    with closing(open_store(path)) as store:
        add(store, b"a")
        if not is_open:
            store.close()
        before = contents()
        assert read_summary(path).entries == 1
        assert contents() == before
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StateError, match="cannot be read"):
        read_summary(path)


def test_thousands_of_paths_need_no_custom_build(store: SqliteStore) -> None:
    """A lookup stays within the number of parameters that SQLite allows by default."""
    store._db.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    paths = [b"%d" % number for number in range(40_000)]
    add(store, *paths[:2])
    assert set(store.index.rows(paths)) == set(paths[:2])


@pytest.mark.parametrize("more", [-1, 0, 1, ROWS])
def test_rows_are_written_whatever_their_number(store: SqliteStore, more: int) -> None:
    """Many go into one statement, the others into one each; the last of one path counts."""
    rows = [
        store.index.new_row(Entry(b"%03d" % number, size=1, mtime_ns=number))
        for number in range(ROWS + more - 1)
    ]
    again = rows[0]._replace(entry=rows[0].entry._replace(size=2))
    store.commit(Delta(upserts=[*rows, again], created=len(rows)))
    assert [row for page in store.index.rows_under(b"") for row in page] == [again, *rows[1:]]


@pytest.mark.parametrize("acknowledged", [range(1, 4), range(2, 999)])
def test_an_acknowledgement_costs_the_same_in_any_journal(
    tmp_path: Path, acknowledged: range
) -> None:
    """Its steps in SQLite's machine do not grow with what is before, between or behind.

    The last one is counted, and the question for the payloads that it lets through.
    """
    steps = []
    for payloads in (1_000, 5_000):
        with closing(open_store(tmp_path / f"{payloads}.db")) as store:
            rows = [Payload(seq, b"payload") for seq in range(1, payloads + 1)]
            store.commit(Delta(), rows, changes=payloads)
            store.journal.acknowledge(acknowledged[:-1])
            counted: list[int] = []
            store._db.connection.set_progress_handler(lambda: counted.append(1), 1)  # noqa: B023 - called within the round
            store.journal.acknowledge(acknowledged[-1:])
            store.journal.count_unconfirmed(acknowledged[-1], limit=1)
            store._db.connection.set_progress_handler(None, 1)
            steps.append(len(counted))
    assert max(steps) <= 1000
    assert steps[1] <= 1.2 * steps[0]


def test_an_acknowledgement_that_fails_changes_nothing(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file cannot be written, nothing counts as acknowledged."""

    def fail(_seq: int, _keep_s: float) -> None:
        raise sqlite3.OperationalError("disk full")

    store.commit(Delta(), [Payload(1, b"1"), Payload(2, b"2")], changes=2)
    monkeypatch.setattr(store.journal, "_advance", fail)
    with pytest.raises(StateError):
        store.journal.acknowledge([1, 2])
    assert (store.journal.cursor, journalled(store)) == (0, [1, 2])
    assert store.journal.acknowledged == set()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"garbage " * len(raw),
        lambda raw: raw[:1000],
        lambda raw: raw[:4096],
        lambda raw: raw[:4096] + bytes(len(raw) - 4096),
        lambda raw: bytes(100) + raw[100:],
    ],
    ids=["garbage", "torn page", "first page only", "zeros behind it", "no header"],
)
def test_a_damaged_file_can_be_set_aside(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Damage is distinguished from other failures; set aside, the file is kept and makes way."""
    open_store(path).close()
    spoilt = spoil(path.read_bytes())
    path.write_bytes(spoilt)
    with pytest.raises(StateError, match="start afresh") as error:
        open_store(path)
    assert is_damaged(error.value)
    assert set_aside(path, FakeClock()).read_bytes() == spoilt
    with closing(open_store(path)) as store:
        assert store.index.entries == 0


def test_side_files_are_set_aside_too(path: Path, clock: FakeClock) -> None:
    """No side file of a damaged file stays behind for the new one to mistake for its own."""
    suffixes = {"", "-wal", "-shm", "-journal"}
    for suffix in suffixes:
        path.with_name(path.name + suffix).write_bytes(b"")
    aside = set_aside(path, clock)
    assert str(clock.wall_ns()) in aside.name
    assert {file.name for file in path.parent.iterdir()} == {aside.name + s for s in suffixes}


def test_a_full_disk_loses_nothing(store: SqliteStore) -> None:
    """A commit without room is refused with a hint, changes nothing, and succeeds with room."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()

    def commit() -> None:
        row = store.index.new_row(Entry(b"a", 1, 1))
        store.commit(Delta([row], created=1), [Payload(1, bytes(1 << 16))], changes=1)

    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match="free space"):
        commit()
    assert (store.index.entries, store.journal.next_seq) == (0, 1)
    assert (indexed(store), journalled(store)) == ([], [])
    store._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    commit()
    assert (store.index.entries, indexed(store), journalled(store)) == (1, [b"a"], [1])


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_directory_is_reported(*, exists: bool) -> None:
    """Opening fails with a hint to make the directory writable, whether the file exists or not."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "state.db")
        if exists:
            open_store(path).close()
        Path(directory).chmod(0o555)
        with (
            unprivileged(),
            pytest.raises(StateError, match="make the state directory writable") as error,
        ):
            open_store(path)
        Path(directory).chmod(0o755)
    assert not is_damaged(error.value)


def test_a_busy_file_is_reported(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another program has locked is an error in the end, not an endless wait."""
    monkeypatch.setattr(database, "_WAIT_S", 0.05)
    with (
        closing(open_store(path)) as blocked,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked"):
            blocked.set_meta(a="1")
        other.execute("ROLLBACK")
        blocked.set_meta(a="2")
    assert store.meta("a") == "2"


def test_ids_are_numbered_afresh_when_few_rows_are_left(path: Path) -> None:
    """Ids that churn has driven up are low after the next opening, and unique."""
    with closing(open_store(path)) as store:
        for start in range(0, 20_000, 1000):
            rows = add(store, *(b"%06d" % number for number in range(start, start + 1000)))
            store.commit(Delta(deletes=rows[:-1]))
        before = {row.entry for page in store.index.rows_under(b"") for row in page}
    with closing(open_store(path)) as store:
        rows = [row for page in store.index.rows_under(b"") for row in page]
        assert {row.entry for row in rows} == before
        assert sorted(row.id for row in rows) == list(range(20))
        assert store.index.new_row(Entry(b"new", size=1, mtime_ns=2)).id == 20
        assert store.index.id_limit == 21


def test_events_that_wait_are_removed_when_their_batch_is_written(path: Path) -> None:
    """Also those that waited when the file was opened, and after commits without payloads."""
    first, second = Payload(1, b"1"), Payload(2, b"2")
    with closing(open_store(path)) as store:
        store.commit(Delta(), (), [first, second], changes=2)
        store.commit(Delta())
        store.commit(Delta(), [Payload(1, b"[1]")], [second])
        assert store.journal.pending() == [second]
    with closing(open_store(path)) as store:
        store.commit(Delta(), [Payload(2, b"[2]")])
        assert store.journal.pending() == []
