"""The directories in which the paths of one batch are looked up.

Files that change together mostly lie together, so the last directory stays open for the next path.
For as long as the batch takes it is the directory that was there when it was opened.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.sources.directory.root import Root


class Lookups:
    """Opens directories below a root, one at a time. For one thread.

    Args:
        root: The root.
        fd: What ``Root.held`` provides.
    """

    def __init__(self, root: Root, fd: int) -> None:
        self._root = root
        self._root_fd = fd
        self._path = b""
        self._fd: int | None = None

    def directory(self, path: bytes) -> int:
        """Return a descriptor of a directory, which is good until the next call.

        Args:
            path: Its path, without a slash at its end.

        Raises:
            OSError: It cannot be opened; EXDEV if a link leads outside.
        """
        if self._fd is None or path != self._path:
            self.close()
            self._fd = self._root.open_beneath(self._root_fd, path)
            self._path = path
        return self._fd

    def close(self) -> None:
        """Close the directory that is open; the next one is opened again even if it is the same."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@contextmanager
def lookups(root: Root) -> Iterator[Lookups]:
    """Provide the lookups of one batch.

    Raises:
        WatcherError: See ``Root.held``.
    """
    with root.held() as fd:
        found = Lookups(root, fd)
        try:
            yield found
        finally:
            found.close()
