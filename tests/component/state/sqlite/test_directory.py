"""The state directory: locked by one server, damaged files set aside, unused state removed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from watcher.errors import StateError
from watcher.model import Identity
from watcher.state.meter import Failure
from watcher.state.sqlite.directory import KEEP_S, StateDirectory, state_files
from watcher.state.sqlite.issued import PREFIX

ORDERS = Identity("", "orders", "file:///data/in")
OTHER = Identity("", "other", "file:///data/in")
DAY_S = 86_400.0
LOCK = """
import sys, pathlib
from watcher.clock import Clock
from watcher.state.sqlite.directory import StateDirectory
StateDirectory(pathlib.Path(sys.argv[1]), Clock()).__enter__()
"""
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""
"""Lets no file have content."""


def make(path: Path, clock: FakeClock, *identities: Identity) -> list[Path]:
    """Make state that was just used, and return its files."""
    with StateDirectory(path, clock) as state:
        for identity in identities:
            state.open(identity).close()
    files = [path / f"{identity.digest}.db" for identity in identities]
    for file in files:
        age(file, clock)
    return files


def age(path: Path, clock: FakeClock, *, used_s: float = 0.0, touched_s: float = 0.0) -> None:
    """Make a state file look as if it had been used and written to this many seconds ago."""
    with closing(sqlite3.connect(path)) as db, db:
        used_at = str(int(clock.wall() - used_s))
        db.execute("UPDATE meta SET value = ? WHERE key = 'used_at'", (used_at,))
    os.utime(path, (clock.wall() - touched_s,) * 2)


def test_state_is_private(tmp_path: Path, clock: FakeClock) -> None:
    """The directory is made with its parents for its user alone, with one file per identity."""
    path = tmp_path / "deep" / "state"
    assert sorted(make(path, clock, ORDERS, OTHER)) == sorted(state_files(path))
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_second_server_is_kept_out(tmp_path: Path, clock: FakeClock) -> None:
    """While one server has the directory another learns which process that is."""
    with StateDirectory(tmp_path, clock):
        with pytest.raises(StateError, match=f"process {os.getpid()}"):
            StateDirectory(tmp_path, clock).__enter__()
        command = [sys.executable, "-c", LOCK, str(tmp_path)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another server uses this state directory" in other.stderr
    with StateDirectory(tmp_path, clock):
        pass


def test_a_full_disk_has_no_room_for_the_number_of_the_process(tmp_path: Path) -> None:
    """A server starts there all the same: it waits for room."""
    command = [sys.executable, "-c", FULL + LOCK, str(tmp_path)]
    subprocess.run(command, check=True)
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="--state"):
        StateDirectory(tmp_path / "file" / "state", clock).__enter__()


def test_a_probe_is_an_answer_unless_it_fails(tmp_path: Path, clock: FakeClock) -> None:
    """Then it is counted."""
    with StateDirectory(tmp_path / "state", clock) as state:
        clock.advance(7)
        state.probe()
        assert (state.meter.failures[Failure.FAILED], state.meter.unanswered_s()) == (0, 0)
        shutil.rmtree(state.path)
        clock.advance(7)
        with pytest.raises(StateError, match="cannot be written"):
            state.probe()
        assert (state.meter.failures[Failure.FAILED], state.meter.unanswered_s()) == (1, 7)


def test_a_damaged_file_is_set_aside(tmp_path: Path, clock: FakeClock) -> None:
    """A file that is no database makes way for a new one and is kept."""
    damaged = tmp_path / f"{ORDERS.digest}.db"
    damaged.write_bytes(b"garbage" * 1000)
    with StateDirectory(tmp_path, clock) as state, closing(state.open(ORDERS)) as store:
        assert store.is_new
    (kept,) = tmp_path.glob("*.damaged-*")
    assert kept.read_bytes() == b"garbage" * 1000
    assert state_files(tmp_path) == [damaged]


def test_a_newer_file_is_not_set_aside(tmp_path: Path, clock: FakeClock) -> None:
    (path,) = make(tmp_path, clock, ORDERS)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")
    with StateDirectory(tmp_path, clock) as state, pytest.raises(StateError, match="newer"):
        state.open(ORDERS)
    assert state_files(tmp_path) == [path]


def test_summaries_pass_over_files_that_cannot_be_read(tmp_path: Path, clock: FakeClock) -> None:
    make(tmp_path, clock, ORDERS)
    (tmp_path / "0.db").write_bytes(b"garbage")
    with StateDirectory(tmp_path, clock) as state:
        assert set(state.summaries()) == {ORDERS}


def test_removal_leaves_no_side_file(tmp_path: Path, clock: FakeClock) -> None:
    with StateDirectory(tmp_path, clock) as state, closing(state.open(ORDERS)):
        assert len([*tmp_path.glob(f"{ORDERS.digest}*")]) > 1
        state.remove(ORDERS)
        assert [*tmp_path.glob(f"{ORDERS.digest}*")] == []


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
    tmp_path: Path, clock: FakeClock, used_s: float, touched_s: float, *, kept: bool
) -> None:
    """State is removed when neither a stream nor the watch used it for ``KEEP_S``."""
    (path,) = make(tmp_path, clock, ORDERS)
    age(path, clock, used_s=used_s, touched_s=touched_s)
    with StateDirectory(tmp_path, clock) as state:
        state.remove_unused()
        left = {file.name for file in tmp_path.iterdir() if not file.name.startswith(PREFIX)}
    assert left == ({"lock", path.name} if kept else {"lock"})


def test_state_is_kept_over_a_long_downtime(tmp_path: Path, clock: FakeClock) -> None:
    """A server that starts after months, or with a wrong clock, removes nothing, ever."""
    (path,) = make(tmp_path, clock, ORDERS)
    for days in (40, 41, -400):
        clock.advance(days * DAY_S)
        with StateDirectory(tmp_path, clock) as state:
            state.remove_unused()
            assert state_files(tmp_path) == [path]


def test_unused_state_goes_while_other_state_is_used(tmp_path: Path, clock: FakeClock) -> None:
    """What counts is the last use of any state, also when the server has not run since."""
    unused, used = make(tmp_path, clock, ORDERS, OTHER)
    age(unused, clock, used_s=KEEP_S + DAY_S, touched_s=KEEP_S + DAY_S)
    clock.advance(9 * DAY_S)
    with StateDirectory(tmp_path, clock) as state:
        state.remove_unused()
        assert state_files(tmp_path) == [used]


def test_old_state_that_cannot_be_read_stays(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "0.db"
    path.write_bytes(b"garbage" * 1000)
    (tmp_path / "lock").touch()
    os.utime(path, (0, 0))
    with StateDirectory(tmp_path, clock) as state:
        state.remove_unused()
        assert path.exists()
