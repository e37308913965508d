"""Restores state directories that watcher 0.1.0 left, for the server under test to open.

The archives in ``fixtures/state-0.1.0`` are unpacked as they are. A watch of a directory or a
bucket is then moved to where the test has its files or its store. Of the state file only this
changes:

- its name and ``place`` in ``meta``, which derive from the path or from the store's address;
- ``identity`` in ``meta``, the type and mount point of the file system that holds the directory;
- ``inode`` and ``ctime_ns`` of the rows in ``entry``, which no copy of a file can keep.

The restored files get their recorded modification times. The log of a killed server stays a log;
the ``-shm`` file beside it, which SQLite makes again, is left out. State of a volume is not
changed at all: the volume comes with it, to be mounted where it was.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.client import Client, Event, wait_until
from support.events import told
from support.server import ServerProcess

ARCHIVES = Path(__file__).parents[1] / "fixtures" / "state-0.1.0"


@dataclass(frozen=True, slots=True)
class FormerState:
    """A state directory of 0.1.0, and what the server must make of it.

    Attributes:
        name: Name of the event source.
        former_config: Its configuration under 0.1.0, with the place where it was then.
        config: The configuration to connect with now.
        uid: First part of every event id.
        next_seq: Sequence number of the next change.
        payloads: Payloads to deliver first, in this order and byte for byte; may be empty.
        objects: Objects in the bucket, each as the arguments of ``put`` of the simulated store.
    """

    name: str
    former_config: dict[str, Any]
    config: dict[str, Any]
    uid: str
    next_seq: int
    payloads: list[bytes]
    objects: list[dict[str, Any]]

    def next_ids(self, count: int) -> list[str]:
        """Return the ids of the next changes, which show that the state was not begun anew."""
        return [f"{self.uid}-{seq}" for seq in range(self.next_seq, self.next_seq + count)]


SCANS = 2
"""Complete scans after which an event that nothing caused would have been reported."""


class Reopened:
    """A former state that a server has opened, which serves nothing else, and its stream."""

    def __init__(self, former: FormerState, server: ServerProcess, client: Client) -> None:
        self.server = server
        self._former = former
        self._watch = former.config.get("id", former.name)
        self.stream = client.watch(former.name, former.config)

    def check_quiet(self, changes: int = 0) -> None:
        """Wait for some scans: only pending payloads and this many changes are reported."""
        before = self._scans()
        wait_until(lambda: self._scans() >= before + SCANS, "the place was scanned")
        former, payloads = self._former, self.stream.payloads
        assert payloads[: len(former.payloads)] == former.payloads
        assert len(self._changes()) == changes, self.stream.events
        assert not self.server.logged("state.damaged")

    def check_reported(self, *expected: tuple[str, str]) -> None:
        """Wait for changes, given as type and path; no other is reported."""
        self.stream.wait_for(lambda _: len(self._changes()) >= len(expected))
        self.check_quiet(len(expected))
        changes = self._changes()
        assert told(changes) == sorted(expected)
        assert [event["id"] for event in changes] == self._former.next_ids(len(expected))

    def _changes(self) -> list[Event]:
        """Return the events after the pending payloads, out of their batches."""
        batches = self.stream.events[len(self._former.payloads) :]
        return [event for batch in batches for event in batch.get("events", [batch])]

    def _scans(self) -> int:
        scans: int = self.server.watches()[self._watch]["scans"]
        return scans


def restore(title: str, directory: Path) -> FormerState:
    """Unpack an archive as it is: ``state``, and ``tree`` or ``volume.img``."""
    with tarfile.open(ARCHIVES / f"{title}.tar.xz") as archive:
        # Python 3.11.3 and older have no filters, 3.12 warns where none is set.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(directory)  # noqa: S202 - our own archive
    values = json.loads((directory / "expected.json").read_bytes())
    return FormerState(**values | {"payloads": [each.encode() for each in values["payloads"]]})


def restore_directory(title: str, directory: Path) -> FormerState:
    """Unpack the watch of a directory and move it to ``directory / "tree"``."""
    former, root = restore(title, directory), directory / "tree"

    def relocate(db: sqlite3.Connection) -> None:
        _set_meta(db, "identity", _volume(root))
        for path, size, mtime_ns in db.execute("SELECT path, size, mtime_ns FROM entry").fetchall():
            file = root / os.fsdecode(path)
            os.utime(file, ns=(mtime_ns, mtime_ns))
            found = file.stat()
            assert (found.st_size, found.st_mtime_ns) == (size, mtime_ns), file
        # Only now: links lead to files whose times are set with those of their own rows.
        for (path,) in db.execute("SELECT path FROM entry WHERE inode != 0").fetchall():
            found = (root / os.fsdecode(path)).stat()
            update = "UPDATE entry SET inode = ?, ctime_ns = ? WHERE path = ?"
            db.execute(update, (found.st_ino, found.st_ctime_ns, path))

    _move(directory / "state", f"file://{quote(str(root))}", relocate)
    where = former.config["directory"] | {"path": str(root)}
    return replace(former, config=former.config | {"directory": where})


def add_rows(state: Path, root: Path, *names: str) -> None:
    """Put files into the index of the only state file, as 0.1.0 did when it reported them."""
    (file,) = state.glob("*.db")
    with closing(sqlite3.connect(file)) as db, db:
        for name in names:
            found = (root / name).stat()
            (next_id,) = db.execute("SELECT next_id FROM counters").fetchone()
            times = (found.st_mtime_ns, found.st_ctime_ns)
            db.execute(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, '', '', 0)",
                (next_id, os.fsencode(name), found.st_size, *times, found.st_ino),
            )
            db.execute("UPDATE counters SET next_id = next_id + 1, entries = entries + 1")


def restore_bucket(title: str, directory: Path, endpoint_url: str) -> FormerState:
    """Unpack the watch of a bucket and move it to another store, which must hold its objects."""
    former = restore(title, directory)
    where = former.config["s3"] | {"endpoint_url": endpoint_url}
    place = f"s3://{where['bucket']}/{quote(where['prefix'])}?endpoint={endpoint_url}"
    _move(directory / "state", place, lambda _db: None)
    return replace(former, config=former.config | {"s3": where})


def _move(state: Path, place: str, relocate: Callable[[sqlite3.Connection], None]) -> None:
    """Give the only state file another place; ``relocate`` changes more in its transaction."""
    (former,) = state.glob("*.db")
    was_killed = former.with_name(f"{former.name}-wal").exists()
    with closing(sqlite3.connect(former)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        with db:
            meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
            _set_meta(db, "place", place)
            relocate(db)
        if not was_killed:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        identity = "\0".join((meta["principal"], meta["name"], place))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
        # Closing writes the log back. A copy from before that is as a killed server leaves it.
        for suffix in ("", "-wal") if was_killed else ("",):
            shutil.copy2(former.with_name(former.name + suffix), state / f"{digest}.db{suffix}")
    for left in state.glob(f"{former.name}*"):
        left.unlink()


def _set_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))


def _volume(path: Path) -> str:
    """Return the file system that holds a path as 0.1.0 recorded it, see proc_pid_mountinfo(5)."""
    fd = os.open(path, os.O_PATH)
    try:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii")
    finally:
        os.close(fd)
    number = re.findall(r"^mnt_id:\s*(\d+)$", info, re.MULTILINE)[0]
    mounts = Path("/proc/self/mountinfo").read_text("utf-8")
    line = rf"^{number} \S+ \S+ \S+ (?P<point>\S+) .* - (?P<type>\S+) "
    found = re.search(line, mounts, re.MULTILINE)
    assert found is not None, number
    return f"{found['type']} at {found['point']}"
