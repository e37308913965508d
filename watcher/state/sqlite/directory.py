"""The state directory: which state file belongs to which identity, and that only one server uses them."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Self

import structlog

from watcher.errors import StateError
from watcher.filesystem.mounts import mount_of
from watcher.model import Identity
from watcher.state.sqlite.database import is_damaged, set_aside
from watcher.state.sqlite.store import WatchStore, read_summary

if TYPE_CHECKING:
    from pathlib import Path

KEEP_S = 30 * 86_400.0
"""State that no stream has used for so long is removed; what counts is the time up to when a stream last opened any state here.

That is the time of the lock file. A clock that is wrong, or a server that was down for longer than that, removes nothing.
"""

PROBE_BYTES = 65_536
"""Room that there must be for state files to grow."""

_SUFFIX = ".db"


class StateDirectory:
    """The directory with the state files of one server; use it as a context manager.

    Args:
        path: Made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = -1
        self._shared_memory = True
        self._opened: dict[Path, WatchStore] = {}
        self._log = structlog.get_logger("watcher").bind(state=str(path))

    def __enter__(self) -> Self:
        """Take the directory for this process.

        Raises:
            StateError: It cannot be written, or another server has it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = os.open(
                self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            message = f"the state directory cannot be used: {error.strerror}"
            hint = f"let user {os.geteuid()} write to it, or name another one with --state"
            raise StateError(message, place=str(self.path), hint=hint) from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._lock_fd, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock_fd)
            message = f"another server uses this state directory (process {holder})"
            raise StateError(
                message,
                place=str(self.path),
                hint="stop it, or name another directory with --state",
            ) from error
        lock = os.fstat(self._lock_fd)
        os.ftruncate(self._lock_fd, 0)
        os.write(self._lock_fd, f"{os.getpid()}\n".encode())
        os.utime(self._lock_fd, ns=(lock.st_atime_ns, lock.st_mtime_ns))
        mount = mount_of(str(self.path))
        if mount is not None and not mount.notifies:
            self._shared_memory = False
            self._log.warning(
                "state.network", type=mount.type, hint="a local disk is faster and safer for state"
            )
        self._collect(min(time.time(), lock.st_mtime))
        return self

    def __exit__(self, *_: object) -> None:
        """Give the directory back."""
        os.close(self._lock_fd)

    def probe(self) -> None:
        """Make sure that something can be written here, and leave nothing behind.

        Raises:
            StateError: It cannot.
        """
        try:
            with tempfile.TemporaryFile(dir=self.path, buffering=0) as file:
                file.write(bytes(PROBE_BYTES))
                os.fsync(file.fileno())
        except OSError as error:
            message = f"the state directory cannot be written: {error.strerror}"
            raise StateError(
                message, place=str(self.path), hint="make room there, or make it writable"
            ) from error

    def open(self, identity: Identity) -> WatchStore:
        """Open the state of an identity; a damaged file is set aside, which is logged, and a new one begun.

        To look for damage would be to read all of the file; what is not seen here shows when it is read, and counts at the next opening.

        Raises:
            StateError: The file cannot be used.
        """
        path = self.path / (identity.digest + _SUFFIX)
        former = self._opened.pop(path, None)
        if former is not None and former.found_damage:
            self._set_aside(path, "it was found damaged when it was last used")
        try:
            store = WatchStore(path, shared_memory=self._shared_memory)
        except StateError as error:
            if not is_damaged(error):
                raise
            self._set_aside(path, str(error))
            store = WatchStore(path, shared_memory=self._shared_memory)
        self._opened[path] = store
        try:
            store.set_meta(
                principal=identity.principal,
                name=identity.name,
                place=identity.place,
                used_at=str(int(time.time())),
            )
        except StateError:
            store.close()
            raise
        os.utime(self._lock_fd)
        return store

    def summaries(self) -> dict[Identity, dict[str, str | float]]:
        """Return whose state is here and what it says of itself, but of files that cannot be read; see ``store.read_summary``.

        Raises:
            StateError: The directory cannot be read.
        """
        found = {}
        try:
            files = state_files(self.path)
        except OSError as error:
            raise StateError(
                f"the state directory cannot be read: {error.strerror}", place=str(self.path)
            ) from error
        for file in files:
            with suppress(StateError):
                summary = read_summary(file)
                found[
                    Identity(str(summary["principal"]), str(summary["name"]), str(summary["place"]))
                ] = summary
        return found

    def summary(self, identity: Identity) -> dict[str, str | float]:
        """Return what the state of a watch says of itself; see ``store.read_summary``.

        Raises:
            StateError: It cannot be read.
        """
        return read_summary(self.path / (identity.digest + _SUFFIX))

    def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run."""
        path = self.path / (identity.digest + _SUFFIX)
        self._opened.pop(path, None)
        _remove(path)

    def rewind(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Take back confirmations in the state of a watch that does not run; see ``WatchStore.rewind``.

        Returns:
            The sequence numbers that are no longer confirmed.

        Raises:
            StateError: The file cannot be used.
        """
        with closing(
            WatchStore(self.path / (identity.digest + _SUFFIX), shared_memory=self._shared_memory)
        ) as store:
            before = store.cursor
            return range(store.rewind(seq=seq, time_s=time_s) + 1, before + 1)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = set_aside(path)
        self._log.error("state.damaged", file=str(path), kept_as=str(aside), error=reason)

    def _collect(self, in_use_s: float) -> None:
        """Remove state that no stream has used for long before the directory was last in use."""
        for path in state_files(self.path):
            if in_use_s - path.stat().st_mtime < KEEP_S:
                continue
            try:
                store = WatchStore(path, shared_memory=self._shared_memory)
                used_at, place = float(store.meta("used_at") or 0), store.meta("place")
                store.close()
            except StateError:
                continue
            if in_use_s - used_at >= KEEP_S:
                _remove(path)
                self._log.info("state.removed", place=place, file=str(path))


def _remove(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def state_files(path: Path) -> list[Path]:
    """Return the state files in a directory, in no particular order."""
    return [file for file in path.iterdir() if file.suffix == _SUFFIX]
