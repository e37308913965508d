"""The values that all rooms share: entries, rows, changes, payloads and the identity of a watch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ChangeType(StrEnum):
    """What happened to an entry or to a group; the values are the ``type`` of a payload."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    MOVED = "moved"
    COMPLETED = "completed"


DESCRIBED = frozenset({ChangeType.CREATED, ChangeType.MODIFIED})
"""Changes of which a payload may have details of the object."""


class SourceKind(StrEnum):
    """Which adapter reads a place; the values are the ``source`` of a payload."""

    DIRECTORY = "directory"
    S3 = "s3"


class Rescan(StrEnum):
    """Why a scan is started before it is due; the values are the ``reason`` in log and metrics."""

    NOTIFICATIONS_LOST = "notifications_lost"
    MANY_HINTS = "many_hints"
    DIRECTORY_GONE = "directory_gone"
    JOURNAL_FULL = "journal_full"
    RELEASED = "released"
    MANY_GONE = "many_gone"
    HINTS_MISSED = "hints_missed"
    HEAD_REFUSED = "head_refused"


class Entry(NamedTuple):
    """One file or object as it was observed: the unit of a scan and the content of an index row.

    A named tuple because a scan makes one for each of millions of files, faster than a dataclass.

    Attributes:
        path: Raw bytes, never empty: relative to the watched directory, or the object key in UTF-8;
            for a version see ``versioned``.
        size: Bytes.
        mtime_ns: Last modification, nanoseconds since the epoch.
        ctime_ns: Last change of the inode, nanoseconds since the epoch; 0 for an object.
        inode: Inode number; 0 for an object.
        etag: Entity tag of an object without quotes; a digest for a file whose content was read,
            empty for any other file.
        storage_class: As the store names it; empty where it names none and for a file, ``HIDDEN``
            in the row of a hidden one, ``DELETE_MARKER`` for a delete marker.
        is_link: Whether ``path`` is a symbolic link; the other values are those of its target.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    etag: str = ""
    storage_class: str = ""
    is_link: bool = False

    @property
    def is_object(self) -> bool:
        """Whether it is an object of a bucket, and no file."""
        return not (self.inode or self.ctime_ns)


HIDDEN = "hidden"
"""Storage class in the row of a file that a volume hides, which was mounted over its directory."""

DELETE_MARKER = "delete-marker"
"""Storage class in the row of a delete marker, which has neither size nor etag. Those of stores are
written in capitals."""


class Gate(IntEnum):
    """Why a row of the index is not that of an entry as it was last reported.

    A row keeps it with the flags ``GATE_REPORTED`` and ``GATE_EXISTING``; 0 is an ordinary row.
    """

    MARKER = 1
    """It is a marker: read, and never reported."""
    NO_MARKER = 2
    """It waits for its marker."""
    TOO_SMALL = 3
    """It is smaller than ``min_size``."""
    TOO_LARGE = 4
    """It is larger than ``max_size``."""


GATE_REPORTED = 8
"""Flag of a gate: the entry was reported, and the row is as it was then. A newer version is held
back, and differs from the row until it is reported or the two agree again."""

GATE_EXISTING = 16
"""Flag of a gate: the entry was there before the watch, which is to be reported with it."""

GATE_MASK = 7
"""The bits of a gate without its flags."""


class Row(NamedTuple):
    """One row of the index: the entry last committed, and its bit in the bitmap of a scan.

    Attributes:
        id: Its bit.
        entry: The entry as it was last reported; without a report, as it was last observed.
        gate: 0, or a ``Gate`` with its flags.
    """

    id: int
    entry: Entry
    gate: int = 0

    @property
    def is_hidden(self) -> bool:
        """Whether a volume hides the file, so that its absence proves nothing."""
        return self.entry.storage_class == HIDDEN

    @property
    def why_gated(self) -> Gate | None:
        """Why this is not the entry as it was last reported; None if it is."""
        return Gate(self.gate & GATE_MASK) if self.gate else None

    @property
    def is_unreported(self) -> bool:
        """Whether the entry was never reported, nor recorded as one that need not be."""
        return bool(self.gate) and not self.gate & GATE_REPORTED


@dataclass(slots=True)
class GroupDelta:
    """What one commit changes in the record of groups; done in the order of the attributes.

    A group is named by its path without a slash at its end, the whole place by an empty one. Times
    are seconds since the epoch.

    Attributes:
        is_regrouped: Forget all groups, but not their changes: ``due`` names them anew.
        latest_due_s: No group is due later than this; None for no limit.
        changes: What happened to entries in this step, by path: created, modified or deleted.
        due: Groups that have changed, each with the time at which it is due; None for a group that
            is not due before it changes again.
        touched: The same for groups that count only if they have changed before.
        forgotten: Paths whose changes count no more.
        completed: Groups whose changes begin to count anew.
    """

    is_regrouped: bool = False
    latest_due_s: float | None = None
    changes: Mapping[bytes, ChangeType] = field(default_factory=dict)
    due: Mapping[bytes, float | None] = field(default_factory=dict)
    touched: Mapping[bytes, float] = field(default_factory=dict)
    forgotten: Sequence[bytes] = ()
    completed: Sequence[bytes] = ()


@dataclass(slots=True)
class Delta:
    """What one commit changes in the index.

    Attributes:
        upserts: Rows to write.
        deletes: Rows to delete; their paths are not among ``upserts``.
        created: Number of ``upserts`` that have no row yet.
        groups: What changes in the record of groups; None for nothing.
        gates: By gate, by how much the upserts change the number of rows that have it.
    """

    upserts: list[Row] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    created: int = 0
    groups: GroupDelta | None = None
    gates: dict[int, int] = field(default_factory=dict)

    def put(self, former: Row | None, row: Row) -> None:
        """Add a row to be written.

        Args:
            former: The row that is there now; None if there is none.
            row: The row, with the id of ``former``.
        """
        self.upserts.append(row)
        self.created += former is None
        if former is not None and former.gate:
            self.gates[former.gate] = self.gates.get(former.gate, 0) - 1
        if row.gate:
            self.gates[row.gate] = self.gates.get(row.gate, 0) + 1

    def add(self, other: Delta) -> None:
        """Append another delta, which must have no path in common with this one."""
        self.upserts += other.upserts
        self.deletes += other.deletes
        self.created += other.created
        for gate, rows in other.gates.items():
            self.gates[gate] = self.gates.get(gate, 0) + rows


class Payload(NamedTuple):
    """One message of the journal: the number of its last change, and the bytes to stream."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """What a group of entries holds, and how it changed since its last ``completed``.

    Attributes:
        entries: Entries in it.
        created: Entries that were not there at its last ``completed``.
        modified: Entries that were there, and differ.
        deleted: Entries that were there, and are gone.
    """

    entries: int
    created: int
    modified: int
    deleted: int


@dataclass(frozen=True, slots=True)
class ObjectDetails:
    """What a store says of one object when it is asked for it, beside what a listing says.

    Attributes:
        version_id: Version of the object; None where the bucket has no versions.
        content_type: None unless it was asked for, or where the object has none.
        metadata: The user's metadata by name, without their prefix; None unless they were asked
            for.
        tags: Tags by name; None unless they were asked for.
    """

    version_id: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a place and its index, or a group that has come to rest.

    Attributes:
        type: What happened.
        entry: The entry as it is now; for ``deleted`` as it was last committed. For ``completed``
            the path of the group (empty for the whole place), the total size of its entries and the
            newest of their times.
        old_path: The former path of a ``moved`` entry, else None.
        existing: Whether the entry was there before the watch began.
        group: What the group holds if it is ``completed``, else None.
        replaces: Whether a ``moved`` entry has taken the place of another one.
        version_id: Version of an object where versions are reported, else None.
        details: What was asked of the store about an object; None if nothing was, or if nothing is
            known.
    """

    type: ChangeType
    entry: Entry
    old_path: bytes | None = None
    existing: bool = False
    group: GroupCounts | None = None
    replaces: bool = False
    version_id: str | None = None
    details: ObjectDetails | None = None


@dataclass(slots=True)
class ChangeSet:
    """The result of one comparison: what to commit to the index, and the changes to report.

    Attributes:
        delta: Changes of the index.
        changes: In order.
        touched: Paths at which something was that came and went between two readings.
    """

    delta: Delta = field(default_factory=Delta)
    changes: list[Change] = field(default_factory=list)
    touched: Sequence[bytes] = ()

    def add(self, other: ChangeSet) -> None:
        """Append another change set, which must have no path in common with this one."""
        self.delta.add(other.delta)
        self.changes += other.changes


class Identity(NamedTuple):
    """What distinguishes a watch from all others, and names its state.

    Attributes:
        principal: Name of the token of the client; empty without tokens.
        name: ``id`` of the configuration, or else the event's name.
        place: Canonical URI.
    """

    principal: str
    name: str
    place: str

    @property
    def labels(self) -> dict[str, str]:
        """The fields of a log event about the watch; without tokens there is no ``principal``."""
        return {"watch": self.name, "place": self.place} | (
            {"principal": self.principal} if self.principal else {}
        )

    @property
    def digest(self) -> str:
        """A name for files: 32 hexadecimal digits."""
        return hashlib.sha256("\0".join(self).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def group_prefix(group: bytes) -> bytes:
    """Return the prefix of the paths in a group; empty for the whole place."""
    return group + b"/" if group else b""


def fitting(payloads: Iterable[Payload], max_bytes: int) -> list[Payload]:
    """Return the first payloads up to a total size; the first one in any case.

    Args:
        payloads: Consumed up to the first that does not fit.
        max_bytes: Maximum total size of the result if it has more than one payload.
    """
    found: list[Payload] = []
    size_bytes = 0
    for payload in payloads:
        size_bytes += len(payload.data)
        if found and size_bytes > max_bytes:
            break
        found.append(payload)
    return found
