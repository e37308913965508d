"""Reads a directory tree: entries by path, and whole subtrees. Knows nothing of notifications, hints or the index.

Paths are raw bytes relative to the root; a directory's path, a *prefix*, ends in ``/`` and is empty for the root. Only files are
entries. A symbolic link to a file counts as that file; one to a directory is followed when its target lies inside the root. Names
that begin with ``..`` are Kubernetes' own (AtomicWriter's ``..data`` and what it points to) and are never entries.

Whoever writes below the root may swap directories and links at any time. So the root is held by a descriptor while it is read, its
directories are opened beneath it, and their files looked at by name in what was opened: see ``beneath.py``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.errors import DeniedError
from watcher.filesystem.mounts import subpath_mounts
from watcher.filesystem.openat2 import open_beneath, proc_fd_path
from watcher.model import Entry
from watcher.sources.directory.root import Root
from watcher.sources.protocol import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.spec import DirectorySpec

LINK_HOPS = 4
"""Links to directories that are followed within one path."""

DIGEST_MAX_BYTES = 2 * 1024 * 1024
"""Files of projected volumes up to this size are compared by content; the API server allows them 1 MiB."""

_INT64_MAX = (1 << 63) - 1
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV})
"""Nothing is there, or only what a link leads to that must not be followed."""


@dataclass(frozen=True, slots=True)
class LinkedDirectory:
    """A symbolic link to a directory inside the root.

    Attributes:
        prefix: Where it is, as a prefix.
        target: The prefix of the directory that it leads to.
    """

    prefix: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    """A directory that a walk has still to read, and the links to directories that led there."""

    prefix: bytes
    real: bytes
    hops: tuple[bytes, ...] = ()
    projected: bool = False


class Tree:
    """The files below one directory.

    Attributes:
        root: The directory itself.
        links: Links to directories that were met and lead inside, by their prefix.
        subpaths: Where Kubernetes mounted parts of volumes with ``subPath``, at the root or below it.
        projected_volumes: Prefixes of the volumes met that Kubernetes writes: ConfigMaps, Secrets, downward API, projected volumes.
        links_outside: Links to files met that lead out of what the server allows; they are no entries.
    """

    def __init__(
        self, spec: DirectorySpec, path_filter: PathFilter, *, within: Sequence[str] | None
    ) -> None:
        self._spec = spec
        self._filter = path_filter
        self.root = Root(spec, within=within)
        self.links: dict[bytes, LinkedDirectory] = {}
        self.subpaths: list[str] = []
        self.projected_volumes: set[bytes] = set()
        self.links_outside: set[bytes] = set()

    def open(self) -> None:
        """Find the root and remember which directory it is.

        Raises:
            WatcherError: As ``Root.open``.
        """
        self.root.open()
        self.subpaths = [mount.point for mount in subpath_mounts(self._spec.path)]
        for met in (self.projected_volumes, self.links, self.links_outside):
            met.clear()

    def find_projection(self, prefix: bytes) -> None:
        """Find out whether Kubernetes writes the directory at a prefix."""
        try:
            with self.root.directory(prefix) as directory:
                os.readlink(b"..data", dir_fd=directory)
        except OSError:
            self.projected_volumes.discard(prefix)
        else:
            self.projected_volumes.add(prefix)

    def is_readable(self, prefix: bytes) -> bool:
        """Tell whether the directory at a prefix is there, and may be read and searched."""
        try:
            with self.root.directory(prefix) as directory:
                return os.access(proc_fd_path(directory), os.R_OK | os.X_OK, effective_ids=True)
        except OSError:
            return False

    def entry(self, path: bytes) -> Entry | None:
        """Return the file at a path, or None where none is, or where only a link that must not be followed leads to one.

        Raises:
            OSError: The path cannot be looked at, which does not mean that nothing is there.
            WatcherError: As ``Root.held``.
        """
        # A directory that gives way to another, as Kubernetes swaps them, is emptied afterwards. So what was looked for in the first, and
        # had gone from it, is in the second by then.
        return self._find(path) or self._find(path)

    def _find(self, path: bytes) -> Entry | None:
        self.links_outside.discard(path)
        parent, _, name = path.rpartition(b"/")
        try:
            with self.root.directory(parent) as directory:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                is_link = stat.S_ISLNK(found.st_mode)
                if is_link and self._spec.follow_symlinks:
                    return self._file(
                        directory, path, is_link=True, projected=self._is_projected(path)
                    )
                if not stat.S_ISREG(found.st_mode):
                    return None
                return (
                    self._file(directory, path, projected=True)
                    if self._is_projected(path)
                    else observed(path, found)
                )
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        return None

    def directory_link(self, path: bytes) -> LinkedDirectory | None:
        """Return the directory inside the root that a symbolic link at ``path`` leads to, and remember it; None for anything else."""
        prefix = path + b"/"
        self.links.pop(prefix, None)
        if not self._spec.follow_symlinks or not self._spec.recursive:
            return None
        try:
            with self.root.directory(path, os.O_PATH | os.O_NOFOLLOW) as link:
                if not stat.S_ISLNK(os.fstat(link).st_mode):
                    return None
            with self.root.directory(prefix) as directory:
                target = self.root.prefix(directory)
        except OSError:
            return None
        self.links[prefix] = found = LinkedDirectory(prefix, target)
        return found

    def walk(
        self, prefix: bytes, enter: Callable[[bytes, int], None], unread: list[bytes]
    ) -> Iterator[list[Entry]]:
        """Yield the entries below a prefix, in lists of at most ``BATCH_ENTRIES``; a directory that vanishes meanwhile has none.

        Args:
            prefix: Where to begin.
            enter: Called with each directory's own prefix, links resolved, and its descriptor, before it is read.
            unread: Gets the prefixes and paths that cannot be read.

        Raises:
            WatcherError: As ``Root.held``.
        """
        self.links_outside = {path for path in self.links_outside if not path.startswith(prefix)}
        with self.root.held() as root:
            try:
                with self.root.directory(prefix) as directory:
                    inside = self.root.prefix(directory)
                first = _Step(
                    prefix,
                    inside,
                    (inside,) if inside != prefix else (),
                    projected=self._is_projected(prefix),
                )
            except OSError as error:
                if error.errno not in _ABSENT:
                    unread.append(prefix)
                return
            if prefix != inside and prefix.startswith(inside):
                return
            steps = [first]
            while steps:
                step = steps.pop()
                try:
                    directory = open_beneath(
                        root,
                        step.prefix,
                        os.O_RDONLY | os.O_DIRECTORY,
                        follow=self._spec.follow_symlinks,
                    )
                    try:
                        enter(step.real, directory)
                        yield from self._read(directory, step, steps, unread)
                    finally:
                        os.close(directory)
                except OSError as error:
                    if error.errno not in _ABSENT or not step.prefix:
                        unread.append(step.prefix)

    def _read(
        self, directory: int, step: _Step, steps: list[_Step], unread: list[bytes]
    ) -> Iterator[list[Entry]]:
        """Yield the files of a directory, and put the directories in it on the list."""
        links: list[bytes] = []
        with os.scandir(directory) as items:
            while entries := self._take(items, directory, step, steps, links):
                yield entries
        # Links come last, when it is known whether Kubernetes writes this directory; a listing during a swap may leave ``..data`` out.
        if links or step.prefix in self.projected_volumes:
            self.find_projection(step.prefix)
        if entries := [
            entry
            for path in links
            if (entry := self._visit_link(directory, path, step, steps, unread)) is not None
        ]:
            yield entries

    def _take(
        self,
        items: Iterator[os.DirEntry[str]],
        directory: int,
        step: _Step,
        steps: list[_Step],
        links: list[bytes],
    ) -> list[Entry]:
        """Return the next files of a directory, none when it is read; put directories and links on their lists."""
        prefix, admits, encode, entries = (
            step.prefix,
            self._filter.admits,
            os.fsencode,
            list[Entry](),
        )
        for item in items:
            name = item.name
            if name[:2] == "..":
                if name == "..data":
                    # Also while no link leads through it yet: those that come are heard of one by one.
                    self.find_projection(prefix)
                continue
            path = prefix + encode(name)
            if item.is_file(follow_symlinks=False):
                if not admits(path):
                    continue
                try:
                    entry = (
                        self._file(directory, path, projected=True)
                        if step.projected
                        else observed(path, item.stat(follow_symlinks=False))
                    )
                except FileNotFoundError:
                    continue
                entries.append(entry)
                if len(entries) == BATCH_ENTRIES:
                    break
            elif item.is_symlink():
                links.append(path)
            elif (
                self._spec.recursive
                and item.is_dir(follow_symlinks=False)
                and self._filter.admits_directory(path)
            ):
                steps.append(
                    _Step(
                        path + b"/",
                        step.real + path[len(prefix) :] + b"/",
                        step.hops,
                        projected=step.projected,
                    )
                )
        return entries

    def _visit_link(
        self, directory: int, path: bytes, step: _Step, steps: list[_Step], unread: list[bytes]
    ) -> Entry | None:
        """Return the entry of a link to a file, or put the directory that it leads to on the list."""
        linked = self.directory_link(path)
        if linked is not None:
            target = linked.target
            is_loop = (
                step.real.startswith(target) or target in step.hops or len(step.hops) >= LINK_HOPS
            )
            if not is_loop and self._filter.admits_directory(path):
                try:
                    projected = step.projected or self._is_projected(path)
                except OSError:
                    return None
                steps.append(
                    _Step(linked.prefix, target, (*step.hops, target), projected=projected)
                )
            return None
        if not self._spec.follow_symlinks or not self._filter.admits(path):
            return None
        try:
            return self._file(directory, path, is_link=True, projected=self._is_projected(path))
        except OSError as error:
            if error.errno not in _ABSENT:
                unread.append(path)
            return None

    def _file(
        self, directory: int, path: bytes, *, is_link: bool = False, projected: bool
    ) -> Entry:
        """Return the file with the last name of a path in a directory, or that to which a link of this name leads.

        Raises:
            FileNotFoundError: There is none, or it must not be looked at.
            OSError: It cannot be read.
        """
        name = path.rpartition(b"/")[2]
        try:
            fd = (
                self.root.open_allowed(name, directory=directory)
                if is_link
                else os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            )
        except DeniedError:
            self.links_outside.add(path)
            raise FileNotFoundError(
                errno.ENOENT, "leads out of what may be looked at", path
            ) from None
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                return self._opened(fd, path, found, is_link=is_link, projected=projected)
        finally:
            os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "no file", path)

    @staticmethod
    def _opened(
        fd: int, path: bytes, found: os.stat_result, *, is_link: bool, projected: bool
    ) -> Entry:
        if not projected or found.st_size > DIGEST_MAX_BYTES:
            return observed(path, found, is_link=is_link)
        with open(proc_fd_path(fd), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Entry(path, found.st_size, found.st_mtime_ns, etag=digest, is_link=True)

    def _is_projected(self, path: bytes) -> bool:
        """Tell whether a path leads through Kubernetes' ``..data`` link, as the keys of ConfigMaps, Secrets and projected volumes do.

        Raises:
            OSError: The key has vanished meanwhile, so nothing can be told.
        """
        for prefix in self.projected_volumes:
            if not path.startswith(prefix) or path == prefix:
                continue
            key = path[len(prefix) :].split(b"/", 1)[0]
            try:
                with self.root.directory(prefix) as directory:
                    if os.readlink(key, dir_fd=directory).startswith(b"..data/"):
                        return True
            except OSError as error:
                if error.errno in _ABSENT:
                    raise
        return False


def observed(path: bytes, found: os.stat_result, *, is_link: bool = False) -> Entry:
    """Return the entry of a file by what stat(2) says of it."""
    inode, mtime_ns = found.st_ino, found.st_mtime_ns
    if inode > _INT64_MAX or mtime_ns > _INT64_MAX:
        # SQLite's integers have a sign; a date that far away only needs to stay the same.
        inode, mtime_ns = (
            (inode if inode <= _INT64_MAX else inode - (1 << 64)),
            min(mtime_ns, _INT64_MAX),
        )
    # What Entry(...) does, without the call through its keyword arguments: a scan spends a tenth of its time there.
    return tuple.__new__(
        Entry, (path, found.st_size, mtime_ns, found.st_ctime_ns, inode, "", "", is_link)
    )
