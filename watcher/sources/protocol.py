"""What a source offers to the watch that runs it: full scans, and observations where something may have changed.

A source reads; it never compares with the index and never decides what is a change. It runs in the thread of its watch: no call
needs to be thread-safe except ``wake`` as it is passed to ``open``. A place that cannot be read *now* is an ``UnavailableError``,
never an empty scan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watcher.model import Entry, Rescan
    from watcher.sources.cost import Cost

BATCH_ENTRIES = 1000
"""About how many entries a scan hands over at once."""


class Batch(Protocol):
    """A part of a scan."""

    @property
    def entries(self) -> list[Entry]:
        """What is there, in any order; may be read only when it is asked for, and raises what the iteration of the scan does."""

    @property
    def unsettled(self) -> Sequence[bytes]:
        """Paths that are there but are still being written: not gone, and not to be reported yet."""

    @property
    def digest(self) -> bytes:
        """Two batches of one source with the same digest have the same entries; empty where that cannot be told."""


@dataclass(slots=True)
class EntryBatch:
    """A batch of entries that have been read."""

    entries: list[Entry]
    unsettled: Sequence[bytes] = ()
    digest: bytes = b""


class Scan(Protocol):
    """One reading of a place, or of the subtree ``prefix``; iterate it once, to the end.

    Iteration raises ``UnavailableError`` (or ``NotFoundError``, ``DeniedError``) when the reading cannot be completed; then
    nothing may be inferred from what was not seen.

    Attributes:
        prefix: Only paths that begin with this were read: empty for everything, else it ends in ``/``.
        unread: Prefixes that could not be read; complete after the iteration. Entries under them are not gone.
    """

    prefix: bytes
    unread: list[bytes]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of about ``BATCH_ENTRIES`` entries; may be none."""

    def verification_scan(self, missing: int) -> Scan | None:
        """Return another reading, to be taken in too before it is believed that so many entries are gone; None when none is needed.

        Args:
            missing: How many entries of the whole index the scan, which is completed, did not meet.
        """


@dataclass(slots=True)
class Inspection:
    """Single paths that were looked at because of a hint.

    Attributes:
        entries: What is there.
        gone: Paths at which nothing is.
        attributes_only: Those of ``entries`` whose hints spoke of attributes (chmod, chown, links) only.
        doubts: Those of ``entries`` which no notification spoke of, with what ``Source.hint`` was given for them.
    """

    entries: list[Entry] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    attributes_only: set[bytes] = field(default_factory=set)
    doubts: dict[bytes, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename that the kernel paired: from ``old_path`` to ``path``, of a file, or of a directory (both end in ``/``)."""

    old_path: bytes
    path: bytes

    @property
    def is_directory(self) -> bool:
        """Whether a directory was renamed, with all below it."""
        return self.path.endswith(b"/")


@dataclass(frozen=True, slots=True)
class Renames:
    """Renames that happened one after the other: of files, or of one directory."""

    moves: Sequence[Rename]


@dataclass(frozen=True, slots=True)
class Subtree:
    """A subtree to be scanned and compared as a whole; ``prefix`` ends in ``/``, or is empty for the whole place.

    Attributes:
        reason: Why; None where it is nothing out of the ordinary.
    """

    prefix: bytes
    reason: Rescan | None = None


@dataclass(frozen=True, slots=True)
class LinksChanged:
    """Symbolic links may lead elsewhere now: every entry that is reached through one must be looked at again."""


Observation = Inspection | Renames | Subtree | LinksChanged


class Source(Protocol):
    """An adapter that reads one place.

    Attributes:
        mode: How changes are noticed: ``notify`` or ``poll``.
        requests: LIST requests sent since the source was made, repeated ones too; 0 where none are.
    """

    mode: str
    requests: int

    @property
    def degraded(self) -> str:
        """Why less is noticed than was asked for; empty when nothing is amiss."""

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans."""

    @property
    def cost(self) -> Cost | None:
        """What the scans cost, once one is completed; None where they are free."""

    @property
    def volume_id(self) -> str:
        """What must be the same when the place is opened again for the index to speak of the same place; may be empty."""

    def open(self, wake: Callable[[], None]) -> None:
        """Check that the place is there and begin to gather hints.

        Args:
            wake: Called from any thread when ``observe`` has something new; returns at once.

        Raises:
            NotFoundError: There is no such place.
            DeniedError: The place may not be read.
            UnavailableError: The place cannot be reached now.
            ConfigError: The server's own state is in there.
        """

    def close(self) -> None:
        """Let go of everything; may be called twice and without ``open``."""

    def scan(self, prefix: bytes = b"", *, settled_only: bool = True) -> Scan:
        """Return a reading of the place or a subtree, to be iterated.

        Args:
            prefix: Empty, or a directory's path with a trailing ``/``.
            settled_only: Put what is still being written into ``Batch.unsettled``, and hint it for later.
        """

    def observe(self) -> Iterable[Observation]:
        """Yield what hints have made ready, in order; empty when nothing is."""

    def due_in_s(self) -> float | None:
        """Return the seconds until ``observe`` will have something without a further ``wake``; None for never."""

    def recheck(self, doubts: Mapping[bytes, int | None]) -> None:
        """Have ``observe`` look at paths once they are quiet.

        Args:
            doubts: The paths, each with its change time where nothing else about it has changed; ``Inspection.doubts`` gives it back.
        """

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """Look at single paths now; those that cannot be looked at are in neither list.

        Raises:
            UnavailableError: The place cannot be read now.
        """

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """Return those of the paths, which a completed scan did not meet, at which nothing is for certain.

        Raises:
            UnavailableError: The place cannot be read now.
        """
