"""Finds the volumes that Kubernetes writes: ConfigMaps, Secrets, downward API, projected volumes.

Their keys are links through ``..data``, which each update turns to a new directory, so every file
is replaced even if its content is the same. Keys are therefore compared by content. The names
beside ``..data`` that begin with ``..`` are Kubernetes' own; elsewhere such names are ordinary.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.sources.directory.root import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.sources.directory.root import Root

DOTS = b".."
"""What the names of Kubernetes begin with in a volume."""

LINK = b"..data"
"""The link that makes a directory a volume."""

DIGEST_MAX_BYTES = 2 * 1024 * 1024
"""Maximum size of a key that is compared by content; the API server allows 1 MiB."""


class ProjectedVolumes:
    """The projected volumes of one tree, by the prefixes at which they were met. For one thread."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._prefixes: set[bytes] = set()

    def __contains__(self, prefix: bytes) -> bool:
        """Return whether the directory at a prefix is known to be one."""
        return prefix in self._prefixes

    def detect(self, prefix: bytes) -> bool:
        """Find out whether the directory at a prefix is one: it has a link ``..data``."""
        try:
            with self._root.directory(prefix) as directory:
                os.readlink(LINK, dir_fd=directory)
        except OSError:
            self._prefixes.discard(prefix)
            return False
        self._prefixes.add(prefix)
        return True

    def hides(self, path: bytes) -> bool:
        """Return whether a name in a path is Kubernetes' own, in a volume that is known."""
        return DOTS in path and any(prefix in self._prefixes for prefix in _with_dots(path))

    def detect_hidden(self, path: bytes) -> bool:
        """Find out whether a name in a path is Kubernetes' own now."""
        return DOTS in path and any(self.detect(prefix) for prefix in _with_dots(path))

    def concerned_names(self, prefix: bytes) -> list[bytes]:
        """Return the names in a directory that mean something else once it is a volume or is none.

        They are Kubernetes' own, or links that may lead through ``..data``.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            with self._root.directory(prefix, flags) as directory, os.scandir(directory) as items:
                found = ((os.fsencode(item.name), item) for item in items)
                return [name for name, item in found if name[:2] == DOTS or item.is_symlink()]
        except OSError:
            return []

    def has_key(self, path: bytes) -> bool:
        """Return whether a path leads through the link ``..data`` of a volume.

        Raises:
            OSError: The key has just vanished, so the answer is unknown.
        """
        for prefix in self._prefixes:
            if not path.startswith(prefix) or path == prefix:
                continue
            key = path[len(prefix) :].split(b"/", 1)[0]
            try:
                with self._root.directory(prefix) as directory:
                    if os.readlink(key, dir_fd=directory).startswith(b"..data/"):
                        return True
            except OSError as error:
                if error.errno in ABSENT:
                    raise
        return False

    def clear(self) -> None:
        """Forget all volumes."""
        self._prefixes.clear()


def _with_dots(path: bytes) -> Iterator[bytes]:
    """Yield the prefixes below which the next name of a path begins with ``..``."""
    start = 0
    while True:
        if path.startswith(DOTS, start):
            yield path[:start]
        start = path.find(b"/" + DOTS, start) + 1
        if not start:
            return
