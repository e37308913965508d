"""Finds the volumes that Kubernetes writes: ConfigMaps, Secrets, downward API, projected volumes.

Their keys are links through ``..data``, which each update turns to a new directory, so every file
is replaced even if its content is the same. Keys are therefore compared by content.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.sources.directory.root import ABSENT

if TYPE_CHECKING:
    from watcher.sources.directory.root import Root

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

    def detect(self, prefix: bytes) -> None:
        """Find out whether the directory at a prefix is one: it has a link ``..data``."""
        try:
            with self._root.directory(prefix) as directory:
                os.readlink(b"..data", dir_fd=directory)
        except OSError:
            self._prefixes.discard(prefix)
        else:
            self._prefixes.add(prefix)

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
