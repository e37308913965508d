"""Volumes: how one that is found is known again, wherever it is mounted next. Asks no kernel.

A network file system is identified by what is mounted (``server:/export``), a local one by the id
that it keeps on its disk; never by a device or a machine, since a claim of Kubernetes moves between
them with its pod. Where there is no such id, type and mount point have to do; between servers on
several machines also when the directory was made, since each may have a disk of its own there.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

_OF_NODE = ("node", "born_ns")


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume, and where a directory lies in it.

    Attributes:
        type: Type of the file system; empty if the volume is known by a bare text.
        id: ``UUID=…`` or ``fsid=…`` of a local file system, the source of another, the name that
            Kubernetes gives a volume of a pod; empty if there is none.
        root: The mounted directory of the file system; empty if unknown.
        directory: The watched directory or mounted file, as a path in the file system.
        point: Where it is mounted.
        node: Where a server found a volume that has no id; empty if that does not matter.
        born_ns: When its directory was made, nanoseconds since the epoch; 0 if unknown, or if
            ``node`` is empty.
    """

    type: str
    id: str = ""
    root: str = ""
    directory: str = ""
    point: str = ""
    node: str = ""
    born_ns: int = 0

    @property
    def identity(self) -> str:
        """The text that ``parse`` reads; equal texts are the same volume."""
        fields = asdict(self)
        # Written only where they matter: other texts stay as they were.
        return json.dumps(
            {key: fields[key] for key in fields if key not in _OF_NODE or fields[key]}
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the volume that ``identity`` has, or 0.1 (``TYPE at POINT``)."""
        if text.startswith("{"):
            return cls(**json.loads(text))
        type_, _, point = text.partition(" at ")
        return cls(type_, point=point)

    def __str__(self) -> str:
        """Return a description for people, in which unprintable bytes are replaced."""
        root = "" if self.root in {"", "/"} else self.root
        id_ = self.id.rstrip("/") if root and ":/" in self.id else self.id
        separator = ":" if root and id_.startswith(("UUID=", "fsid=")) else ""
        named = " ".join(filter(None, (self.type, f"{id_}{separator}{root}")))
        shown = f"{named} at {self.point}" if self.point else named
        shown += f" on {self.node}" if self.node else ""
        return os.fsencode(shown).decode(errors="replace")

    @property
    def kind(self) -> str:
        """The kind of the id: ``UUID``, ``fsid`` or ``source``; empty if there is none."""
        if not self.id:
            return ""
        return self.id[:4] if self.id.startswith(("UUID=", "fsid=")) else "source"

    def is_same(self, found: Volume) -> bool:
        """Return whether a volume that is found is this one, with the same directory of it.

        The point matters only where an id is missing, or depends on the kernel (UUID and fsid). At
        the same point another directory may be watched, since links in a path may change; at
        another point it is the same only if it is the same directory of the volume. So a volume is
        not taken for one of the same id that it was mounted in, when it is unmounted.
        """
        is_here, kinds = self.point == found.point, {self.kind, found.kind}
        is_root = is_here and (not self.root or self.root == found.root)
        if "" in kinds or kinds == {"UUID", "fsid"}:
            return is_root and self.type == found.type and self._may_be_at(found)
        return self.id == found.id and (is_root if is_here else self.directory == found.directory)

    def _may_be_at(self, found: Volume) -> bool:
        """Return whether a volume without an id may be this one, although servers share a state."""
        is_near = not (self.node and found.node) or self.node == found.node
        return is_near or 0 < self.born_ns == found.born_ns


def is_same_volume(known: str, found: str) -> bool:
    """Return whether a volume that is found is the known one.

    Args:
        known: What ``Volume.identity`` was before, or ``TYPE at POINT`` as 0.1 recorded it.
        found: What it is now.
    """
    return known == found or Volume.parse(known).is_same(Volume.parse(found))


def describe_volume(identity: str) -> str:
    """Return what ``Volume.identity`` was, or 0.1 recorded, for people to read."""
    return str(Volume.parse(identity))
