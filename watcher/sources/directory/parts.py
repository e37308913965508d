"""The parts of a tree: its root, and every mount below it, each watched in its own way. Pure.

A part is notified or polled by its own file system. A point at which a volume was mounted and is
none now, or another one, is *unread*: what is there belongs to another directory or volume, so it
says nothing about the entries of the one that is missing. A volume that was mounted later is
unread until it is accepted, so that the entries that it hides can be marked first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.filesystem.volumes import describe_volume, is_same_volume
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from watcher.filesystem.mounts import Mount

DELETED = "//deleted"
"""Ends the root of a mount whose directory or file was removed from its file system."""


class PartMode(StrEnum):
    """How a part is watched."""

    NOTIFIED = "notified"
    POLLED = "polled"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Mounted:
    """What is mounted at a point.

    Attributes:
        mount: The mount.
        identity: Identity of the volume, see ``filesystem.volumes``; empty if it is unknown.
        is_file: A single file is mounted.
    """

    mount: Mount
    identity: str
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The root of a tree without the mounts below it, or one of these mounts.

    Attributes:
        point: Path of the mount point relative to the root, without a slash at its end; empty for
            the root.
        mode: How it is watched.
        mounted: What is mounted there; None for the root, and where nothing is mounted any more.
        reason: Why it is not watched as configured, or not read; empty if it is.
    """

    point: bytes
    mode: PartMode
    mounted: Mounted | None = None
    reason: str = ""

    @property
    def prefix(self) -> bytes:
        """Prefix of the paths in it."""
        return self.point + b"/" if self.point else b""

    @property
    def is_file(self) -> bool:
        """Whether it is a single file."""
        return self.mounted is not None and self.mounted.is_file


class Parts:
    """The parts of one tree, and the volumes that are known to belong into it.

    Args:
        mode: How the tree is to be watched.

    Attributes:
        known: Identities of the volumes that belong into the tree, by their points.
        new: Identities of the volumes that were mounted since and are not accepted yet.
        unread: Points of the parts that are unread.
    """

    def __init__(self, mode: Mode) -> None:
        self.known: dict[bytes, str] = {}
        self.new: Mapping[bytes, str] = {}
        self.unread: Collection[bytes] = ()
        self._mode = mode
        self._accepts_all = True
        self._root = Part(b"", PartMode.POLLED if mode is Mode.POLL else PartMode.NOTIFIED)
        self._volumes: Mapping[bytes, Mounted] = {}
        self._by_point: dict[bytes, Part] = {}

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts, the root first and each after those above it."""
        yield self._root
        for point in sorted(self._by_point):
            yield self._by_point[point]

    @property
    def missing(self) -> list[bytes]:
        """Points at which another volume is known than the one that is there, if any is."""
        return [point for point in self.unread if point in self.known]

    def __len__(self) -> int:
        """Return the number of parts below the root."""
        return len(self._by_point)

    def at(self, path: bytes) -> Part:
        """Return the part that holds a path or a prefix without links."""
        if self._by_point:
            point = path.removesuffix(b"/")
            while point:
                if (part := self._by_point.get(point)) is not None:
                    return part
                point = point[: max(0, point.rfind(b"/"))]
        return self._root

    def expect(self, known: Mapping[bytes, str] | None) -> None:
        """Set the volumes known from an earlier run; None takes all that the next update finds."""
        self.known = dict(known or {})
        self._accepts_all = known is None

    def set_root(self, mount: Mount | None) -> None:
        """Decide by its mount how the root is watched; None if it is unknown."""
        is_polled = self._mode is Mode.POLL or (
            self._mode is Mode.AUTO and mount is not None and not mount.notifies
        )
        self._root = Part(b"", PartMode.POLLED if is_polled else PartMode.NOTIFIED)

    def update(self, volumes: Mapping[bytes, Mounted]) -> list[Part]:
        """Take over what is mounted now, and return the parts that have changed.

        Args:
            volumes: What is mounted below the root, by point.

        Returns:
            Each part that was added, has another volume or is watched otherwise than before. A
            part that has become a part of the one above is returned with that one's mode.
        """
        if self._accepts_all:
            self.known = {point: volume.identity for point, volume in volumes.items()}
            self._accepts_all = False
        self._volumes = dict(volumes)
        former, self._by_point, new = self._by_point, {}, {}
        for point in sorted(self.known.keys() | volumes.keys()):
            part = self._part(point)
            if part is None:
                continue
            if point in volumes and not self.known.get(point, "none"):
                self.known[point] = volumes[point].identity
            if point not in self.known:
                new[point] = volumes[point].identity
            self._by_point[point] = part
        self.new = new
        self.unread = [
            point for point, part in self._by_point.items() if part.mode is PartMode.UNREAD
        ]
        changed = [part for point, part in self._by_point.items() if _differs(former, part)]
        gone = former.keys() - self._by_point.keys()
        return changed + [Part(point, self.at(point).mode) for point in sorted(gone)]

    def accept(self) -> list[Part]:
        """Take the new volumes as known, and return the parts that have changed by that."""
        self.known.update(self.new)
        return self.update(self._volumes)

    def release(self, point: bytes) -> list[Part]:
        """Take what is at and below a point now for what belongs there.

        Returns:
            The parts that have changed by that; none if nothing was missing there.
        """
        below = point + b"/"
        for known in [each for each in self.unread if each == point or each.startswith(below)]:
            self.known.pop(known, None)
            if (volume := self._volumes.get(known)) is not None:
                self.known[known] = volume.identity
        return self.update(self._volumes)

    def _part(self, point: bytes) -> Part | None:
        """Return the part at a point; None for what was mounted since in a part that is unread."""
        volume, known = self._volumes.get(point), self.known.get(point)
        above = self.at(point)
        if above.mode is PartMode.UNREAD:
            return None if known is None else Part(point, PartMode.UNREAD, volume)
        name = repr(os.fsdecode(point))
        if volume is None:
            return Part(point, PartMode.UNREAD, None, f"the mount at {name} is gone")
        if known is None:
            return Part(point, PartMode.UNREAD, volume)
        if known and volume.identity and not is_same_volume(known, volume.identity):
            was, now = describe_volume(known), describe_volume(volume.identity)
            reason = f"another volume is mounted at {name}: it was {was} and is now {now}"
            return Part(point, PartMode.UNREAD, volume, reason)
        return self._readable(point, volume, name)

    def _readable(self, point: bytes, volume: Mounted, name: str) -> Part:
        mount = volume.mount
        if volume.is_file:
            is_replaced = mount.root.endswith(DELETED)
            reason = (
                f"the file mounted at {name} was replaced outside: "
                "restart the pod, or mount the directory that holds it"
            )
            return Part(point, PartMode.POLLED, volume, reason if is_replaced else "")
        if mount.notifies and self._mode is not Mode.POLL:
            return Part(point, PartMode.NOTIFIED, volume)
        is_refused = self._mode is Mode.NOTIFY
        reason = f"{name} is polled: {mount.type} does not notify of every change"
        return Part(point, PartMode.POLLED, volume, reason if is_refused else "")


def _differs(former: Mapping[bytes, Part], part: Part) -> bool:
    """Return whether another mount is at a point, or it is watched otherwise, than before."""
    old = former.get(part.point)
    if old is None or old.mode is not part.mode:
        return True
    if old.mounted is None or part.mounted is None:
        return old.mounted is not part.mounted
    return (old.mounted.mount.mount_id, old.mounted.identity) != (
        part.mounted.mount.mount_id,
        part.mounted.identity,
    )
