"""Decides whether a state directory has one owner and each identity a file of its own; it must not import a source."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from watcher.errors import StateError
from watcher.model import Delta, Entry, Identity, Payload
from watcher.state.sqlite.directory import KEEP_S, StateDirectory, state_files
from watcher.state.sqlite.store import WatchStore

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = Identity("", "orders", "file:///data/in")
OTHER = Identity("", "other", "file:///data/in")
DAY_S = 86_400.0


def age(path: Path, *, used_s: float, touched_s: float) -> None:
    """Make a state file look as if it had last been used and written to so long ago."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "UPDATE meta SET value = ? WHERE key = 'used_at'", (str(int(time.time() - used_s)),)
        )
        db.commit()
    os.utime(path, (time.time() - touched_s,) * 2)


@pytest.mark.parametrize(
    "other",
    [
        Identity("alice", "orders", "file:///data/in"),
        Identity("", "order", "file:///data/in"),
        Identity("", "orders", "file:///data/in2"),
        Identity("orders", "", "file:///data/in"),
        Identity("", "ordersfile", ":///data/in"),
    ],
)
def test_identities_do_not_meet(other: Identity) -> None:
    """Two identities that differ in any part have different files, and a name for a file is safe."""
    assert other.digest != ORDERS.digest
    assert other.digest.isalnum()
    assert len(other.digest) == 32


def test_state_is_found_again(tmp_path: Path) -> None:
    """What an identity keeps is there after a restart, beside what it belongs to, and nobody else can read the directory."""
    path = tmp_path / "deep" / "state"
    for turn in range(2):
        with StateDirectory(path) as state, closing(state.open(ORDERS)) as store:
            assert store.entries == turn
            store.commit(Delta([store.index.new_row(Entry(b"%d" % turn, 1, 1))], created=1))
            assert [store.meta(key) for key in ("principal", "name", "place")] == list(ORDERS)
    assert path.stat().st_mode & 0o777 == 0o700
    assert [file.stem for file in state_files(path)] == [ORDERS.digest]


def test_a_second_server_is_kept_out(tmp_path: Path) -> None:
    """While one server has the directory another is told which process that is; afterwards it may have it."""
    with StateDirectory(tmp_path):
        with pytest.raises(StateError, match=f"process {os.getpid()}"):
            StateDirectory(tmp_path).__enter__()
        code = f"from pathlib import Path; from watcher.state.sqlite.directory import StateDirectory; StateDirectory(Path({str(tmp_path)!r})).__enter__()"
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "another server uses this state directory" in other.stderr
    with StateDirectory(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A state directory under a file is an error with a hint."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="--state"):
        StateDirectory(tmp_path / "file" / "state").__enter__()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """A file that is no database makes way for a new one and is kept."""
    with StateDirectory(tmp_path) as state:
        damaged = tmp_path / f"{ORDERS.digest}.db"
        damaged.write_bytes(b"garbage" * 1000)
        with closing(state.open(ORDERS)) as store:
            assert store.entries == 0
    (kept,) = tmp_path.glob("*.damaged-*")
    assert kept.read_bytes() == b"garbage" * 1000
    assert state_files(tmp_path) == [damaged]


def test_a_newer_file_is_not_set_aside(tmp_path: Path) -> None:
    """A file of a later version is refused and stays where it is."""
    with StateDirectory(tmp_path) as state:
        state.open(ORDERS).close()
        (path,) = state_files(tmp_path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 1000")
        with pytest.raises(StateError, match="newer"):
            state.open(ORDERS)
        assert state_files(tmp_path) == [path]


@pytest.mark.parametrize(
    ("used_s", "touched_s", "kept"),
    [
        (KEEP_S + 60, KEEP_S + 60, False),
        (KEEP_S + 60, 60, True),
        (60, KEEP_S + 60, True),
        (60, 60, True),
    ],
)
def test_old_state_is_removed(
    tmp_path: Path, used_s: float, touched_s: float, *, kept: bool
) -> None:
    """State goes, with its side files, when neither a stream nor the watch has used it for a month while others were used."""
    with StateDirectory(tmp_path) as state:
        state.open(ORDERS).close()
    (path,) = state_files(tmp_path)
    age(path, used_s=used_s, touched_s=touched_s)
    with StateDirectory(tmp_path):
        assert {file.name for file in tmp_path.iterdir()} == (
            {"lock", path.name} if kept else {"lock"}
        )


def test_state_is_kept_over_a_long_downtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that starts again after months, or with a clock that is months ahead, removes nothing, however often it starts."""
    with StateDirectory(tmp_path) as state:
        state.open(ORDERS).close()
    (path,) = state_files(tmp_path)
    for days in (40, 41, -400):
        later = time.time() + days * DAY_S
        with monkeypatch.context() as patch:
            patch.setattr("watcher.state.sqlite.directory.time.time", lambda later=later: later)
            with StateDirectory(tmp_path):
                assert state_files(tmp_path) == [path]


def test_unused_state_goes_while_other_state_is_used(tmp_path: Path) -> None:
    """What was last used a month before the other state is removed, also when the server has not run since."""
    with StateDirectory(tmp_path) as state:
        state.open(ORDERS).close()
        state.open(OTHER).close()
    unused, used = (tmp_path / f"{identity.digest}.db" for identity in (ORDERS, OTHER))
    age(unused, used_s=KEEP_S + 10 * DAY_S, touched_s=KEEP_S + 10 * DAY_S)
    age(used, used_s=9 * DAY_S, touched_s=9 * DAY_S)
    os.utime(tmp_path / "lock", (time.time() - 9 * DAY_S,) * 2)
    with StateDirectory(tmp_path):
        assert state_files(tmp_path) == [used]


def test_old_state_that_cannot_be_read_stays(tmp_path: Path) -> None:
    """A server starts although an old file is damaged, and does not remove what it cannot judge."""
    path = tmp_path / "0.db"
    path.write_bytes(b"garbage" * 1000)
    (tmp_path / "lock").touch()
    os.utime(path, (0, 0))
    with StateDirectory(tmp_path):
        assert path.exists()


def test_a_busy_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file that another program has locked is a StateError in the end, not a wait for ever."""
    monkeypatch.setattr("watcher.state.sqlite.database._WAIT_S", 0.05)
    path = tmp_path / "state.db"
    with (
        closing(WatchStore(path)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked"):
            store.set_meta(a="1")
        other.execute("ROLLBACK")
        store.set_meta(a="2")
        assert store.meta("a") == "2"


def test_state_tells_of_itself_until_it_is_removed(tmp_path: Path) -> None:
    """Every identity is found with what its state holds, files that cannot be read are passed over, and what is removed leaves nothing."""
    with StateDirectory(tmp_path) as state:
        for identity in (ORDERS, OTHER):
            with closing(state.open(identity)) as store:
                assert store.is_new
                store.commit(Delta(), [Payload(1, b"123")], changes=1)
        (tmp_path / "0.db").write_bytes(b"garbage")
        assert {who: its["journal_bytes"] for who, its in state.summaries().items()} == {
            ORDERS: 3,
            OTHER: 3,
        }
        with closing(state.open(ORDERS)) as store:
            assert not store.is_new
        state.remove(ORDERS)
        assert set(state.summaries()) == {OTHER}
        assert [
            file.name for file in tmp_path.iterdir() if file.name.startswith(ORDERS.digest)
        ] == []
