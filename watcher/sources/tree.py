"""Reads a directory tree: entries by path, and whole subtrees. Knows nothing of notifications, hints or the index.

Paths are raw bytes relative to the root; a directory's path, a *prefix*, ends in ``/`` and is empty for the root. Only files are
entries. A symbolic link to a file counts as that file; one to a directory is followed when its target lies inside the root. Names
that begin with ``..`` are Kubernetes' own (AtomicWriter's ``..data`` and what it points to) and are never entries.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, UnavailableError
from watcher.model import Entry
from watcher.mounts import Mount, mount_of
from watcher.sources.base import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.patterns import PathFilter
    from watcher.spec import DirectorySpec

LINK_HOPS = 4
"""Links to directories that are followed within one path."""

DIGEST_MAX_BYTES = 2 * 1024 * 1024
"""Files of projected volumes up to this size are compared by content; the API server allows them 1 MiB."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


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
        links: Links to directories that were met and lead inside, by their prefix.
        mount: The mount that holds the root; None where that is unknown.
        is_projected: The root is a volume that Kubernetes writes: a ConfigMap, Secret, downward API or projected volume.
    """

    def __init__(self, spec: DirectorySpec, path_filter: PathFilter) -> None:
        self._spec = spec
        self._filter = path_filter
        self._root = b""
        self._identity = (-1, -1)
        self.links: dict[bytes, LinkedDirectory] = {}
        self.mount: Mount | None = None
        self.is_projected = False

    def open(self) -> None:
        """Find the root and remember which directory it is.

        Raises:
            NotFoundError: It does not exist or is not a directory.
            DeniedError: It may not be read.
            UnavailableError: It cannot be read now.
        """
        place = self._spec.place
        try:
            root = os.path.realpath(os.fsencode(self._spec.path))
            os.scandir(root).close()
            found = os.stat(root)
        except PermissionError as error:
            hint = f"give user {os.geteuid()} the right to read and search it"
            raise DeniedError("permission denied", place=place, hint=hint) from error
        except NotADirectoryError as error:
            raise NotFoundError("is not a directory", place=place, hint="name the directory that holds the file") from error
        except FileNotFoundError as error:
            raise NotFoundError("no such directory", place=place, hint="create it, or mount the volume there") from error
        except OSError as error:
            raise UnavailableError(f"cannot be read: {error.strerror}", place=place) from error
        self._root = root.rstrip(b"/") + b"/"
        self._identity = (found.st_dev, found.st_ino)
        self.mount = mount_of(self._spec.path)
        self.find_projection()
        self.links.clear()

    def check(self) -> None:
        """Make sure that the root is still the directory that was opened.

        Raises:
            UnavailableError: It is gone, or another directory or file system is in its place.
        """
        place = self._spec.place
        try:
            found = os.stat(self._spec.path)
        except OSError as error:
            raise UnavailableError(f"the directory is gone or cannot be read: {error.strerror}", place=place) from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise UnavailableError("another directory has taken its place", place=place)

    def find_projection(self) -> None:
        """Find out whether Kubernetes writes the root."""
        self.is_projected = os.path.islink(self._root + b"..data")

    def full(self, path: bytes) -> bytes:
        """Return the absolute path of a relative one."""
        return self._root + path

    def entry(self, path: bytes) -> Entry | None:
        """Return the file at a path, or None where none is.

        Raises:
            OSError: The path cannot be looked at, which does not mean that nothing is there.
        """
        full = self._root + path
        try:
            found = os.lstat(full)
            if stat.S_ISREG(found.st_mode):
                return self._file(path, found, projected=self._is_projected(path))
            if stat.S_ISLNK(found.st_mode) and self._spec.follow_symlinks:
                return self._linked_file(path)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        return None

    def linked_directory(self, path: bytes) -> LinkedDirectory | None:
        """Return the directory inside the root that a symbolic link at ``path`` leads to, and remember it; None for anything else."""
        prefix = path + b"/"
        self.links.pop(prefix, None)
        full = self._root + path
        if not self._spec.follow_symlinks or not self._spec.recursive or not os.path.islink(full):
            return None
        real = os.path.realpath(full) + b"/"
        if not real.startswith(self._root) or not os.path.isdir(real):
            return None
        self.links[prefix] = found = LinkedDirectory(prefix, real[len(self._root) :])
        return found

    def walk(self, prefix: bytes, enter: Callable[[bytes], None], unread: list[bytes]) -> Iterator[list[Entry]]:
        """Yield the entries below a prefix, in lists of at most ``BATCH_ENTRIES``; a directory that vanishes meanwhile has none.

        Args:
            prefix: Where to begin.
            enter: Called with each directory's prefix before it is read.
            unread: Gets the prefixes that cannot be read.
        """
        real = os.path.realpath(self._root + prefix) + b"/"
        inside = real[len(self._root) :] if real.startswith(self._root) else prefix
        hops = (inside,) if inside != prefix else ()
        steps = [_Step(prefix, inside, hops, projected=self._is_projected(prefix))]
        while steps:
            step = steps.pop()
            enter(step.prefix)
            try:
                with os.scandir(self._root + step.prefix) as items:
                    while entries := self._read(items, step, steps):
                        yield entries
            except OSError as error:
                if error.errno not in _ABSENT or not step.prefix:
                    unread.append(step.prefix)

    def _read(self, items: Iterator[os.DirEntry[bytes]], step: _Step, steps: list[_Step]) -> list[Entry]:
        """Return the next entries of a directory, none when it is read; put the directories in it on the list."""
        prefix, admits, entries = step.prefix, self._filter.admits, []
        for item in items:
            if item.is_file(follow_symlinks=False):
                path = prefix + item.name
                if not admits(path) or item.name[:2] == b"..":
                    continue
                try:
                    entry: Entry | None = self._file(path, item.stat(follow_symlinks=False), projected=step.projected)
                except FileNotFoundError:
                    continue
            else:
                entry = self._visit(item, step, steps)
            if entry is not None:
                entries.append(entry)
                if len(entries) == BATCH_ENTRIES:
                    break
        return entries

    def _visit(self, item: os.DirEntry[bytes], step: _Step, steps: list[_Step]) -> Entry | None:
        """Return the entry of an item that is not a plain file, or put the directory that it is on the list."""
        if item.name.startswith(b".."):
            return None
        path = step.prefix + item.name
        if item.is_symlink():
            return self._visit_link(path, step, steps)
        if item.is_dir(follow_symlinks=False) and self._spec.recursive and self._filter.admits_directory(path):
            steps.append(_Step(path + b"/", step.real + item.name + b"/", step.hops, projected=step.projected))
        return None

    def _visit_link(self, path: bytes, step: _Step, steps: list[_Step]) -> Entry | None:
        linked = self.linked_directory(path)
        if linked is not None:
            target = linked.target
            is_loop = step.real.startswith(target) or target in step.hops or len(step.hops) >= LINK_HOPS
            if not is_loop and self._filter.admits_directory(path):
                projected = step.projected or self._is_projected(path)
                steps.append(_Step(linked.prefix, target, (*step.hops, target), projected=projected))
            return None
        if not self._spec.follow_symlinks or not self._filter.admits(path):
            return None
        try:
            return self._linked_file(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def _linked_file(self, path: bytes) -> Entry | None:
        found = os.stat(self._root + path)
        if not stat.S_ISREG(found.st_mode):
            return None
        return self._file(path, found, projected=self._is_projected(path), is_link=True)

    def _file(self, path: bytes, found: os.stat_result, *, projected: bool, is_link: bool = False) -> Entry:
        if projected and found.st_size <= DIGEST_MAX_BYTES:
            with open(self._root + path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Entry(path, found.st_size, found.st_mtime_ns, etag=digest, is_link=True)
        # What Entry(...) does, without the call through its keyword arguments: a scan spends a tenth of its time there.
        values = (path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, "", "", is_link)
        return tuple.__new__(Entry, values)

    def _is_projected(self, path: bytes) -> bool:
        """Tell whether a path leads through Kubernetes' ``..data`` link, as the keys of ConfigMaps, Secrets and projected volumes do."""
        if not self.is_projected:
            return False
        try:
            first = path.split(b"/", 1)[0]
            return bool(first) and os.readlink(self._root + first).startswith(b"..data/")
        except OSError:
            return False
