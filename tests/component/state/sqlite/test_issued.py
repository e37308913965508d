"""Restored state is found out by the record of issued ids; crashed, moved or former state is not.

Each test restores a backup as people do, with files that are really copied.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.logs import captured_logs
from watcher.errors import StateError
from watcher.model import Delta, Identity, Payload
from watcher.state.sqlite.directory import StateDirectory
from watcher.state.sqlite.issued import LINE_BYTES, PREFIX, Issued, IssuedIds

DEADLINE_S = 60.0

ORDERS = Identity("", "orders", "file:///data/in")
OTHER = Identity("", "other", "file:///data/in")
FILE = f"{ORDERS.digest}.db"


class Server:
    """The state directory of servers that run one after the other and find changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restored: list[object] = []
        self._clock = FakeClock()

    def run(self, changes: int, identity: Identity = ORDERS) -> list[str]:
        """Run a server that finds changes, and return their ids."""
        with (
            captured_logs() as log,
            StateDirectory(self.path, self._clock) as state,
            closing(state.open(identity)) as store,
        ):
            ids = []
            for _ in range(changes):
                seq = store.journal.next_seq
                ids.append(f"{store.uid}-{seq}")
                store.commit(Delta(), [Payload(seq, b"")], changes=1)
        self.restored = [line["watch"] for line in log if line["event"] == "state.restored"]
        return ids


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "state")


def copy(source: Path, target: Path) -> None:
    """Copy a directory as ``cp -a source target`` does, where there is no target yet."""
    wait_for_tick(source.parent)
    shutil.copytree(source, target)


def wait_for_tick(directory: Path) -> None:
    """Wait until the kernel stamps files with another time, which it does at each of its ticks."""
    probe = directory / "probe"
    probe.touch()
    before_ns, deadline_s = probe.stat().st_mtime_ns, time.monotonic() + DEADLINE_S
    while probe.stat().st_mtime_ns == before_ns:
        assert time.monotonic() < deadline_s
        probe.touch()
    probe.unlink()


def restore_file(backup: Path, state: Path) -> None:
    shutil.copy2(backup / FILE, state / FILE)


def restore_file_by_name(backup: Path, state: Path) -> None:
    (state / FILE).unlink()
    (backup / FILE).rename(state / FILE)


def restore_directory(backup: Path, state: Path) -> None:
    shutil.rmtree(state)
    copy(backup, state)


def restore_over_directory(backup: Path, state: Path) -> None:
    """Write over each file, as ``cp -a backup/. state`` does: no file is made but by its name."""
    for file in backup.iterdir():
        target = state / file.name
        target.write_bytes(file.read_bytes())
        os.utime(target, ns=(file.stat().st_mtime_ns,) * 2)


def restore_files_alone(backup: Path, state: Path) -> None:
    """Put the state files into an empty directory, without the rest."""
    shutil.rmtree(state)
    state.mkdir()
    restore_file(backup, state)


RESTORES = [
    restore_file,
    restore_file_by_name,
    restore_directory,
    restore_over_directory,
    restore_files_alone,
]


@pytest.mark.parametrize("restore", RESTORES)
@pytest.mark.parametrize("since", [1, 5])
def test_a_restored_backup_gives_new_ids(
    server: Server, tmp_path: Path, restore: Callable[[Path, Path], None], since: int
) -> None:
    """However it comes back, no id is used twice, numbers rise, and it is logged once."""
    issued = server.run(3)
    copy(server.path, tmp_path / "backup")
    issued += server.run(since)
    restore(tmp_path / "backup", server.path)
    again = server.run(8)
    assert server.restored == [ORDERS.name]
    assert not {*again} & {*issued}
    numbers = [int(event.partition("-")[2]) for event in issued + again]
    assert numbers == sorted({*numbers})
    further = server.run(2)
    assert server.restored == []
    assert further[0].partition("-")[0] == again[0].partition("-")[0]


def test_each_restore_gives_new_ids(server: Server, tmp_path: Path) -> None:
    """The same backup is restored twice, then one from after a renewal, then one from before."""
    issued = server.run(3)
    copy(server.path, tmp_path / "first")
    issued += server.run(3)
    restores = ["first", "first", "second", "first"]
    for number, backup in enumerate(restores):
        restore_file(tmp_path / backup, server.path)
        issued += server.run(4)
        assert server.restored == [ORDERS.name], number
        if number == 1:
            copy(server.path, tmp_path / "second")
            issued += server.run(2)
    assert len({*issued}) == len(issued)


def test_a_copy_beside_its_original_gives_other_ids(server: Server, tmp_path: Path) -> None:
    """Two servers go on from one state, which was copied while nothing happened."""
    issued = server.run(3)
    copy(server.path, tmp_path / "copy")
    other = Server(tmp_path / "copy")
    issued += server.run(3) + other.run(3)
    assert (server.restored, other.restored) == ([], [ORDERS.name])
    assert len({*issued}) == len(issued)


def test_only_the_restored_watch_is_concerned(server: Server, tmp_path: Path) -> None:
    issued = server.run(3, OTHER)
    server.run(3)
    copy(server.path, tmp_path / "backup")
    server.run(3)
    restore_file(tmp_path / "backup", server.path)
    server.run(1)
    assert server.run(1, OTHER) == [issued[0].replace("-1", "-4")]
    assert server.restored == []


def test_state_that_comes_back_after_its_removal(server: Server, tmp_path: Path) -> None:
    """Its last id is no longer recorded, so all may have been used."""
    issued = server.run(3)
    copy(server.path, tmp_path / "backup")
    issued += server.run(1)
    with StateDirectory(server.path, FakeClock()) as state:
        state.remove(ORDERS)
    server.run(1, OTHER)
    restore_file(tmp_path / "backup", server.path)
    assert not {*server.run(2)} & {*issued}
    assert server.restored == [ORDERS.name]


def without_record(path: Path) -> None:
    """Make a directory what an older version left: no record, and no trace of one in the files."""
    for record in path.glob(f"{PREFIX}*"):
        record.unlink()
    with closing(sqlite3.connect(path / FILE)) as db, db:
        db.execute("DELETE FROM meta WHERE key = 'directory'")


def test_a_backup_from_before_there_was_a_record(server: Server, tmp_path: Path) -> None:
    """State of an older version goes on without new ids, and is found out when it comes back."""
    issued = server.run(3)
    without_record(server.path)
    copy(server.path, tmp_path / "backup")
    issued += server.run(3)
    assert server.restored == []
    restore_file(tmp_path / "backup", server.path)
    assert not {*server.run(8)} & {*issued}
    assert server.restored == [ORDERS.name]


def record(path: Path) -> Path:
    (found,) = path.glob(f"{PREFIX}*")
    return found


def lose_last_entries(path: Path, former: bytes) -> None:
    """Leave the record as it was, as after a loss of power: state files are always ahead of it."""
    record(path).write_bytes(former)


def lose_record_of_renewal(path: Path, former: bytes) -> None:
    """Renew the ids and end before that is recorded."""
    with StateDirectory(path, FakeClock()) as state:
        state.renew_ids(ORDERS)
    lose_last_entries(path, former)


def move(path: Path, _: bytes) -> None:
    """Rename the directory and back, as a volume that is mounted elsewhere for a while."""
    path.rename(path.with_name("elsewhere"))
    path.with_name("elsewhere").rename(path)


def change_owner(path: Path, _: bytes) -> None:
    """Change what Kubernetes changes at each mount with an fsGroup."""
    for file in path.iterdir():
        file.chmod(0o660)


def use_older_version(path: Path, _: bytes) -> None:
    """Let a version without a record find changes."""
    with closing(sqlite3.connect(path / FILE)) as db, db:
        db.execute("UPDATE counters SET next_seq = 1000")


@pytest.mark.parametrize(
    "happen",
    [lose_last_entries, lose_record_of_renewal, move, change_owner, use_older_version],
)
def test_nothing_was_restored(server: Server, happen: Callable[[Path, bytes], None]) -> None:
    """What crashes, kubelet, administrators and a downgrade do needs no new ids."""
    server.run(3)
    former = record(server.path).read_bytes()
    server.run(3)
    happen(server.path, former)
    uid = server.run(1)[0].partition("-")[0]
    assert server.restored == []
    assert server.run(1)[0].partition("-")[0] == uid


def test_a_new_file_after_damage_is_none_that_was_restored(server: Server) -> None:
    issued = server.run(3)
    (server.path / FILE).write_bytes(b"garbage" * 1000)
    assert not {*server.run(3)} & {*issued}
    assert server.restored == []


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"garbage\n" * 100, b"\xff" * LINE_BYTES])
def test_a_record_that_cannot_be_read_costs_new_ids(server: Server, content: bytes) -> None:
    """It is made anew; nothing fails."""
    issued = server.run(3)
    record(server.path).write_bytes(content)
    issued += server.run(3)
    assert server.restored == [ORDERS.name]
    issued += server.run(3)
    assert server.restored == []
    assert len({*issued}) == len(issued)


def test_the_record_is_bounded(tmp_path: Path) -> None:
    """It has one line for each state file: those of removed ones are used again."""
    for _ in range(3):
        with closing(IssuedIds(tmp_path, is_local=True)) as issued:
            for number in range(100):
                issued.add(f"{number:032x}", Issued("0" * 16, number))
            for number in range(0, 100, 2):
                issued.forget(f"{number:032x}")
            issued.note("unknown", Issued("0" * 16, 1))
        assert record(tmp_path).stat().st_size == 101 * LINE_BYTES
    with closing(IssuedIds(tmp_path, is_local=True)) as issued:
        assert [issued.next_seq(f"{number:032x}") for number in (98, 99)] == [0, 99]


def test_a_record_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="record of issued ids"):
        IssuedIds(tmp_path / "missing", is_local=True)
