"""Reads the contents of a tree's files for their digests, in the threads of ``digest_readers``.

The thread of the watch adds files and takes results; what both threads use is under a lock. A
result counts only if the file was the same before and after its reading.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.limits.fair_share import FairShare
from watcher.sources.directory.entries import make_entry
from watcher.sources.directory.root import ABSENT, Root

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from watcher.filesystem.port import Files
    from watcher.model import Entry
    from watcher.sources.directory.digest_readers import DigestReaders
    from watcher.spec import DirectorySpec

CONTENT_MAX_BYTES = 1 << 30
"""Maximum size of a file that is compared by content; reading 1 GiB takes seconds."""

QUEUE_MAX = 10_000
"""Maximum number of changed files of one tree that wait for their digests, about 5 MB; others are
left for a further scan."""

ALL_QUEUES_MAX = 100_000
"""The same for all trees of a process, about 50 MB."""

ATTEMPTS_MAX = 10
"""Readings of a file that changes each time, after which it is compared by its attributes."""

UNREADABLE_MAX = 1000
"""Maximum number of files remembered that cannot be read, to try them again."""

CHUNK_BYTES = 1 << 20
"""Maximum number of bytes read at once; a reading is stopped between two chunks."""

TURN_BYTES = 16 << 20
FILE_BYTES = 64 << 10
"""Bytes that are read of one tree before the next one has its turn, and the cost of opening a file
in bytes."""

LEARNED_BYTES = 64 << 20
"""Bytes read of unchanged files after which their digests are committed."""

_ALL_TREES = FairShare(ALL_QUEUES_MAX)


class Outcome(Enum):
    """What a reading gave."""

    READ = auto()
    UNREADABLE = auto()
    CHANGED = auto()


@dataclass(slots=True)
class Job:
    """A file whose content is to be read.

    Attributes:
        entry: The file as it was observed.
        attributes_only: Its notifications named nothing but attributes.
        is_background: It has not changed; its digest is not known yet.
        has_stable_inode: Its inode is compared, too.
    """

    entry: Entry
    attributes_only: bool = False
    is_background: bool = False
    has_stable_inode: bool = True

    def is_unchanged(self, found: Entry) -> bool:
        """Return whether what was found at the path is the file as it was observed."""
        entry = self.entry
        return (entry.size, entry.mtime_ns, entry.ctime_ns, entry.is_link) == (
            found.size,
            found.mtime_ns,
            found.ctime_ns,
            found.is_link,
        ) and (entry.inode == found.inode or not self.has_stable_inode)


@dataclass(frozen=True, slots=True)
class Result:
    """A job that is done; the digest is in hexadecimal, and empty unless the file was read."""

    job: Job
    outcome: Outcome
    digest: str = ""


class Digests:
    """The files of one tree whose contents are to be read.

    All but ``read_turn`` and ``is_waiting`` is for the thread of the watch.

    Args:
        spec: The tree, and whether links are followed.
        files: Opens directories and files.
        within: Directories, free of links, that may be read; None allows any.
        readers: The threads that read.
        has_stable_inodes: Returns whether the inode of the file at a path stays the same.
        wake: Called from any thread when ``take`` has results.
        all_trees: What the trees of the process have in common: the bound on their queues.

    Attributes:
        place: Canonical URI.
        unreadable: Files that could not be read when that was last tried.

    Raises:
        WatcherError: See ``Root.open``.
    """

    def __init__(  # noqa: PLR0913 - all that the reading of contents deals with
        self,
        spec: DirectorySpec,
        files: Files,
        *,
        within: Sequence[str] | None,
        readers: DigestReaders,
        has_stable_inodes: Callable[[bytes], bool],
        wake: Callable[[], None],
        all_trees: FairShare = _ALL_TREES,
    ) -> None:
        self.place = spec.place
        self.unreadable: set[bytes] = set()
        # Of its own: a root is for one thread, and one reader at a time has this tree.
        self._root = Root(spec, files, within=within)
        self._root.open()
        self._readers = readers
        self._has_stable_inodes = has_stable_inodes
        self._wake = wake
        self._all_trees = all_trees
        self._lock = threading.Lock()
        self._urgent: dict[bytes, Job] = {}
        self._background: dict[bytes, Job] = {}
        self._reading: Job | None = None
        self._done: dict[bytes, Result] = {}
        self._learned_bytes = 0
        self._attempts: dict[bytes, int] = {}
        self._is_overfull = False
        self._is_closed = False

    def add(self, entries: Iterable[Entry], attributes_only: Collection[bytes] = ()) -> list[Entry]:
        """Have contents read; return the entries that are to be compared without a digest.

        Entries for which there is no room are neither read nor returned.

        Args:
            entries: Files that have changed.
            attributes_only: Paths whose notifications named nothing but attributes.
        """
        without: list[Entry] = []
        jobs: list[Job] = []
        for entry in entries:
            if entry.size > CONTENT_MAX_BYTES or self._is_exhausted(entry.path):
                without.append(entry)
            else:
                jobs.append(self._job(entry, attributes_only=entry.path in attributes_only))
        with self._lock:
            for job in jobs:
                self._put(job)
            is_waiting = bool(self._urgent)
        if is_waiting:
            self._readers.schedule(self)
        return without

    def learn(self, entries: Iterable[Entry]) -> None:
        """Have the contents of unchanged files read when no changed file waits."""
        with self._lock:
            for entry in entries:
                if entry.size <= CONTENT_MAX_BYTES and not self._is_known(entry):
                    self._background[entry.path] = self._job(entry, is_background=True)
            is_waiting = bool(self._background)
        if is_waiting:
            self._readers.schedule(self)

    def discard(self, paths: Iterable[bytes]) -> None:
        """Forget the files at paths at which nothing is any more."""
        with self._lock:
            for path in paths:
                self._urgent.pop(path, None)
                self._background.pop(path, None)
                self._done.pop(path, None)
                self._attempts.pop(path, None)
                self.unreadable.discard(path)
                if self._reading is not None and self._reading.entry.path == path:
                    self._reading = None

    def take(self) -> list[Result]:
        """Remove and return the results, in the order in which they came."""
        with self._lock:
            results = [each for path, each in self._done.items() if path not in self._urgent]
            self._done.clear()
            self._learned_bytes = 0
            self._all_trees.admit(self, len(self._urgent))
        return results

    def settle(self, result: Result, found: Entry) -> bool:
        """Record a result; return whether it holds for what was found at the path since."""
        path = result.job.entry.path
        if result.outcome is Outcome.CHANGED or not result.job.is_unchanged(found):
            if not result.job.is_background:
                self._attempts[path] = self._attempts.get(path, 0) + 1
            return False
        self._attempts.pop(path, None)
        if result.outcome is Outcome.READ:
            self.unreadable.discard(path)
        elif len(self.unreadable) < UNREADABLE_MAX:
            self.unreadable.add(path)
        return True

    def unsettled(self) -> list[bytes]:
        """Return the paths of files that have changed and wait; an empty one for some left out."""
        with self._lock:
            jobs = [*self._urgent.values(), *(result.job for result in self._done.values())]
            if self._reading is not None:
                jobs.append(self._reading)
            left_out = [b""] * self._is_overfull
            return left_out + [job.entry.path for job in jobs if not job.is_background]

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or is read, and all results were taken."""
        with self._lock:
            return not (self._urgent or self._background or self._done or self._reading)

    @property
    def is_waiting(self) -> bool:
        """Whether a reader has something to do."""
        with self._lock:
            return not self._is_closed and bool(self._urgent or self._background)

    def end_overflow(self) -> bool:
        """Return whether files were left out for want of room, and there is room again."""
        with self._lock:
            if not self._is_overfull or self._urgent:
                return False
            self._is_overfull = False
            return True

    def close(self) -> None:
        """Drop everything; a reading ends soon after."""
        with self._lock:
            self._is_closed = True
            self._urgent.clear()
            self._background.clear()
            self._done.clear()
            self._all_trees.admit(self, 0)

    def _job(
        self, entry: Entry, *, attributes_only: bool = False, is_background: bool = False
    ) -> Job:
        return Job(entry, attributes_only, is_background, self._has_stable_inodes(entry.path))

    def _is_exhausted(self, path: bytes) -> bool:
        """Return whether a file has changed at each of many attempts, which then count anew."""
        if self._attempts.get(path, 0) < ATTEMPTS_MAX:
            return False
        del self._attempts[path]
        return True

    def _is_known(self, entry: Entry) -> bool:
        """Return whether the same file waits, is read or is done."""
        done = self._done.get(entry.path)
        jobs = (self._urgent.get(entry.path), self._reading, done.job if done else None)
        return any(job is not None and job.entry == entry for job in jobs)

    def _put(self, job: Job) -> None:
        path = job.entry.path
        self._background.pop(path, None)
        if self._is_known(job.entry):
            return
        count = len(self._urgent) + len(self._done) + 1
        if path not in self._urgent and (
            count > QUEUE_MAX or not self._all_trees.admit(self, count)
        ):
            self._is_overfull = True
            return
        self._urgent[path] = job

    # The thread of a reader

    def read_turn(self) -> None:
        """Read some of the files that wait."""
        left_bytes = TURN_BYTES
        while left_bytes > 0 and (job := self._next_job()) is not None:
            self._finish(job, *self._read(job))
            left_bytes -= job.entry.size + FILE_BYTES

    def _next_job(self) -> Job | None:
        with self._lock:
            waiting = self._urgent or self._background
            if self._is_closed or not waiting:
                return None
            self._reading = job = waiting.pop(next(iter(waiting)))
            return job

    def _finish(self, job: Job, outcome: Outcome, digest: str) -> None:
        with self._lock:
            is_dropped = self._reading is not job or self._is_closed
            self._reading = None
            if not is_dropped:
                self._done[job.entry.path] = Result(job, outcome, digest)
                self._learned_bytes += job.entry.size + FILE_BYTES
            is_due = (
                not job.is_background
                or not (self._urgent or self._background)
                or self._learned_bytes >= LEARNED_BYTES
            )
        if is_due:
            self._wake()

    def _read(self, job: Job) -> tuple[Outcome, str]:
        path = job.entry.path
        try:
            with self._opened(path) as (file, is_link):
                if not job.is_unchanged(make_entry(path, os.fstat(file), is_link=is_link)):
                    return Outcome.CHANGED, ""
                digest = self._hash(file, job)
                if digest and job.is_unchanged(make_entry(path, os.fstat(file), is_link=is_link)):
                    return Outcome.READ, digest
                return Outcome.CHANGED, ""
        except OSError as error:
            return Outcome.CHANGED if error.errno in ABSENT else Outcome.UNREADABLE, ""
        except WatcherError:
            return Outcome.CHANGED, ""

    @contextmanager
    def _opened(self, path: bytes) -> Iterator[tuple[int, bool]]:
        """Provide a descriptor of the file at a path, and whether the path is a link to it."""
        parent, _, name = path.rpartition(b"/")
        with self._root.directory(parent) as directory:
            is_link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            file = self._root.find_file(path, directory=directory, is_link=is_link)
        with closing(file):
            if not stat.S_ISREG(file.stat().st_mode):
                raise FileNotFoundError(errno.ENOENT, "no file", path)
            content = file.open_content()
        try:
            yield content, is_link
        finally:
            os.close(content)

    def _hash(self, file: int, job: Job) -> str:
        """Return the digest of a file; empty if it is longer than expected, or of no use now."""
        digest = hashlib.sha256()
        left_bytes = job.entry.size
        buffer = memoryview(bytearray(min(CHUNK_BYTES, left_bytes + 1)))
        while count := os.readv(file, [buffer]):
            left_bytes -= count
            if left_bytes < 0 or self._reading is not job or self._is_closed:
                return ""
            digest.update(buffer[:count])
        return digest.hexdigest()
