"""Finds directories that were exchanged among what an observer reports. Pure: time is a parameter.

An observer that watches each directory by itself (inotify, kqueue) takes the second rename of an
exchange for the way back of the directory that the first one moved. It reports what happens in the
one directory under the path of the other from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.directory.portable.inbox import MOVED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.sources.directory.portable.inbox import Event

APART_S = 5.0
"""Seconds by which the renames of one exchange may come apart; the kernel queues them together, so
this is for an observer's thread that a busy machine halts between the two."""


class Exchanges:
    """The latest renames of one tree, and whether one of them was half of an exchange."""

    def __init__(self) -> None:
        self._renames: dict[tuple[bytes, bytes], bool] = {}
        self._known_until_s = 0.0

    def found_in(self, events: Iterable[Event], now_s: float) -> bool:
        """Return whether a directory has changed places with another one, or with a file.

        A directory that was renamed there and back within ``APART_S`` looks the same.

        Args:
            events: The events since the last call.
            now_s: The time.
        """
        renames = {
            (event.path, event.new_path): event.is_directory
            for event in events
            if event.kind == MOVED
        }
        if not renames:
            return False
        known = renames if now_s >= self._known_until_s else self._renames | renames
        found = any(
            (new_path, path) in known and (is_directory or known[new_path, path])
            for (path, new_path), is_directory in renames.items()
        )
        self._renames = {} if found else renames
        self._known_until_s = now_s + APART_S
        return found
