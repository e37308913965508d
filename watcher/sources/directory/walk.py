"""Walks a directory tree: reads its directories one after the other, each beneath the root.

The directories still to be read are a list, not a recursion, so a tree may have any depth.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from watcher.sources.directory.entries import status_of
from watcher.sources.directory.file_batches import FileBatchBuilder
from watcher.sources.directory.root import ABSENT
from watcher.sources.directory.tree import may_access
from watcher.sources.directory.unread import UNREAD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.model import Entry
    from watcher.sources.directory.file_batches import FileBatch
    from watcher.sources.directory.tree import Tree

LINK_HOPS = 4
"""Maximum number of links to directories that are followed within one path."""


class _Unvisited(NamedTuple):
    """A directory that is still to be read.

    Attributes:
        prefix: The path by which the walk came.
        real: The same directory without links in its path.
        hops: Targets of the links to directories on the way.
        is_projected: It lies below a key of a projected volume.
    """

    prefix: bytes
    real: bytes
    hops: tuple[bytes, ...] = ()
    is_projected: bool = False


class Walk:
    """One walk of a tree. For one thread.

    Args:
        tree: The tree; what it knows about links that lead outside is renewed.
        enter: Called with the link-free prefix and the descriptor of each directory before it is
            read.
        unread: Receives the prefixes and paths that cannot be read, of many only the first: the
            others are not taken for deleted either, since each is inspected before.
    """

    def __init__(
        self, tree: Tree, enter: Callable[[bytes, int], None], unread: list[bytes]
    ) -> None:
        self._tree = tree
        self._volumes = tree.projected_volumes
        self._follows_links = tree.spec.follow_symlinks
        self._is_recursive = tree.spec.recursive
        self._filter = tree.path_filter
        # Temporary names are left out later: they are few, and asking about each name is not cheap.
        is_early = self._filter.has_patterns
        self._admits_early = self._filter.admits if is_early else None
        self._batch = FileBatchBuilder(None if is_early else self._filter.admits)
        self._enter = enter
        self._unread = unread
        self._unvisited: list[_Unvisited] = []
        self._is_volume: bool | None = None

    def run(self, prefix: bytes) -> Iterator[FileBatch]:
        """Yield the files below a prefix in batches, of which the last may be empty.

        A directory that vanishes meanwhile has none.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self._tree.forget_links_outside(prefix)
        with self._tree.root.held() as root:
            self._begin(prefix)
            while self._unvisited:
                current = self._unvisited.pop()
                flags = os.O_RDONLY | os.O_DIRECTORY
                try:
                    directory = self._tree.root.open_beneath(root, current.prefix, flags)
                    try:
                        self._enter(current.real, directory)
                        yield from self._read(directory, current)
                    finally:
                        os.close(directory)
                except OSError as error:
                    if error.errno not in ABSENT or not current.prefix:
                        self._add_unread(current.prefix)
        yield self._batch.take()

    def _begin(self, prefix: bytes) -> None:
        root = self._tree.root
        try:
            if self._volumes.detect_hidden(prefix):
                return
            real = root.real_prefix(prefix)
            if prefix and not self._tree.has_exactly(prefix[:-1]):
                return
            is_projected = self._volumes.has_key(prefix)
        except OSError as error:
            if error.errno not in ABSENT:
                self._add_unread(prefix)
            return
        if prefix == real:
            self._unvisited.append(_Unvisited(prefix, real, is_projected=is_projected))
        elif not prefix.startswith(real):  # else a link leads upwards, below which nothing is read
            self._unvisited.append(_Unvisited(prefix, real, (real,), is_projected))

    def _read(self, directory: int, current: _Unvisited) -> Iterator[FileBatch]:
        """Yield the batches that a directory completes; those in it are still to be read."""
        links: list[bytes] = []
        self._is_volume = None
        first = len(self._unvisited)
        with os.scandir(directory) as items:
            yield from self._read_items(items, directory, current, links)
        # The last is visited next: so rows are read and written nearly in the order of their paths,
        # which is that of the pages of the index.
        self._unvisited[first:] = sorted(self._unvisited[first:], reverse=True)
        # A listing during an update may lack ``..data``, so ask before links are visited.
        if links or current.prefix in self._volumes:
            self._volumes.detect(current.prefix)
        for path in links:
            entry = self._visit_link(directory, path, current)
            if entry is not None and self._batch.add_linked(entry):
                yield self._batch.take()

    def _read_items(
        self,
        items: Iterator[os.DirEntry[str]],
        directory: int,
        current: _Unvisited,
        links: list[bytes],
    ) -> Iterator[FileBatch]:
        """Yield the batches completed by files of a directory; collect directories and links."""
        batch, admits, encode = self._batch, self._admits_early, os.fsencode
        prefix, is_projected = os.fsdecode(current.prefix), current.is_projected
        for item in items:
            name = item.name
            if name[:2] == ".." and self._is_own(current.prefix):
                continue
            path = prefix + name
            try:
                if item.is_file(follow_symlinks=False):
                    if admits is not None and not admits(encode(path)):
                        continue
                    if is_projected:
                        is_complete = self._add_key(directory, encode(path))
                    else:
                        is_complete = batch.add(path, status_of(item.stat(follow_symlinks=False)))
                    if is_complete:
                        yield batch.take()
                elif item.is_symlink():
                    links.append(encode(path))
                elif item.is_dir(follow_symlinks=False):
                    self._add_directory(encode(path), current)
            except OSError as error:
                self._on_error(error, directory, encode(path))

    def _add_key(self, directory: int, path: bytes) -> bool:
        """Add the key of a projected volume to the batch; return whether it is complete with it."""
        return self._batch.add_linked(
            self._tree.open_file(directory, path, is_link=False, is_projected=True)
        )

    def _is_own(self, prefix: bytes) -> bool:
        """Return whether names in the directory that begin with ``..`` are Kubernetes' own.

        That makes the volume known before its first key is linked: later keys are notified one by
        one.
        """
        if self._is_volume is None:
            self._is_volume = self._volumes.detect(prefix)
        return self._is_volume

    def _add_directory(self, path: bytes, above: _Unvisited) -> None:
        if self._is_recursive and self._filter.admits_directory(path):
            real = above.real + path[len(above.prefix) :] + b"/"
            self._unvisited.append(_Unvisited(path + b"/", real, above.hops, above.is_projected))

    def _visit_link(self, directory: int, path: bytes, current: _Unvisited) -> Entry | None:
        """Return the entry of a link to a file, or visit the directory that it leads to later."""
        link = self._tree.directory_link(path)
        try:
            if link is not None:
                target, hops = link.target, current.hops
                is_loop = (
                    current.real.startswith(target) or target in hops or len(hops) >= LINK_HOPS
                )
                if not is_loop and self._filter.admits_directory(path):
                    is_projected = current.is_projected or self._volumes.has_key(path)
                    self._unvisited.append(
                        _Unvisited(link.prefix, target, (*hops, target), is_projected)
                    )
            elif self._follows_links and self._filter.admits(path):
                is_projected = self._volumes.has_key(path)
                return self._tree.open_file(
                    directory, path, is_link=True, is_projected=is_projected
                )
        except OSError as error:
            self._on_error(error, directory, path)
        return None

    def _on_error(self, error: OSError, directory: int, path: bytes) -> None:
        """Leave out one item of a directory that cannot be inspected.

        Raises:
            OSError: The directory must not be searched, so that nothing in it can be inspected.
        """
        if error.errno == errno.EACCES and not may_access(directory, os.X_OK):
            raise error
        if error.errno not in ABSENT:
            self._add_unread(path)

    def _add_unread(self, path: bytes) -> None:
        # The root is an error of its own, so it is never left out.
        if len(self._unread) <= UNREAD_MAX or not path:
            self._unread.append(path)
