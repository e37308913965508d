"""Decides whether the store keeps its promises on real SQLite files, damaged and full ones included; it must not import a source."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.files import unprivileged
from watcher.errors import StateError
from watcher.model import Delta, Entry, Payload, Row
from watcher.state import index
from watcher.state.sqlite import database
from watcher.state.sqlite.database import is_damaged, set_aside
from watcher.state.sqlite.store import WatchStore, read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATHS = sorted(
    [
        b"\x00",
        b"a",
        b"a\xff",
        b"a\xff\xff",
        b"a/",
        b"a/x",
        b"a/\xff",
        b"a0",
        b"b",
        b"\xff",
        b"\xff\x00",
        b"\xff\xff",
        b"\xff\xffz",
    ]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a state file that does not exist yet."""
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[WatchStore]:
    """Open a fresh state file."""
    with closing(WatchStore(path)) as store:
        yield store


def add(store: WatchStore, *paths: bytes) -> list[Row]:
    """Put entries into the index and say nothing."""
    rows = [store.index.new_row(Entry(path, size=1, mtime_ns=2)) for path in paths]
    store.commit(Delta(upserts=rows, created=len(rows)))
    return rows


def journal(store: WatchStore) -> list[int]:
    """Return the sequence numbers in the journal."""
    return [payload.seq for payload in store.read(0, limit=1000, max_bytes=1 << 20)]


def paths_of(store: WatchStore) -> list[bytes]:
    """Return the paths in the index."""
    return [path for page in store.index.paths_under(b"") for _, path in page]


def test_a_fresh_file_is_kept(path: Path) -> None:
    """A new file begins with nothing, and everything committed to it is there when it is opened again."""
    entry = Entry(b"a/\xff", 1, -2, 3, (1 << 63) - 1, "etag", "GLACIER", is_link=True)
    with closing(WatchStore(path)) as store:
        assert (store.entries, store.next_seq, store.cursor, store.depth, paths_of(store)) == (
            0,
            1,
            0,
            0,
            [],
        )
        row, uid = store.index.new_row(entry), store.uid
        store.commit(Delta([row], created=1), [Payload(2, b"{}")], [Payload(3, b"[]")], changes=3)
        store.confirm(1)
    with closing(WatchStore(path)) as store:
        assert (store.uid, store.entries, store.next_seq, store.cursor, store.depth) == (
            uid,
            1,
            4,
            1,
            2,
        )
        assert store.index.rows([entry.path, b"other"]) == {entry.path: row}
        assert (store.index.links(), store.pending(), journal(store)) == (
            [entry.path],
            [Payload(3, b"[]")],
            [2],
        )
        assert store.index.new_row(entry).id > row.id


def test_a_rollback_journal_is_as_good(path: Path) -> None:
    """Without shared memory no WAL is used, also for a file that had one, and the content is the same."""
    with closing(WatchStore(path)) as store:
        add(store, b"a")
    with closing(WatchStore(path, shared_memory=False)) as store:
        add(store, b"b")
        assert not path.with_name("state.db-wal").exists()
        assert paths_of(store) == [b"a", b"b"]


def test_a_newer_file_is_refused(path: Path) -> None:
    """A file of a later schema is left alone, and the error says what to do; it is not damaged."""
    WatchStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")
    with pytest.raises(StateError, match=r"1000.*newer version") as error:
        WatchStore(path)
    assert not is_damaged(error.value)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1000,)


def test_each_migration_is_done_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file gets the parts that it lacks, one transaction each; a part that fails leaves the file at the one before it."""
    parts = database.schema_parts()
    WatchStore(path).close()
    monkeypatch.setattr(
        database,
        "schema_parts",
        lambda: [*parts, "CREATE TABLE two (x)", "CREATE TABLE three (x); broken"],
    )
    for _ in range(2):
        with pytest.raises(StateError, match="broken"):
            WatchStore(path)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(parts) + 1,)
            assert db.execute(
                "SELECT name FROM sqlite_master WHERE name IN ('two', 'three')"
            ).fetchall() == [("two",)]


def test_a_commit_that_fails_leaves_nothing(store: WatchStore, path: Path) -> None:
    """When the last statement of a commit fails, neither index, journal, pending events nor counters have moved."""
    (row,) = add(store, b"a")
    store.commit(Delta(), [Payload(1, b"one")], changes=1)
    with pytest.raises(StateError, match="UNIQUE"):
        store.commit(
            Delta([store.index.new_row(Entry(b"b", 1, 1))], [row], created=1),
            [Payload(2, b""), Payload(1, b"")],
            changes=2,
        )
    for opened in (store, WatchStore(path)):
        with closing(opened):
            assert (opened.entries, opened.next_seq, paths_of(opened), journal(opened)) == (
                1,
                2,
                [b"a"],
                [1],
            )


def test_an_upsert_keeps_its_row(store: WatchStore) -> None:
    """A path keeps its id when its entry changes, and loses it with its row."""
    first, second = add(store, b"a", b"b")
    newer = Entry(b"a", size=9, mtime_ns=9, is_link=True)
    store.commit(Delta(upserts=[Row(first.id, newer)], deletes=[second]))
    assert store.index.rows([b"a", b"b"]) == {b"a": Row(first.id, newer)}
    assert (store.entries, store.index.links()) == (1, [b"a"])
    assert add(store, b"b")[0].id not in (first.id, second.id)


def test_what_a_scan_met_is_compared(store: WatchStore) -> None:
    """Of entries that were met all rows are named, and those that differ or have none are given back with what is known of them."""
    same, other, _ = add(store, b"same", b"other", b"not met")
    changed, new = other.entry._replace(is_link=True), Entry(b"new", 1, 1)
    ids, rows, differing = store.index.met([same.entry, changed, new])
    assert (sorted(ids), rows, differing) == (
        [same.id, other.id],
        {b"other": other},
        [changed, new],
    )
    assert store.index.met([]) == ([], {}, [])


@pytest.mark.parametrize("is_open", [True, False])
def test_a_summary_is_read_beside_a_server(path: Path, *, is_open: bool) -> None:
    """What a file says of itself can be read while it is in use and afterwards, and reading it writes nothing."""
    with closing(WatchStore(path)) as store:
        store.set_meta(name="orders", used_at="7")
        store.commit(
            Delta([store.index.new_row(Entry(b"a", 1, 1))], created=1),
            [Payload(1, b"1")],
            changes=1,
        )
        if not is_open:
            store.close()
        files = {
            file.name: file.read_bytes()
            for file in path.parent.iterdir()
            if not file.name.endswith("-shm")
        }
        summary = {
            "name": "orders",
            "place": "",
            "principal": "",
            "entries": 1,
            "next_seq": 2,
            "cursor": 0,
            "journal_bytes": 1,
            "oldest_at": store.oldest_at,
            "used_at": 7,
        }
        assert read_summary(path) == summary
        assert {
            file.name: file.read_bytes()
            for file in path.parent.iterdir()
            if not file.name.endswith("-shm")
        } == files
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StateError, match="cannot be read"):
        read_summary(path)


@pytest.mark.parametrize("prefix", [b"", *PATHS, b"c", b"a/\xff\xff"])
def test_a_prefix_is_a_range(store: WatchStore, prefix: bytes) -> None:
    """The rows under a prefix are exactly those whose path begins with these bytes, in order."""
    add(store, *reversed(PATHS))
    expected = [path for path in PATHS if path.startswith(prefix)]
    assert [row.entry.path for page in store.index.rows_under(prefix) for row in page] == expected
    assert [path for page in store.index.paths_under(prefix) for _, path in page] == expected


def test_rows_may_change_between_pages(store: WatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paged reading goes on after its last path when that was deleted and others came, and misses and repeats nothing."""
    monkeypatch.setattr(index, "PAGE_ROWS", 3)
    add(store, *(b"p/%d" % number for number in range(9)))
    read = []
    for page in store.index.rows_under(b"p/"):
        read += [row.entry.path for row in page]
        store.commit(Delta(deletes=page))
        add(store, *(row.entry.path + b"-behind" for row in page[:1]))
    assert read == [b"p/%d" % number for number in range(9)]
    assert store.entries == 3


def test_thousands_of_rows_are_found_at_once(store: WatchStore) -> None:
    """However many paths are asked for, their rows come: a burst of renames asks for two paths each."""
    store._db.connection.setlimit(
        sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766
    )  # what SQLite has unless a distribution raises it
    paths = [b"%d" % number for number in range(40_000)]
    add(store, *paths[:2])
    assert set(store.index.rows(paths)) == set(paths[:2])


def test_the_cursor_only_rises(store: WatchStore) -> None:
    """Confirming drops the journal up to a number; a lower or equal number does nothing."""
    store.commit(Delta(), [Payload(seq, b"x") for seq in (1, 2, 3)], changes=3)
    for seq, left in ((0, [1, 2, 3]), (2, [3]), (1, [3]), (2, [3]), (3, [])):
        store.confirm(seq)
        assert (journal(store), store.depth) == (left, len(left))
    assert (store.cursor, store.next_seq) == (3, 4)


@pytest.mark.parametrize(
    ("after", "limit", "max_bytes", "expected"),
    [
        (0, 9, 99, [1, 2, 3]),
        (0, 2, 99, [1, 2]),
        (0, 9, 20, [1, 2]),
        (0, 9, 19, [1]),
        (0, 9, 0, [1]),
        (2, 9, 0, [3]),
        (3, 9, 99, []),
    ],
)
def test_a_reading_is_bounded(
    store: WatchStore, after: int, limit: int, max_bytes: int, expected: list[int]
) -> None:
    """A reading of the journal ends at its limits of number and size, but never gives nothing while something is there."""
    store.commit(Delta(), [Payload(seq, b"0123456789") for seq in (1, 2, 3)], changes=3)
    assert [
        payload.seq for payload in store.read(after, limit=limit, max_bytes=max_bytes)
    ] == expected


def test_a_payload_takes_its_pending_events(store: WatchStore) -> None:
    """Pending events leave with the payload that holds them, in the same commit; those after it stay, in order."""
    store.commit(Delta(), pending=[Payload(1, b"1"), Payload(2, b"2")], changes=2)
    store.commit(Delta(), [Payload(3, b"123")], [Payload(4, b"4"), Payload(5, b"5")], changes=3)
    assert (journal(store), store.pending(), store.depth) == (
        [3],
        [Payload(4, b"4"), Payload(5, b"5")],
        5,
    )


def test_meta_is_kept_by_key(store: WatchStore) -> None:
    """A value can be set, replaced and removed, several at once; an unknown key is None."""
    store.set_meta(a="1", b="2")
    store.set_meta(a="3", b=None)
    assert (store.meta("a"), store.meta("b"), store.meta("c")) == ("3", None, None)


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
    """Damage is told apart from other failures; set aside, the file is still there and a new one can begin."""
    WatchStore(path).close()
    spoilt = spoil(path.read_bytes())
    path.write_bytes(spoilt)
    with pytest.raises(StateError, match="start afresh") as error:
        WatchStore(path)
    assert is_damaged(error.value)
    assert set_aside(path).read_bytes() == spoilt
    with closing(WatchStore(path)) as store:
        assert store.entries == 0


def test_side_files_are_set_aside_too(path: Path) -> None:
    """No side file of a damaged file stays behind for the new one to be mistaken for its own."""
    names = [path.name + suffix for suffix in ("", "-wal", "-shm", "-journal")]
    for name in names:
        path.with_name(name).write_bytes(b"")
    set_aside(path)
    assert not {entry.name for entry in path.parent.iterdir()} & set(names)


def test_a_full_disk_loses_nothing(store: WatchStore) -> None:
    """A commit for which there is no room is refused with a hint, changes nothing, and succeeds once there is room."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    big = Payload(1, bytes(1 << 16))
    with pytest.raises(StateError, match="free space"):
        store.commit(Delta([store.index.new_row(Entry(b"a", 1, 1))], created=1), [big], changes=1)
    assert (store.entries, store.next_seq, paths_of(store), journal(store)) == (0, 1, [], [])
    store._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    store.commit(Delta([store.index.new_row(Entry(b"a", 1, 1))], created=1), [big], changes=1)
    assert (store.entries, paths_of(store), journal(store)) == (1, [b"a"], [1])


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_directory_is_told(*, exists: bool) -> None:
    """Where nothing may be written, opening fails with the hint to change that, whether the file exists or not."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "state.db")
        if exists:
            WatchStore(path).close()
        Path(directory).chmod(0o555)
        with (
            unprivileged(),
            pytest.raises(StateError, match="make the state directory writable") as error,
        ):
            WatchStore(path)
        Path(directory).chmod(0o755)
    assert not is_damaged(error.value)


def test_a_closed_store_is_an_error(path: Path) -> None:
    """A store may be closed twice; what is asked of it then is a StateError and not one of sqlite3."""
    store = WatchStore(path)
    store.close()
    store.close()
    with pytest.raises(StateError, match="closed"):
        store.read(0, limit=1, max_bytes=1)


def test_ids_are_numbered_afresh_when_few_rows_are_left(path: Path) -> None:
    """Ids that churn has driven up are low again after the next opening, each row has its own, and new rows get others."""
    with closing(WatchStore(path)) as store:
        for start in range(0, 20_000, 1000):
            rows = [
                store.index.new_row(Entry(b"%06d" % number, size=1, mtime_ns=2))
                for number in range(start, start + 1000)
            ]
            store.commit(Delta(upserts=rows, created=1000))
            store.commit(Delta(deletes=rows[:-1]))
        before = {row.entry for page in store.index.rows_under(b"") for row in page}
    with closing(WatchStore(path)) as store:
        rows = [row for page in store.index.rows_under(b"") for row in page]
        assert {row.entry for row in rows} == before
        assert sorted(row.id for row in rows) == list(range(20))
        assert (
            store.index.new_row(Entry(b"new", size=1, mtime_ns=2)).id
            == store.index.id_limit - 1
            == 20
        )
