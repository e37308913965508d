"""The port of a source, and the parts of it that a kind of place does without.

A source yields full scans (``scans``), and observations of what may have changed between two of
them (``observations``). It never compares with the index and never decides what is a change. It
runs in the thread of its watch: no method needs to be thread-safe except ``hint``, and the ``wake``
that ``open`` is given. A place that cannot be read now is an ``UnavailableError``, never an empty
scan.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from watcher.filters.key_window import KeyWindow
    from watcher.model import Change, Entry
    from watcher.sources.cost import Cost
    from watcher.sources.observations import Inspection, Observation
    from watcher.sources.scans import Scan
    from watcher.status_values import HintStatus, PartStatus


class Source(Protocol):
    """An adapter that reads one place.

    Attributes:
        has_cheap_inspection: ``inspect`` sends no requests that are billed.
        remark: What a person should know of the place, once it was read; empty for nothing.
    """

    has_cheap_inspection: bool
    remark: str

    @property
    def mode(self) -> str:
        """How most changes are noticed now: ``notify`` or ``poll``."""

    @property
    def window(self) -> KeyWindow | None:
        """Which paths belong to the place now, where that moves with time; None where all do.

        Entries of others leave the index without a report. Read from any thread.
        """

    @property
    def requests(self) -> int:
        """LIST requests sent since the source was made, retries included; 0 where none are."""

    @property
    def degraded(self) -> str:
        """Why changes are noticed later than configured, or not at all; empty if they are not."""

    @property
    def scan_interval_s(self) -> float:
        """Seconds between two full scans."""

    @property
    def cost(self) -> Cost | None:
        """Cost of the scans, once one is completed; None where they are free."""

    @property
    def volume_id(self) -> str:
        """Identity of the volume, equal whenever the same one is opened again; empty if unknown."""

    @property
    def only_node(self) -> str | None:
        """The only machine from which the place can be seen; None if others may see it."""

    @property
    def unanswered_s(self) -> float:
        """Seconds for which the kernel has not answered what it was asked; 0 for nothing.

        Read from any thread. Requests to a store have timeouts, and are not counted.
        """

    def mount_point(self, path: bytes) -> bytes:
        """Return the path at which the volume of a path is mounted; empty for that of the place."""

    def is_remounted(self, path: bytes) -> bool:
        """Return whether a volume was mounted at or above a path since a scan has read it there."""

    def has_stable_inodes(self, path: bytes) -> bool:
        """Return whether the inode of the file at a path stays the same until it is replaced."""

    def has_stable_ctimes(self, path: bytes) -> bool:
        """Return whether the change time of the file at a path stays the same until it changes."""

    @property
    def part_status(self) -> Sequence[PartStatus]:
        """The parts of the place, each with how it is watched; empty where there are none."""

    @property
    def volumes(self) -> Mapping[bytes, str]:
        """Identities of the volumes that belong into the place, by the paths of their points."""

    @property
    def new_volumes(self) -> Mapping[bytes, str]:
        """The same of volumes that were mounted later, and are not read until they are accepted."""

    def expect_volumes(self, known: Mapping[bytes, str] | None) -> None:
        """Set the volumes that an earlier run has known, before ``open``.

        Args:
            known: As ``volumes``; None takes all that ``open`` finds as known.
        """

    def accept_volumes(self) -> None:
        """Add ``new_volumes`` to ``volumes``: ``observe`` has them read."""

    def hidden_by(self, point: bytes) -> Collection[bytes]:
        """Return the prefixes of the paths that lead into a volume at a point, also by links."""

    def open(self, wake: Callable[[], None]) -> None:
        """Find the place and start to collect hints.

        Args:
            wake: Called from any thread when ``observe`` has something new; returns at once.

        Raises:
            NotFoundError: There is no such place.
            DeniedError: The place may not be read.
            UnavailableError: The place cannot be reached now.
            ConfigError: The place contains the server's own state.
        """

    def close(self) -> None:
        """Release everything; may be called twice and without ``open``."""

    def scan(self, prefix: bytes = b"") -> Scan:
        """Return a scan of the place or of a subtree, to be iterated; it takes entries as they are.

        Args:
            prefix: Empty, or a directory's path with a trailing ``/``.
        """

    def without_outdated(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those entries of a scan that may be newer than the index.

        The others were inspected after the scan has read them, or are known to be gone. They keep
        their rows, or their lack of one; ``observe`` inspects those that may have changed since.

        Args:
            entries: Entries that differ from the index, of the batch that a scan yielded last or of
                the scan that ends now.

        Returns:
            Some of the entries, in their order; may be empty.
        """

    def complete(self, entries: Sequence[Entry], read_ns: int | None = None) -> list[Entry]:
        """Return those of differing entries that may be reported now.

        The others keep their rows, or their lack of one: ``observe`` inspects them, or the next
        scan meets them again, once they are complete.

        Args:
            entries: Entries that differ from the index.
            read_ns: Wall time in nanoseconds when their inspection began; None if they are of a
                scan.

        Returns:
            Some of the entries, in their order; may be empty.
        """

    def digest(
        self, entries: Sequence[Entry], attributes_only: Collection[bytes] = ()
    ) -> list[Entry]:
        """Have contents read, and return those of the entries that must be compared without.

        The others keep their rows, or their lack of one: ``observe`` inspects them, with digests as
        their etags, once they have been read; or the next scan meets them again.

        Args:
            entries: Complete entries that differ from the index.
            attributes_only: As in ``Inspection``.
        """

    def learn_digests(self, entries: Sequence[Entry]) -> None:
        """Have the contents of unchanged entries read in the background; see ``digest``."""

    @property
    def is_digesting_idle(self) -> bool:
        """Whether no content waits to be read."""

    def observe(self) -> Iterable[Observation]:
        """Yield the observations that are due, in order; none if nothing is."""

    def known_until_s(self, prefix: bytes) -> float:
        """Return the monotonic time up to which all changes under a prefix have been seen.

        Infinity where all are notified; minus infinity where a scan has to be completed first.

        Args:
            prefix: Empty for the whole place, else it ends in ``/``.
        """

    def unsettled(self) -> Iterable[bytes]:
        """Yield what waits to be inspected or scanned, or cannot be read, as far as is known now.

        Paths, and prefixes that end in ``/`` (empty: the whole place); one may come twice.
        """

    @property
    def hint_status(self) -> HintStatus | None:
        """What arrives of the hints from outside, read from any thread; None where none do."""

    def verify_hints(self) -> None:
        """Check, before a new watch opens the place, that the hints which it is to take can arrive.

        Later, hints that do not arrive degrade the watch.

        Raises:
            NotFoundError: What brings them does not exist.
            DeniedError: It may not be used.
        """

    def hint(self, paths: Sequence[bytes]) -> None:
        """Have ``observe`` inspect paths of which somebody outside says that they have changed.

        Called from any thread, before ``open`` too. Paths that are not in the place do nothing.
        """

    def due_in_s(self) -> float | None:
        """Return the seconds until ``observe`` has something without a ``wake``; None for never."""

    def describe(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return changes, about to be reported, with their ``details`` if the spec asks for any.

        They are the same otherwise, and in the same order.

        Raises:
            UnavailableError, NotFoundError, DeniedError: The place cannot be read now.
        """

    def notifies(self, path: bytes) -> bool:
        """Return whether changes at a path are notified, and not found by scans alone."""

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """Have ``observe`` inspect paths again once nobody has written to them for a while.

        Args:
            paths: The paths.
            expected_ctime_ns: Change times (ns since the epoch) of those paths that differ from
                the index in nothing else; ``Inspection.expected_ctime_ns`` returns them.
        """

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """Inspect single paths now; a path that cannot be inspected is left out of the result.

        Without ``has_cheap_inspection``, only what was observed asks for it, and no scan.

        Raises:
            UnavailableError: The place cannot be read now.
        """

    def release(self, prefix: bytes) -> None:
        """Accept that a mount is gone for good: its directory is an ordinary one from now on.

        Args:
            prefix: Path of its mount point, relative to the place.

        Raises:
            NotFoundError: No mount is missing there.
        """

    def confirm_deleted(
        self, paths: Sequence[bytes], missed_before: Collection[bytes] = ()
    ) -> Sequence[bytes]:
        """Return the paths at which there is certainly nothing, of those that a scan did not yield.

        The others stay; ``degraded`` says why where that matters.

        Args:
            paths: The paths.
            missed_before: Those of them that the completed scan before did not yield either, which
                may prove that they are gone where single paths cannot be read.

        Raises:
            UnavailableError: The place cannot be read now.
        """


class WithoutVolumes:
    """The part of a ``Source`` that deals with volumes, for a place that is none and has none."""

    volume_id = ""
    only_node: str | None = None
    unanswered_s = 0.0
    volumes: Mapping[bytes, str] = MappingProxyType({})
    new_volumes: Mapping[bytes, str] = MappingProxyType({})

    def expect_volumes(self, known: Mapping[bytes, str] | None) -> None:
        """Do nothing."""

    def accept_volumes(self) -> None:
        """Do nothing."""

    def hidden_by(self, point: bytes) -> Collection[bytes]:  # noqa: ARG002 - nothing is mounted
        """Return nothing."""
        return ()


class WithoutHints:
    """The part of a ``Source`` that deals with hints from outside, for a place that takes none."""

    hint_status: HintStatus | None = None

    def verify_hints(self) -> None:
        """Do nothing."""

    def hint(self, paths: Sequence[bytes]) -> None:
        """Do nothing."""


class WithoutObjects:
    """The part of a ``Source`` that deals with prefixes and details of objects, for files."""

    window: None = None

    def describe(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return the changes: no file has details."""
        return changes
