"""The record of issued ids: shows that a state file is older than events that were sent.

A watch numbers its events in its state file. A backup of that file, put back, would give the same
ids to other events, and consumers would drop them as known. So a second file beside the state files
keeps the last id of each, and two marks of the directory itself:

- An id, which each state file repeats. It is made anew when the record turns out to be a copy: its
  file was made at another time than it says, or there are two of them. Then the directory was
  copied, moved or restored as a whole.
- A name, new at every start of a server: a backup that is copied over the directory adds its own
  record to the present one.

An entry is written after its commit and without waiting for the disk. So a crash or a power failure
can leave it behind its state file, but never ahead: neither looks like a restored backup. What
looks like one and is none costs new ids, and no event.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError
from watcher.filesystem.statx import born_ns

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PREFIX = "issued-"
"""Beginning of the name of a record; the rest is random."""

LINE_BYTES = 128
"""Size of a line in bytes: a divisor of a disk's sector, so that none is ever half written."""

_ID_BYTES = 8


class Issued(NamedTuple):
    """The last id of a state file.

    Attributes:
        uid: Its first part.
        next_seq: Sequence number of the next change.
    """

    uid: str
    next_seq: int


class IssuedIds:
    """The record of one state directory, held by the server that has locked it.

    Any thread may use it.

    Args:
        directory: The state directory.
        is_local: Whether files there keep the time at which they were made.

    Attributes:
        id: Random; the same as long as the directory is what it was at the last start.

    Raises:
        StateError: The record cannot be read or written.
    """

    def __init__(self, directory: Path, *, is_local: bool) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._offsets: dict[str, int] = {}
        self._entries: dict[str, Issued] = {}
        self._free = [LINE_BYTES]
        self._fd = -1
        try:
            former = sorted(directory.glob(f"{PREFIX}*"))
            path = directory / f"{PREFIX}{secrets.token_hex(4)}"
            if former:
                former[0].rename(path)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            born = str(born_ns(self._fd) if is_local else None)
            self.id, recorded = self._read()
            if not self.id or recorded != born or len(former) > 1:
                self.id = secrets.token_hex(_ID_BYTES)
                self._write(0, f"{self.id} {born}")
                os.fsync(self._fd)
            for other in former[1:]:
                other.unlink()
            _sync(directory)
        except OSError as error:
            self.close()
            raise self._error(error) from error

    def close(self) -> None:
        """Close the record; may be called twice."""
        closed_fd, self._fd = self._fd, -1
        if closed_fd >= 0:
            os.close(closed_fd)

    def next_seq(self, digest: str) -> int:
        """Return the sequence number of the next change of a state file; 0 if none was recorded."""
        entry = self._entries.get(digest)
        return 0 if entry is None else entry.next_seq

    def has_more(
        self, digest: str, present: Issued, former_uids: Collection[str], directory_id: str | None
    ) -> bool:
        """Return whether events may have been sent of which a state file has no trace.

        Args:
            digest: Name of the file.
            present: The last id that the file has.
            former_uids: First parts of ids that the file had before.
            directory_id: The ``id`` that the file had kept; None if it never was in a directory
                with a record.
        """
        if directory_id not in {None, self.id}:
            return True
        recorded = self._entries.get(digest)
        if recorded is None:
            return directory_id is not None
        if recorded.uid == present.uid:
            return recorded.next_seq > present.next_seq
        # A crash between the renewal of the ids and its record leaves a former one.
        return recorded.uid not in former_uids

    def add(self, digest: str, issued: Issued) -> None:
        """Record the last id of a state file that is being opened, and wait for the disk.

        Raises:
            StateError: It cannot be written.
        """
        with self._lock:
            is_new = digest not in self._offsets
            if is_new:
                self._offsets[digest] = self._free.pop()
                self._free = self._free or [self._offsets[digest] + LINE_BYTES]
            try:
                self._put(digest, issued)
                if is_new:
                    os.fdatasync(self._fd)
            except OSError as error:
                if is_new:
                    self._drop(digest)
                raise self._error(error) from error

    def note(self, digest: str, issued: Issued) -> None:
        """Record the last id of a state file, after the commit that issued it.

        What cannot be written is left out: the events are in their journal already.
        """
        if digest in self._offsets:
            with suppress(OSError):
                self._put(digest, issued)

    def forget(self, digest: str) -> None:
        """Leave out a state file that was removed; a copy of it counts as restored from now on."""
        with self._lock, suppress(OSError):
            if digest in self._offsets:
                self._write(self._drop(digest), "")

    def _drop(self, digest: str) -> int:
        """Forget an entry, and return where it was: there is room for another."""
        del self._entries[digest]
        self._free.append(self._offsets.pop(digest))
        return self._free[-1]

    def _put(self, digest: str, issued: Issued) -> None:
        self._entries[digest] = issued
        self._write(self._offsets[digest], f"{digest} {issued.uid} {issued.next_seq}")

    def _write(self, offset: int, line: str) -> None:
        os.pwrite(self._fd, f"{line:<{LINE_BYTES - 1}}\n".encode(), offset)

    def _read(self) -> tuple[str, str]:
        """Read the entries, and return the id and when the file was made; empty if unknown."""
        size_bytes = os.fstat(self._fd).st_size
        lines = os.pread(self._fd, size_bytes, 0).decode("ascii", "replace")
        head, *rest = [
            lines[at : at + LINE_BYTES].split() for at in range(0, len(lines), LINE_BYTES)
        ] or [[]]
        self._free = [LINE_BYTES * (len(rest) + 1)]
        for offset, parts in enumerate(rest, start=1):
            try:
                digest, uid, next_seq = parts
                self._entries[digest] = Issued(uid, int(next_seq))
                self._offsets[digest] = offset * LINE_BYTES
            except ValueError:
                self._free.append(offset * LINE_BYTES)
        return (head[0], head[1]) if len(head) == 2 else ("", "")  # noqa: PLR2004 - id and time

    def _error(self, error: OSError) -> StateError:
        return StateError(
            f"the record of issued ids cannot be used: {error.strerror}",
            place=str(self._directory),
            hint="make room in the state directory, or make it writable",
        )


def _sync(directory: Path) -> None:
    """Make the names in a directory durable, where the file system can do that."""
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
