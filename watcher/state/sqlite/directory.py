"""The state directory: one file per identity, used by one server at a time."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
import threading
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog

from watcher.clock import NS_PER_S
from watcher.errors import StateError
from watcher.filesystem.choice import choose_files
from watcher.state.following import SoleFollowing
from watcher.state.membership import SoleMembership
from watcher.state.meter import Failure, StateMeter
from watcher.state.news import SoleNews
from watcher.state.requests import SoleRequests
from watcher.state.shared_status import SoleStatus
from watcher.state.sqlite.database import Database, is_damaged, remove, set_aside
from watcher.state.sqlite.issued import IssuedIds
from watcher.state.sqlite.store import SqliteStore, read_summary
from watcher.state.sqlite.transfer import read_watch, write_watch
from watcher.state.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.filesystem.port import Files
    from watcher.model import Identity
    from watcher.state.port import Summary
    from watcher.state.transfer import WatchCopy

KEEP_S = 30 * 86_400.0
"""Seconds after which the state of an unused watch is removed, measured up to the last time when a
stream opened any state of the directory. So a wrong clock or a long downtime removes nothing. The
modification time of the lock file records that moment."""

PROBE_BYTES = 65_536
"""Free space in bytes that ``probe`` requires."""

_SUFFIX = ".db"


class StateDirectory:
    """The state files of one server; a context manager that implements ``port.StateEngine``.

    Args:
        path: The directory; made if it is not there.
        clock: Dates what is written.
        files: Finds out whether it is on a network file system; None for what suits the system.

    Attributes:
        membership: That of the only server; its lock leaves no other.
        news: None.
        following: None.
        requests: None.
        shared_status: None.
        meter: What operators see of it.
    """

    def __init__(self, path: Path, clock: Clock, files: Files | None = None) -> None:
        self.membership = SoleMembership(platform.node(), clock.wall())
        self.news = SoleNews()
        self.following = SoleFollowing()
        self.requests = SoleRequests()
        self.shared_status = SoleStatus()
        self.path = path
        self.meter = StateMeter(clock)
        self._files = files or choose_files()
        self._in_use_s = 0.0
        self._clock = clock
        self._lock_fd = -1
        self._shared_memory = True
        self._opened: dict[Path, SqliteStore] = {}
        self._opening = threading.Lock()
        self._issued: IssuedIds | None = None
        self._log = structlog.get_logger("watcher").bind(state=str(path))

    def __enter__(self) -> Self:
        """Lock the directory for this process.

        Raises:
            StateError: The directory cannot be written, or another server has locked it.
        """
        self._lock_fd = _lock(self.path)
        lock = os.fstat(self._lock_fd)
        os.ftruncate(self._lock_fd, 0)
        # Only a message has the number, and on a full disk there may be no room for it.
        with suppress(OSError):
            os.write(self._lock_fd, f"{os.getpid()}\n".encode())
        os.utime(self._lock_fd, ns=(lock.st_atime_ns, lock.st_mtime_ns))
        mount = self._files.mount_of(str(self.path))
        if mount is not None and not mount.notifies:
            self._shared_memory = False
            self._log.warning(
                "state.network", type=mount.type, hint="a local disk is faster and safer for state"
            )
        self._in_use_s = min(self._clock.wall(), lock.st_mtime)
        return self

    def __exit__(self, *_: object) -> None:
        """Unlock the directory."""
        if self._issued is not None:
            self._issued.close()
        os.close(self._lock_fd)

    @property
    def place(self) -> str:
        """The directory."""
        return str(self.path)

    def probe(self) -> None:
        """Write and remove ``PROBE_BYTES``.

        Raises:
            StateError: They cannot be written.
        """
        try:
            with tempfile.TemporaryFile(dir=self.path, buffering=0) as file:
                file.write(bytes(PROBE_BYTES))
                os.fsync(file.fileno())
            self.meter.answer()
        except OSError as error:
            self.meter.fail(Failure.FAILED)
            raise StateError(
                f"the state directory cannot be written: {error.strerror}",
                place=str(self.path),
                hint="make room there, or make it writable",
            ) from error

    def away_s(self) -> float:
        """Return 0: files are not away."""
        return 0.0

    def stop_waiting(self) -> None:
        """Do nothing: nothing waits."""

    def open(
        self,
        identity: Identity,
        document: bytes = b"",  # noqa: ARG002 - no other server needs it
        *,
        max_watches: int | None = None,  # noqa: ARG002 - no other server adds any
        is_used: bool = True,  # noqa: ARG002 - it opens no watch by itself
        queue: str = "",  # noqa: ARG002 - no other server reads it
    ) -> SqliteStore:
        """Open the state of an identity; a damaged file is set aside, logged and replaced.

        A file that is older than events that were sent gets new ids, which is logged.

        Damage shows when the damaged page is read, since checking the whole file would take too
        long. A store that found damage is set aside when it is opened again.

        Raises:
            StateError: The file cannot be used.
        """
        path = self._file(identity)
        former = self._opened.pop(path, None)
        if former is not None and former.found_damage:
            self._set_aside(path, "it was found damaged when it was last used")
        issued = self._issued_ids()
        try:
            store = self._open(path, issued)
        except StateError as error:
            if not is_damaged(error):
                raise
            self._set_aside(path, str(error))
            store = self._open(path, issued)
        self._opened[path] = store
        now_ns = self._clock.wall_ns()
        try:
            self._check_ids(store, issued, identity)
            store.set_meta(
                principal=identity.principal,
                name=identity.name,
                place=identity.place,
                used_at=str(now_ns // NS_PER_S),
                directory=issued.id,
            )
        except StateError:
            store.close()
            raise
        os.utime(self._lock_fd, ns=(now_ns, now_ns))
        return store

    def document(self, identity: Identity) -> bytes:  # noqa: ARG002 - as the port has it
        """Return nothing: no other server needs it."""
        return b""

    def survey(self, used_within_s: float) -> Survey:  # noqa: ARG002 - as the port has it
        """Return an empty survey: no other server can be."""
        return Survey()

    def summaries(self) -> dict[Identity, Summary]:
        """Return the summaries of all state files, but those that cannot be read.

        Raises:
            StateError: The directory cannot be read.
        """
        try:
            files = state_files(self.path)
        except OSError as error:
            raise StateError(
                f"the state directory cannot be read: {error.strerror}", place=str(self.path)
            ) from error
        found = {}
        for file in files:
            with suppress(StateError):
                summary = read_summary(file)
                found[summary.identity] = summary
        return found

    def summary(self, identity: Identity) -> Summary:
        """Return the summary of the state of an identity.

        Raises:
            StateError: The file cannot be read.
        """
        return read_summary(self._file(identity))

    def rewind(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Revoke confirmations of a watch that does not run, see ``Journal.rewind``.

        Returns:
            The sequence numbers that are no longer confirmed.

        Raises:
            StateError: The file cannot be used.
        """
        with closing(self._open(self._file(identity))) as store:
            before = store.journal.cursor
            return range(store.journal.rewind(seq=seq, time_s=time_s) + 1, before + 1)

    def renew_ids(self, identity: Identity) -> None:
        """Renew the ids of a watch that does not run; see ``port.WatchStore.renew_ids``.

        Raises:
            StateError: The file cannot be used.
        """
        issued = self._issued_ids()
        with closing(self._open(self._file(identity), issued)) as store:
            self._renew_ids(store, issued)
            store.set_meta(directory=issued.id)

    def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run."""
        path = self._file(identity)
        self._opened.pop(path, None)
        self._remove(path)

    def remove_unused(self) -> None:
        """Remove the state that was unused for ``KEEP_S`` when the directory was last in use."""
        for path in state_files(self.path):
            if self._in_use_s - path.stat().st_mtime < KEEP_S:
                continue
            try:
                with closing(self._open(path)) as store:
                    used_at, place = float(store.meta("used_at") or 0), store.meta("place")
            except StateError:
                continue
            if self._in_use_s - used_at >= KEEP_S:
                self._remove(path)
                self._log.info("state.removed", place=place, file=str(path))

    @contextmanager
    def export_watch(self, identity: Identity) -> Iterator[WatchCopy]:
        """Read a watch that does not run; see ``transfer.MovableState``.

        Raises:
            StateError: The file cannot be read.
        """
        with closing(Database(self._file(identity), shared_memory=self._shared_memory)) as db:
            yield read_watch(db)

    def import_watch(self, copy: WatchCopy) -> None:
        """Write a watch that is not there; see ``transfer.MovableState``.

        Raises:
            StateError: The file cannot be written, and is not there.
        """
        path = self._file(copy.identity)
        try:
            with closing(Database(path, shared_memory=self._shared_memory)) as db:
                write_watch(db, copy)
        except BaseException:
            remove(path)
            raise

    def _file(self, identity: Identity) -> Path:
        return self.path / (identity.digest + _SUFFIX)

    def _open(self, path: Path, issued: IssuedIds | None = None) -> SqliteStore:
        if issued is None:
            return SqliteStore(
                path, self._clock, shared_memory=self._shared_memory, meter=self.meter
            )
        return SqliteStore(
            path,
            self._clock,
            shared_memory=self._shared_memory,
            meter=self.meter,
            note_issued=partial(issued.note, path.stem),
        )

    def _issued_ids(self) -> IssuedIds:
        """Return the record of issued ids, which is opened for the first watch.

        Raises:
            StateError: It cannot be read or written.
        """
        with self._opening:
            if self._issued is None:
                # Only a local file system is sure to keep when a file was made.
                self._issued = IssuedIds(self.path, is_local=self._shared_memory)
            return self._issued

    def _check_ids(self, store: SqliteStore, issued: IssuedIds, identity: Identity) -> None:
        """Renew the ids of state that was restored from a backup, and record the last id.

        Raises:
            StateError: The state cannot be written.
        """
        digest, former_uid = store.path.stem, store.uid
        if store.is_new or not issued.has_more(
            digest, store.issued, store.former_uids, store.meta("directory")
        ):
            issued.add(digest, store.issued)
            return
        self._renew_ids(store, issued)
        self._log.warning(
            "state.restored",
            **identity.labels,
            former_ids=former_uid,
            ids=store.uid,
            next_seq=store.journal.next_seq,
            hint="the state is older than events that were sent, or was copied; "
            "further events have new ids",
        )

    def _renew_ids(self, store: SqliteStore, issued: IssuedIds) -> None:
        store.renew_ids(above_seq=issued.next_seq(store.path.stem))
        issued.add(store.path.stem, store.issued)

    def _remove(self, path: Path) -> None:
        remove(path)
        with suppress(StateError):
            self._issued_ids().forget(path.stem)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = set_aside(path, self._clock)
        self._log.error("state.damaged", file=str(path), kept_as=str(aside), error=reason)


def state_files(path: Path) -> list[Path]:
    """Return the state files in a directory, in no particular order.

    Raises:
        OSError: The directory cannot be read.
    """
    return [file for file in path.iterdir() if file.suffix == _SUFFIX]


def _lock(directory: Path) -> int:
    """Make a directory if it is not there, lock it, and return the descriptor of its lock file.

    Raises:
        StateError: The directory cannot be written, or another process has locked it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"the state directory cannot be used: {error.strerror}",
            place=str(directory),
            hint=f"let user {os.geteuid()} write to it, or name another one with --state",
        ) from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock_fd, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock_fd)
        raise StateError(
            f"another server uses this state directory (process {holder})",
            place=str(directory),
            hint="stop it, or name another directory with --state",
        ) from error
    return lock_fd
