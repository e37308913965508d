"""Pairs the two halves of a rename and merges consecutive renames. Pure: time is a parameter."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from watcher.sources.observations import Rename, Renames

if TYPE_CHECKING:
    from collections.abc import Iterator


RenameKey: TypeAlias = tuple[int, bytes]
"""The kernel's cookie of a rename, and the point of the part in which it was made.

A directory that is mounted twice has both halves of a rename twice, with the same cookie.
"""


class PendingRenames:
    """The renames that were notified and not yet taken; a directory's path ends in ``/``.

    Args:
        grace_s: Seconds for which a first half waits for its second.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._left: dict[RenameKey, tuple[bytes, float]] = {}
        self._numbers = count()
        self._renames: dict[int, Rename] = {}
        self._by_path: dict[bytes, int] = {}

    def leave(self, key: RenameKey, path: bytes, now_s: float) -> None:
        """Add a first half (IN_MOVED_FROM): something left a path."""
        self._left[key] = (path, now_s + self._grace_s)

    def arrive(self, key: RenameKey) -> bytes | None:
        """Return the path that the first half of a second half left; None if there is none."""
        path, _ = self._left.pop(key, (None, 0.0))
        return path

    def add(self, rename: Rename) -> None:
        """Add a whole rename; a file renamed twice was renamed once, from first to last name."""
        if rename.is_directory:
            # It takes files along, so no rename before it can be merged with one after it.
            self._by_path.clear()
            self._renames[next(self._numbers)] = rename
            return
        former = self._by_path.pop(rename.old_path, None)
        if former is not None:
            rename = Rename(self._renames.pop(former).old_path, rename.path)
        if rename.old_path != rename.path:
            number = next(self._numbers)
            self._renames[number] = rename
            self._by_path[rename.path] = number

    def take(self) -> Iterator[Renames]:
        """Remove and yield the renames in order, those of files between two directories at once."""
        renames = list(self._renames.values())
        self._renames.clear()
        self._by_path.clear()
        files: list[Rename] = []
        for rename in renames:
            if not rename.is_directory:
                files.append(rename)
                continue
            if files:
                yield Renames(files)
                files = []
            yield Renames([rename])
        if files:
            yield Renames(files)

    def expire(self, now_s: float) -> list[bytes]:
        """Remove and return the paths of first halves whose second did not come in time."""
        expired = [key for key, (_, due_s) in self._left.items() if due_s <= now_s]
        return [self._left.pop(key)[0] for key in expired]

    def unsettled(self) -> Iterator[bytes]:
        """Yield the paths of all renames and first halves."""
        yield from (path for path, _ in self._left.values())
        for rename in self._renames.values():
            yield rename.old_path
            yield rename.path

    def due_s(self) -> float | None:
        """Return when the next first half expires; None if none waits."""
        return min((due_s for _, due_s in self._left.values()), default=None)

    def clear(self) -> None:
        """Remove everything."""
        self._left.clear()
        self._renames.clear()
        self._by_path.clear()
