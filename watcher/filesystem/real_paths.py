"""Resolves the links of paths whose volumes may not answer."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from watcher.filesystem.paths import real_path

if TYPE_CHECKING:
    from collections.abc import Iterable


class RealPaths:
    """What the links of some paths lead to, which is found out once.

    A call on a volume whose server is away may never return, so each path has a thread of its own.
    Until a path is resolved it stands for itself.

    Args:
        paths: The paths; a relative one is taken from the working directory.
        wait_s: Seconds to wait for the next of them to be resolved.
    """

    def __init__(self, paths: Iterable[str], wait_s: float) -> None:
        self._real = {path: os.path.abspath(path) for path in paths}  # noqa: PTH100 - Path does not normalise
        self._resolved = threading.Semaphore(0)
        for path in self._real:
            threading.Thread(target=self._resolve, args=(path,), name="links", daemon=True).start()
        for _ in self._real:
            if not self._resolved.acquire(timeout=wait_s):
                break

    def __getitem__(self, path: str) -> str:
        """Return the real path of one of the paths, as far as it is known by now."""
        return self._real[path]

    def _resolve(self, path: str) -> None:
        self._real[path] = real_path(path)
        self._resolved.release()
