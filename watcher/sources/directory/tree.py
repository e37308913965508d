"""Reads a directory tree: single entries by path, and whole subtrees.

Paths are raw bytes relative to the root; a directory's path, a *prefix*, ends in ``/`` and is empty
for the root. Only files are entries. A symbolic link to a file counts as that file; one to a
directory is followed if its target lies inside the root. In a directory with a link ``..data``,
names that begin with ``..`` belong to Kubernetes (AtomicWriter) and are never entries.

Writers may exchange directories and links below the root at any time. So the root is held by a
descriptor while it is read, its directories are opened beneath it, and files are looked up by name
in the directory that was opened.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.errors import DeniedError
from watcher.filesystem import statx
from watcher.sources.directory.entries import make_entry, read_key
from watcher.sources.directory.exact_names import ExactNames
from watcher.sources.directory.lookups import Lookups, lookups
from watcher.sources.directory.projected_volumes import DIGEST_MAX_BYTES, ProjectedVolumes
from watcher.sources.directory.root import ABSENT, Root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.filesystem.port import Files
    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.spec import DirectorySpec


@dataclass(frozen=True, slots=True)
class DirectoryLink:
    """A symbolic link to a directory inside the root.

    Attributes:
        prefix: The link itself, as a prefix.
        target: The prefix of the directory that it leads to.
    """

    prefix: bytes
    target: bytes


class Tree:
    """The files below one directory. For one thread.

    Attributes:
        spec: What is watched.
        path_filter: Which paths count.
        files: Opens directories and files.
        root: The directory itself.
        links: The links to directories inside the root that were met, by prefix.
        subpaths: Points at or below the root at which Kubernetes mounted with ``subPath``.
        projected_volumes: The volumes below the root that Kubernetes writes.
        links_outside: Links to files out of what the server allows; they are not entries.
    """

    def __init__(
        self,
        spec: DirectorySpec,
        path_filter: PathFilter,
        files: Files,
        *,
        within: Sequence[str] | None,
        node: str | None = None,
    ) -> None:
        self.spec = spec
        self.path_filter = path_filter
        self.files = files
        self.root = Root(spec, files, within=within, node=node)
        self.links: dict[bytes, DirectoryLink] = {}
        self.subpaths: list[str] = []
        self.projected_volumes = ProjectedVolumes(self.root)
        self.links_outside: set[bytes] = set()

    def open(self) -> None:
        """Find the root and remember which directory it is.

        Raises:
            WatcherError: See ``Root.open``.
        """
        self.root.open()
        self.subpaths = [mount.point for mount in self.files.subpath_mounts(self.spec.path)]
        self.projected_volumes.clear()
        self.links.clear()
        self.links_outside.clear()

    def is_readable(self, prefix: bytes) -> bool:
        """Return whether the directory at a prefix exists and may be read and searched."""
        try:
            with self.root.directory(prefix) as directory:
                return may_access(directory, os.R_OK | os.X_OK)
        except OSError:
            return False

    def entry(self, path: bytes) -> Entry | None:
        """Return the file at a path; None if there is none, or only behind a link out of the root.

        Raises:
            OSError: The path cannot be inspected, which does not mean that nothing is there.
            WatcherError: See ``Root.held``.
        """
        with lookups(self.root) as directories:
            return self.look_up(path, directories, ExactNames(self.root, [path]))

    def look_up(
        self, path: bytes, directories: Lookups, names: ExactNames, *, asks_server: bool = False
    ) -> Entry | None:
        """Return the file at a path of a batch as ``entry`` does.

        Args:
            path: The path.
            directories: The directories of the batch.
            names: The names of the batch.
            asks_server: Ask the file server, past the cache of the kernel.

        Raises:
            OSError: The path cannot be inspected, which does not mean that nothing is there.
        """
        found = self._find(path, directories, names, asks_server=asks_server)
        if found is None:
            # A directory that is exchanged for another, as Kubernetes does, is emptied afterwards.
            # So if the file was gone from the first, this reads the other directory.
            directories.close()
            found = self._find(path, directories, names)
        return found

    def has_exactly(self, path: bytes) -> bool:
        """Return whether what a lookup of a path finds has exactly that path.

        Raises:
            OSError: A directory on the way cannot be read.
        """
        return ExactNames(self.root, [path]).has(path)

    def is_being_written(self, entry: Entry) -> bool | None:
        """Return whether somebody has a file open for writing, or has written since it was seen.

        A file with further hard links was there before, so it is taken for complete.

        Args:
            entry: The file as it was seen, not through a link.

        Returns:
            None if that is unknown, see ``Files.has_writer``.
        """
        parent, _, name = entry.path.rpartition(b"/")
        try:
            with self.root.directory(parent) as directory:
                has_writer = self.files.has_writer(name, directory)
                # Afterwards: its last writer may have ended between the two.
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        if has_writer is None:
            return False if found.st_nlink > 1 else None
        return has_writer or make_entry(entry.path, found, is_link=False) != entry

    def _find(
        self, path: bytes, directories: Lookups, names: ExactNames, *, asks_server: bool = False
    ) -> Entry | None:
        self.links_outside.discard(path)
        if self.projected_volumes.detect_hidden(path):
            return None
        parent, _, name = path.rpartition(b"/")
        try:
            directory = directories.directory(parent)
            if asks_server:
                statx.refresh(directory, name)
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            is_link = stat.S_ISLNK(found.st_mode)
            if not (self.spec.follow_symlinks if is_link else stat.S_ISREG(found.st_mode)):
                return None
            if not names.has(path):
                return None
            is_projected = self.projected_volumes.has_key(path)
            if is_link or is_projected:
                return self.open_file(
                    directory,
                    path,
                    is_link=is_link,
                    is_projected=is_projected,
                    asks_server=asks_server,
                )
            return make_entry(path, found)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
        return None

    def directory_link(self, path: bytes) -> DirectoryLink | None:
        """Return and remember the link at a path to a directory inside the root; None otherwise."""
        prefix = path + b"/"
        self.links.pop(prefix, None)
        if not self.spec.follow_symlinks or not self.spec.recursive:
            return None
        if self.projected_volumes.detect_hidden(path):
            return None
        try:
            parent, _, name = path.rpartition(b"/")
            with self.root.directory(parent) as directory:
                link = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISLNK(link.st_mode) or not self.has_exactly(path):
                return None
            target = self.root.real_prefix(prefix)
        except OSError:
            return None
        self.links[prefix] = found = DirectoryLink(prefix, target)
        return found

    def forget_links_outside(self, prefix: bytes) -> None:
        """Forget the links below a prefix that lead out of what is allowed; a walk finds them."""
        self.links_outside = {path for path in self.links_outside if not path.startswith(prefix)}

    def open_file(
        self,
        directory: int,
        path: bytes,
        *,
        is_link: bool,
        is_projected: bool,
        asks_server: bool = False,
    ) -> Entry:
        """Return the file with the last name of a path in a directory, or the target of that link.

        Raises:
            FileNotFoundError: There is none, or it must not be read.
            OSError: It cannot be read.
        """
        try:
            file = self.root.find_file(path, directory=directory, is_link=is_link)
        except DeniedError:
            self.links_outside.add(path)
            raise FileNotFoundError(errno.ENOENT, "leads out of what is allowed", path) from None
        with closing(file):
            if asks_server:
                file.refresh()
            found = file.stat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "no file", path)
            if is_projected and found.st_size <= DIGEST_MAX_BYTES:
                return read_key(file, path, found)
            return make_entry(path, found, is_link=is_link)


def may_access(directory: int, mode: int) -> bool:
    """Return whether a directory may be used in a way, see access(2), given its descriptor."""
    return os.access(b".", mode, dir_fd=directory, effective_ids=True)
