"""Which directory of a tree each watch descriptor of the kernel stands for. Decides nothing about events.

A renamed directory keeps its descriptor, which stands for its former name until the scan of the new one adds it again: what is heard
in between is looked at where nothing is any more, and that scan finds what it was about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.sources.directory.inotify import Inbox, Inotify


class WatchTable:
    """The watches of one tree, by descriptor and by prefix. For one thread.

    Attributes:
        inbox: Where the events of all of them arrive.
    """

    def __init__(self, notifications: Inotify, inbox: Inbox) -> None:
        self.inbox = inbox
        self._notifications = notifications
        self._prefixes: dict[int, bytes] = {}
        self._wds: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return how many directories are watched."""
        return len(self._prefixes)

    def __contains__(self, prefix: bytes) -> bool:
        """Tell whether the directory at a prefix is watched."""
        return prefix in self._wds

    def prefix(self, wd: int) -> bytes | None:
        """Return the prefix that a descriptor stands for now; None when it is not ours any more."""
        return self._prefixes.get(wd)

    def add(self, prefix: bytes, full: bytes) -> None:
        """Watch the directory at a prefix, whichever directory that is by now.

        Args:
            prefix: What its events will be told under.
            full: A path that leads to it.

        Raises:
            OSError: See ``Inotify.watch``.
        """
        wd = self._notifications.watch(full, self.inbox)
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
        """Drop a descriptor that the kernel has ended."""
        prefix = self._prefixes.pop(wd, None)
        if prefix is not None and self._wds.get(prefix) == wd:
            del self._wds[prefix]

    def drop(self, prefix: bytes) -> None:
        """Stop watching a directory and all below it."""
        self._release([wd for below, wd in self._wds.items() if below.startswith(prefix)])

    def close(self) -> None:
        """Stop watching everything."""
        self._release(list(self._prefixes))
        self.inbox.close()

    def _release(self, wds: list[int]) -> None:
        self._notifications.unwatch(wds, self.inbox)
        for wd in wds:
            self.forget(wd)
