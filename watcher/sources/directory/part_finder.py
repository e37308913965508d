"""Finds the parts of one tree in the mount table, and what a change of that table makes doubtful.

A reading is asked about after it was made and before anything is concluded from it. If the table
has changed since it began, nobody knows on which side of a mount it was made.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from watcher.sources.directory.parts import DELETED, Mounted, PartMode, Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from watcher.filesystem.mounts import Mount
    from watcher.filesystem.port import Mounts
    from watcher.sources.directory.parts import Part
    from watcher.sources.directory.tree import Tree


AUTOMOUNTER = "autofs"
"""Type of a mount that is no volume, but is covered by one as soon as somebody looks into it."""

ALIASES_MAX = 100
"""Maximum number of prefixes by which links lead to one volume; links may lead in circles."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of the mounts when a reading began.

    Attributes:
        generation: Number of changes of the mount table until then.
        points: Points of the parts.
    """

    generation: int
    points: frozenset[bytes]


class PartFinder:
    """Keeps the parts of one tree in line with the mount table. For one thread.

    Args:
        tree: The tree, opened and closed by its source.
        mounts: What is mounted.

    Attributes:
        parts: The parts, as ``refresh`` found them last.
    """

    def __init__(self, tree: Tree, mounts: Mounts) -> None:
        self.parts = Parts(tree.spec.mode)
        self._tree = tree
        self._mounts = mounts
        self._generation = -1
        self._points: frozenset[bytes] = frozenset()
        self._aliases: dict[bytes, list[bytes]] = {}

    def expect(self, known: Mapping[bytes, str] | None) -> None:
        """Take the volumes of an earlier run as known; see ``Source.expect``."""
        if known is not None:
            known = {point: known[point] for point in known if self._may_count(point)}
        self.parts.expect(known)

    def open(self, wake: Callable[[], None]) -> list[Part]:
        """Find the parts of the tree, which is open, and have changes of the table wake its thread.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self._mounts.subscribe(wake)
        self.parts.set_root(self._tree.root.mount)
        self.forget()
        return self.refresh()

    def close(self, wake: Callable[[], None]) -> None:
        """Wake the thread no more."""
        self._mounts.unsubscribe(wake)

    def forget(self) -> None:
        """Have the table read again by the next refresh, even if no change of it was notified."""
        self._generation = -1
        self._mounts.read_again()

    def refresh(self) -> list[Part]:
        """Find the parts again if the table has changed, and return those that are different.

        Raises:
            WatcherError: See ``Root.held``.
        """
        if self._mounts.generation == self._generation:
            return []
        with self._tree.root.held() as root:
            self._tree.root.check_volume(root)
            self._mount_automatic(self._reachable(root)[1], root)
            generation, mounts = self._reachable(root)
            volumes = self._find(mounts, root)
        changed = self.parts.update(volumes)
        # Now, since links to what a new volume hides lead nowhere when they are read next.
        self._aliases = {
            point: self._aliases.get(point) or self._prefixes_into(point + b"/")
            for point in self.parts.new
        }
        self._generation = generation
        self._points = frozenset(part.point for part in self.parts if part.point)
        return changed

    def mount_at(self, path: bytes) -> Mount | None:
        """Return the mount that holds a path; None if it is unknown."""
        mounted = self.part_at(path).mounted
        return self._tree.root.mount if mounted is None else mounted.mount

    @property
    def reading(self) -> Reading:
        """The state of the mounts for a reading that begins now, after a refresh."""
        return Reading(self._generation, self._points)

    def doubts(
        self, found: Iterable[tuple[bytes, bool]], since: Reading
    ) -> tuple[set[bytes], set[bytes]]:
        """Return the paths of a reading that prove nothing.

        Args:
            found: The paths, each with whether it may be a link.
            since: The state when the reading began; the parts have been refreshed after it ended.

        Returns:
            The paths in parts that are unread, and further ones that were read while the mounts
            changed, so that they must be read again.
        """
        has_changed = self._generation != since.generation
        if not has_changed and not self.parts.unread:
            return set(), set()
        points = since.points | self._points if has_changed else frozenset[bytes]()
        unread: set[bytes] = set()
        changed: set[bytes] = set()
        for path, may_be_link in found:
            if self.is_unread(path, may_be_link=may_be_link):
                unread.add(path)
            elif points and _is_below(self._real(path), points):
                changed.add(path)
        return unread, changed

    def is_unread(self, path: bytes, *, may_be_link: bool = True) -> bool:
        """Return whether a path lies in a part that is unread, or leads into one through links.

        Args:
            path: The path of an entry.
            may_be_link: Whether it may be a link itself, or lie below an unknown one.
        """
        if not self.parts.unread:
            return False
        if self.parts.at(self._real(path)).mode is PartMode.UNREAD:
            return True
        return may_be_link and self._leads_to_unread(path)

    def part_at(self, path: bytes) -> Part:
        """Return the part that holds a path, which may lead through links to directories."""
        return self.parts.at(self._real(path))

    def hidden_by(self, point: bytes) -> set[bytes]:
        """Return the prefix of a point, and those of the known links that lead to or below it."""
        return {*self._aliases.get(point, ()), *self._prefixes_into(point + b"/")}

    def _prefixes_into(self, prefix: bytes) -> list[bytes]:
        prefixes = [prefix]
        # The list grows: a link may lead to another one.
        for each in prefixes:
            for link in self._tree.links.values():
                alias = link.prefix
                if each.startswith(link.target):
                    alias += each[len(link.target) :]
                elif not link.target.startswith(each):
                    continue
                if alias not in prefixes and len(prefixes) < ALIASES_MAX:
                    prefixes.append(alias)
        return prefixes

    def _leads_to_unread(self, path: bytes) -> bool:
        if not self._tree.spec.follow_symlinks:
            return False
        root = os.path.realpath(os.fsencode(self._tree.spec.path)).rstrip(b"/") + b"/"
        target = os.path.realpath(root + path)
        return (
            target.startswith(root) and self.parts.at(target[len(root) :]).mode is PartMode.UNREAD
        )

    def _real(self, path: bytes) -> bytes:
        """Return a path without the links to directories that are known."""
        links = self._tree.links
        if not links or not self._points:
            return path
        for _ in range(len(links)):
            link = next((each for each in links.values() if path.startswith(each.prefix)), None)
            if link is None:
                break
            path = link.target + path[len(link.prefix) :]
        return path

    def _mount_automatic(self, mounts: Iterable[tuple[bytes, Mount]], root: int) -> None:
        """Have automounters mount what they are waiting for: a reading would do it half-way."""
        files = self._tree.files
        for point, mount in mounts:
            if mount.type == AUTOMOUNTER:
                with suppress(OSError):
                    os.close(files.open_beneath(root, point, files.lookup_flags, follow=False))

    def _reachable(self, root: int) -> tuple[int, list[tuple[bytes, Mount]]]:
        """Return the points of the mounts below the root that may count, and the mounts."""
        generation, mounts = self._mounts.below(root)
        return generation, [(point, mount) for point, mount in mounts if self._may_count(point)]

    def _find(self, mounts: Iterable[tuple[bytes, Mount]], root: int) -> dict[bytes, Mounted]:
        found = (
            (point, self._volume(root, point, mount))
            for point, mount in mounts
            if mount.type != AUTOMOUNTER
        )
        return {point: volume for point, volume in found if self._counts(point, volume)}

    def _may_count(self, point: bytes) -> bool:
        """Return whether a file or directory with this path may count."""
        names = point.split(b"/")
        above = [b"/".join(names[:count]) for count in range(1, len(names))]
        admits = self._tree.path_filter
        if (above and not self._tree.spec.recursive) or not all(
            map(admits.admits_directory, above)
        ):
            return False
        return admits.admits(point) or (
            self._tree.spec.recursive and admits.admits_directory(point)
        )

    def _counts(self, point: bytes, volume: Mounted) -> bool:
        path_filter = self._tree.path_filter
        if volume.is_file:
            return path_filter.admits(point)
        return self._tree.spec.recursive and path_filter.admits_directory(point)

    def _volume(self, root: int, point: bytes, mount: Mount) -> Mounted:
        # A file that was removed from its directory keeps its mount.
        source = replace(mount, root=mount.root.removesuffix(DELETED))
        try:
            fd = self._tree.files.open_mounted(root, point)
            try:
                is_file = not stat.S_ISDIR(os.fstat(fd).st_mode)
                return Mounted(mount, self._tree.root.identify(source, fd), is_file=is_file)
            finally:
                os.close(fd)
        except OSError:
            return Mounted(mount, "")


def _is_below(path: bytes, points: frozenset[bytes]) -> bool:
    """Return whether a path is one of some points or lies below one."""
    while path and points:
        if path in points:
            return True
        path = path[: max(0, path.rfind(b"/"))]
    return False
