"""Maps the kernel's watch descriptors to the directories of a tree.

A renamed directory keeps its descriptor, which stands for its former name until the scan under the
new name adds it again. Events in between lead to paths at which nothing is any more; that scan
finds what they were about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.sources.directory.inotify import Inbox, Inotify


class WatchTable:
    """The watches of one tree, by descriptor and by prefix. For one thread.

    Attributes:
        inbox: Receives the events of all of them.
    """

    def __init__(self, notifications: Inotify, inbox: Inbox) -> None:
        self.inbox = inbox
        self._notifications = notifications
        self._prefixes: dict[int, bytes] = {}
        self._wds: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return the number of watched directories."""
        return len(self._prefixes)

    def __contains__(self, prefix: bytes) -> bool:
        """Return whether the directory at a prefix is watched."""
        return prefix in self._wds

    def prefix(self, wd: int) -> bytes | None:
        """Return the prefix that a descriptor stands for; None if it is not of this tree."""
        return self._prefixes.get(wd)

    def add(self, prefix: bytes, path: bytes) -> None:
        """Watch the directory at a prefix, which may have replaced another one.

        Args:
            prefix: Prefix of the paths of its events.
            path: A path at which the kernel finds it.

        Raises:
            OSError: See ``Inotify.watch``.
        """
        wd = self._notifications.watch(path, self.inbox)
        former = self._wds.get(prefix)
        if former is not None and former != wd:
            self._release([former])
        if (
            (other := self._prefixes.get(wd)) is not None
            and other != prefix
            and self._wds.get(other) == wd
        ):
            del self._wds[other]
        self._prefixes[wd] = prefix
        self._wds[prefix] = wd

    def forget(self, wd: int) -> None:
        """Remove a descriptor that the kernel has ended."""
        prefix = self._prefixes.pop(wd, None)
        if prefix is not None and self._wds.get(prefix) == wd:
            del self._wds[prefix]

    def drop(self, prefix: bytes) -> None:
        """Stop watching a directory and everything below it."""
        self._release([wd for below, wd in self._wds.items() if below.startswith(prefix)])

    def close(self) -> None:
        """Stop watching everything."""
        self._release(list(self._prefixes))
        self.inbox.close()

    def _release(self, wds: list[int]) -> None:
        self._notifications.unwatch(wds, self.inbox)
        for wd in wds:
            self.forget(wd)
