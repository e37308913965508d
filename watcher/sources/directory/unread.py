"""What could not be read in one tree, and when it is read again. Pure: time is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

UNREAD_MAX = 10_000
"""Maximum number of unread prefixes and paths of a tree that are read again one by one, about 2 MB;
above, the whole tree is scanned instead."""


class Unread:
    """The prefixes (which end in ``/``) and single paths that could not be read. For one thread.

    Args:
        interval_s: Seconds after which they are read again.

    Attributes:
        is_overfull: There were more than ``UNREAD_MAX``; only a scan of the whole tree reads all.
    """

    def __init__(self, interval_s: float) -> None:
        self.is_overfull = False
        self._interval_s = interval_s
        self._due_s = 0.0
        self._paths: set[bytes] = set()

    @property
    def paths(self) -> Collection[bytes]:
        """The prefixes and paths."""
        return self._paths

    def replace(self, prefix: bytes, unread: Iterable[bytes], now_s: float) -> None:
        """Replace what is unread at or below a prefix, after a scan of it."""
        if not prefix:
            self.is_overfull = False
        path = prefix[:-1]
        self._paths = {each for each in self._paths if each != path and not each.startswith(prefix)}
        for each in unread:
            self._add(each)
        if not prefix:
            self._due_s = now_s + self._interval_s

    def add(self, path: bytes, now_s: float) -> None:
        """Add a single path, unless it lies below an unread prefix."""
        if not self._paths:
            self._due_s = now_s + self._interval_s
        end = 0
        while end := path.find(b"/", end) + 1:
            if path[:end] in self._paths:
                return
        self._add(path)

    def discard(self, path: bytes) -> bool:
        """Remove a single path, which could be read or is gone; return whether it was unread."""
        if path not in self._paths:
            return False
        self._paths.remove(path)
        return True

    def is_near(self, prefix: bytes) -> bool:
        """Return whether a directory or anything in it is unread."""
        return any(path.startswith(prefix) for path in self._paths)

    def due_s(self) -> float | None:
        """Return when they are to be read again; None if a scan of the whole tree must, or none."""
        return None if self.is_overfull or not self._paths else self._due_s

    def take(self, now_s: float) -> list[bytes]:
        """Return what is to be read again now, in order; it stays unread until it was read."""
        due_s = self.due_s()
        if due_s is None or due_s > now_s:
            return []
        self._due_s = now_s + self._interval_s
        return sorted(self._paths)

    def clear(self) -> None:
        """Remove everything."""
        self._paths.clear()
        self.is_overfull = False

    def _add(self, path: bytes) -> None:
        if path not in self._paths and len(self._paths) >= UNREAD_MAX:
            self.is_overfull = True
        else:
            self._paths.add(path)
