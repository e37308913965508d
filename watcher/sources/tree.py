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
from watcher.mounts import Mount, mount_of, subpath_mounts
from watcher.sources.base import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.patterns import PathFilter
    from watcher.spec import DirectorySpec

LINK_HOPS = 4
"""Links to directories that are followed within one path."""

DIGEST_MAX_BYTES = 2 * 1024 * 1024
"""Files of projected volumes up to this size are compared by content; the API server allows them 1 MiB."""

_INT64_MAX = (1 << 63) - 1
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
        subpaths: Where Kubernetes mounted parts of volumes with ``subPath``, at the root or below it.
        projections: Prefixes of the volumes met that Kubernetes writes: ConfigMaps, Secrets, downward API, projected volumes.
    """

    def __init__(self, spec: DirectorySpec, path_filter: PathFilter) -> None:
        self._spec = spec
        self._filter = path_filter
        self._root = b""
        self._identity = (-1, -1)
        self.links: dict[bytes, LinkedDirectory] = {}
        self.mount: Mount | None = None
        self.subpaths: list[str] = []
        self.projections: set[bytes] = set()

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
        self.subpaths = [mount.point for mount in subpath_mounts(self._spec.path)]
        self.projections.clear()
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

    def find_projection(self, prefix: bytes) -> None:
        """Find out whether Kubernetes writes the directory at a prefix."""
        if os.path.islink(self._root + prefix + b"..data"):
            self.projections.add(prefix)
        else:
            self.projections.discard(prefix)

    def full(self, path: bytes) -> bytes:
        """Return the absolute path of a relative one."""
        return self._root + path

    def entry(self, path: bytes, reachable: dict[bytes, bool] | None = None) -> Entry | None:
        """Return the file at a path, or None where none is, or where only a link that must not be followed leads to one.

        Args:
            path: Where to look.
            reachable: What earlier calls found out about parents; to be used for looks at one moment, and then dropped.

        Raises:
            OSError: The path cannot be looked at, which does not mean that nothing is there.
        """
        reachable = {} if reachable is None else reachable
        full = self._root + path
        try:
            found = os.lstat(full)
            parent = path.rpartition(b"/")[0]
            if parent not in reachable:
                reachable[parent] = self._is_reachable(parent)
            if not reachable[parent]:
                return None
            if stat.S_ISREG(found.st_mode):
                return self._file(path, found, projected=self._is_projected(path))
            if stat.S_ISLNK(found.st_mode) and self._spec.follow_symlinks:
                return self._linked_file(path)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        return None

    def _is_reachable(self, directory: bytes) -> bool:
        """Tell whether no link on the way to a directory leads out of the root, or is there at all where links are not followed."""
        fd = os.open(self._root + directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            real = os.readlink(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)
        return (real + b"/").startswith(self._root) if self._spec.follow_symlinks else real == (self._root + directory).rstrip(b"/")

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
            enter: Called with each directory's own prefix, links resolved, before it is read.
            unread: Gets the prefixes and paths that cannot be read.
        """
        real = os.path.realpath(self._root + prefix).rstrip(b"/") + b"/"
        if not real.startswith(self._root) or (real != self._root + prefix and not self._spec.follow_symlinks):
            return
        inside = real[len(self._root) :]
        if prefix != inside and prefix.startswith(inside):
            return
        try:
            steps = [_Step(prefix, inside, (inside,) if inside != prefix else (), projected=self._is_projected(prefix))]
        except OSError:
            return
        while steps:
            step = steps.pop()
            enter(step.real)
            links: list[bytes] = []
            try:
                with os.scandir(self._root + step.prefix) as items:
                    while entries := self._read(items, step, steps, links):
                        yield entries
            except OSError as error:
                if error.errno not in _ABSENT or not step.prefix:
                    unread.append(step.prefix)
            # Links come last, when it is known whether Kubernetes writes this directory; a listing during a swap may leave ``..data`` out.
            if links or step.prefix in self.projections:
                self.find_projection(step.prefix)
            if entries := [entry for path in links if (entry := self._visit_link(path, step, steps, unread)) is not None]:
                yield entries

    def _read(self, items: Iterator[os.DirEntry[bytes]], step: _Step, steps: list[_Step], links: list[bytes]) -> list[Entry]:
        """Return the next files of a directory, none when it is read; put directories and links on their lists."""
        prefix, admits, entries = step.prefix, self._filter.admits, list[Entry]()
        for item in items:
            name = item.name
            if name[:2] == b"..":
                if name == b"..data":
                    # Also while no link leads through it yet: those that come are heard of one by one.
                    self.find_projection(prefix)
                continue
            if item.is_file(follow_symlinks=False):
                path = prefix + name
                if not admits(path):
                    continue
                try:
                    entries.append(self._file(path, item.stat(follow_symlinks=False), projected=step.projected))
                except FileNotFoundError:
                    continue
                if len(entries) == BATCH_ENTRIES:
                    break
            elif item.is_symlink():
                links.append(prefix + name)
            elif self._spec.recursive and item.is_dir(follow_symlinks=False) and self._filter.admits_directory(prefix + name):
                steps.append(_Step(prefix + name + b"/", step.real + name + b"/", step.hops, projected=step.projected))
        return entries

    def _visit_link(self, path: bytes, step: _Step, steps: list[_Step], unread: list[bytes]) -> Entry | None:
        """Return the entry of a link to a file, or put the directory that it leads to on the list."""
        linked = self.linked_directory(path)
        if linked is not None:
            target = linked.target
            is_loop = step.real.startswith(target) or target in step.hops or len(step.hops) >= LINK_HOPS
            if not is_loop and self._filter.admits_directory(path):
                try:
                    projected = step.projected or self._is_projected(path)
                except OSError:
                    return None
                steps.append(_Step(linked.prefix, target, (*step.hops, target), projected=projected))
            return None
        if not self._spec.follow_symlinks or not self._filter.admits(path):
            return None
        try:
            return self._linked_file(path)
        except OSError as error:
            if error.errno not in _ABSENT:
                unread.append(path)
            return None

    def _linked_file(self, path: bytes) -> Entry | None:
        found = os.stat(self._root + path)
        if not stat.S_ISREG(found.st_mode):
            return None
        return self._file(path, found, projected=self._is_projected(path), is_link=True)

    def _file(self, path: bytes, found: os.stat_result, *, projected: bool, is_link: bool = False) -> Entry:
        if projected and found.st_size <= DIGEST_MAX_BYTES:
            with open(self._root + path, "rb") as file:
                # Of the file that is read: a swap may have put another one here since.
                found = os.fstat(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Entry(path, found.st_size, found.st_mtime_ns, etag=digest, is_link=True)
        inode, mtime_ns = found.st_ino, found.st_mtime_ns
        if inode > _INT64_MAX or mtime_ns > _INT64_MAX:
            # SQLite's integers have a sign; a date that far away only needs to stay the same.
            inode, mtime_ns = (inode if inode <= _INT64_MAX else inode - (1 << 64)), min(mtime_ns, _INT64_MAX)
        # What Entry(...) does, without the call through its keyword arguments: a scan spends a tenth of its time there.
        return tuple.__new__(Entry, (path, found.st_size, mtime_ns, found.st_ctime_ns, inode, "", "", is_link))

    def _is_projected(self, path: bytes) -> bool:
        """Tell whether a path leads through Kubernetes' ``..data`` link, as the keys of ConfigMaps, Secrets and projected volumes do.

        Raises:
            OSError: The key has vanished meanwhile, so nothing can be told.
        """
        for prefix in self.projections:
            if not path.startswith(prefix) or path == prefix:
                continue
            key = path[len(prefix) :].split(b"/", 1)[0]
            try:
                if os.readlink(self._root + prefix + key).startswith(b"..data/"):
                    return True
            except OSError as error:
                if error.errno in _ABSENT:
                    raise
        return False
