"""The values that all layers share: entries, changes and their kinds. Imports nothing but the standard library."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class ChangeType(StrEnum):
    """What happened to an entry; the values are the ``type`` of a payload."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    MOVED = "moved"


class SourceKind(StrEnum):
    """Which adapter reads a place; the values are the ``source`` of a payload."""

    DIRECTORY = "directory"
    S3 = "s3"


class Rescan(StrEnum):
    """Why a whole place is scanned out of turn; the values are the ``reason`` in log and metrics."""

    NOTIFICATIONS_LOST = "notifications_lost"
    MANY_HINTS = "many_hints"
    DIRECTORY_GONE = "directory_gone"
    JOURNAL_FULL = "journal_full"
    RELEASED = "released"


class Entry(NamedTuple):
    """One file or object as it was observed: the unit of a scan and a row of the index.

    A named tuple and not a dataclass, because a scan makes one of these for each of millions of files.

    Attributes:
        path: Raw bytes: relative to the watched directory, or the object key in UTF-8. Never empty.
        size: Bytes.
        mtime_ns: Last modification, nanoseconds since the epoch.
        ctime_ns: Last change of the inode, nanoseconds since the epoch; 0 for an object.
        inode: Inode number; 0 for an object.
        etag: Unquoted entity tag; empty for a file, but for a file whose content was read it is a digest of that.
        storage_class: As the store names it; empty for a file.
        is_link: The path itself is a symbolic link; the other values are those of its target.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    etag: str = ""
    storage_class: str = ""
    is_link: bool = False


class Row(NamedTuple):
    """One row of the index: its bit number in a scan's bitmap, and the entry last reported."""

    id: int
    entry: Entry


@dataclass(slots=True)
class Delta:
    """What one commit does to the index.

    Attributes:
        upserts: Rows to write.
        deletes: Rows to drop; their paths are not among ``upserts``.
        created: How many of ``upserts`` have no row yet.
    """

    upserts: list[Row] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    created: int = 0


class Payload(NamedTuple):
    """One row of the journal: the sequence number of its last change, and the bytes for the stream."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between an entry and the index.

    Attributes:
        type: What happened.
        entry: What is there now; for ``deleted`` what was last known.
        old_path: The former path of a ``moved`` entry, else None.
        existing: The entry was there before the watch began.
    """

    type: ChangeType
    entry: Entry
    old_path: bytes | None = None
    existing: bool = False


@dataclass(slots=True)
class ChangeSet:
    """What one comparison found: what to commit to the index, and what to say about it."""

    delta: Delta = field(default_factory=Delta)
    changes: list[Change] = field(default_factory=list)

    def add(self, other: ChangeSet) -> None:
        """Append another step, whose paths are not in this one."""
        self.delta.upserts += other.delta.upserts
        self.delta.deletes += other.delta.deletes
        self.delta.created += other.delta.created
        self.changes += other.changes


class Identity(NamedTuple):
    """What a watch is recognised by.

    Attributes:
        principal: The name of the token that the client has shown; empty without tokens.
        name: ``id`` from the configuration, or else the event's name.
        place: Canonical URI.
    """

    principal: str
    name: str
    place: str

    @property
    def labels(self) -> dict[str, str]:
        """What tells it apart in the log; without tokens there is one principal only."""
        return {"watch": self.name, "place": self.place} | (
            {"principal": self.principal} if self.principal else {}
        )

    @property
    def digest(self) -> str:
        """A name for files: 32 hexadecimal digits."""
        return hashlib.sha256("\0".join(self).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def fitting(payloads: Iterable[Payload], max_bytes: int) -> list[Payload]:
    """Return the first of some payloads: one in any case, and no more than have so many bytes together."""
    found: list[Payload] = []
    size_bytes = 0
    for payload in payloads:
        size_bytes += len(payload.data)
        if found and size_bytes > max_bytes:
            break
        found.append(payload)
    return found
