"""Maps the kernel's watch descriptors to the directories of a tree.

A directory has one descriptor. It has several prefixes if it is mounted at several places of the
tree, each in another part. Within a part it has one: a renamed directory keeps its descriptor,
which stands for its former name until the scan under the new name adds it again. Events in between
lead to paths at which nothing is any more; that scan finds what they were about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from watcher.sources.directory.linux.inotify import Inbox, Inotify


class WatchTable:
    """The watches of one tree, by descriptor and by prefix. For one thread.

    Attributes:
        inbox: Receives the events of all of them.
    """

    def __init__(self, notifications: Inotify, inbox: Inbox) -> None:
        self.inbox = inbox
        self._notifications = notifications
        # By part; or the prefix alone where it is the root's, since a dictionary takes 180 bytes.
        self._prefixes: dict[int, bytes | dict[bytes, bytes]] = {}
        self._wds: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return the number of watched directories."""
        return len(self._prefixes)

    def __contains__(self, prefix: bytes) -> bool:
        """Return whether the directory at a prefix is watched."""
        return prefix in self._wds

    def prefixes(self, wd: int) -> Collection[bytes]:
        """Return the prefixes that a descriptor stands for; none if it is not of this tree."""
        return tuple(self._by_part(wd).values())

    def add(self, prefix: bytes, path: bytes, part: bytes = b"") -> None:
        """Watch the directory at a prefix, which may have replaced another one.

        Args:
            prefix: Prefix of the paths of its events.
            path: A path at which the kernel finds it.
            part: Point of the part that the prefix lies in.

        Raises:
            OSError: See ``Inotify.watch``.
        """
        wd = self._notifications.watch(path, self.inbox)
        if (
            not part
            and self._prefixes.get(wd, prefix) == prefix
            and self._wds.get(prefix, wd) == wd
        ):
            # No other directory and no other prefix is concerned, as is nearly always so.
            self._prefixes[wd], self._wds[prefix] = prefix, wd
            return
        if self._wds.get(prefix, wd) != wd:
            self._remove([prefix])
        by_part = self._by_part(wd)
        other = by_part.get(part, prefix)
        if other != prefix and self._wds.get(other) == wd:
            del self._wds[other]
        self._set(wd, by_part | {part: prefix})
        self._wds[prefix] = wd

    def forget(self, wd: int) -> None:
        """Remove a descriptor that the kernel has ended."""
        for prefix in self.prefixes(wd):
            if self._wds.get(prefix) == wd:
                del self._wds[prefix]
        self._prefixes.pop(wd, None)

    def drop(self, prefix: bytes) -> None:
        """Stop watching a directory and everything below it."""
        self._remove([below for below in self._wds if below.startswith(prefix)])

    def close(self) -> None:
        """Stop watching everything."""
        self._release(list(self._prefixes))
        self.inbox.close()

    def _remove(self, prefixes: list[bytes]) -> None:
        """Remove prefixes, and end the watches that stand for no other."""
        unused = []
        for prefix in prefixes:
            wd = self._wds.pop(prefix)
            left = {part: each for part, each in self._by_part(wd).items() if each != prefix}
            self._set(wd, left)
            if not left:
                unused.append(wd)
        self._release(unused)

    def _release(self, wds: list[int]) -> None:
        self._notifications.unwatch(wds, self.inbox)
        for wd in wds:
            self.forget(wd)

    def _by_part(self, wd: int) -> dict[bytes, bytes]:
        """Return the prefixes of a descriptor, by the points of their parts."""
        found = self._prefixes.get(wd, {})
        return {b"": found} if isinstance(found, bytes) else found

    def _set(self, wd: int, by_part: dict[bytes, bytes]) -> None:
        self._prefixes[wd] = by_part[b""] if by_part.keys() == {b""} else by_part
