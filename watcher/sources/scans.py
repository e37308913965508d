"""What a scan of a place yields: batches of entries, and what could not be read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from watcher.filters.key_window import Window
    from watcher.model import Entry

BATCH_ENTRIES = 1000
"""Approximate number of entries in a batch of a scan, and of paths in an inspection."""


class Batch(Protocol):
    """A part of a scan."""

    @property
    def entries(self) -> list[Entry]:
        """The entries, in any order; may be read on access, which raises what the scan raises."""

    @property
    def digest(self) -> bytes:
        """Equal for two batches of one source only if their entries are equal; empty if unknown."""


class DividedBatch(ABC):
    """A ``Batch`` whose parts have digests, so that one that has changed is read in part.

    Attributes:
        digest: See ``Batch``.
    """

    digest: bytes

    @property
    @abstractmethod
    def entries(self) -> list[Entry]:
        """See ``Batch``."""

    @property
    @abstractmethod
    def name(self) -> bytes:
        """Nearly always the same for the batch in another scan, also if it has changed."""

    @property
    @abstractmethod
    def part_digests(self) -> Sequence[bytes]:
        """Digests of the parts, of one length and each another; the parts are the entries."""

    @abstractmethod
    def read_parts(self, numbers: Sequence[int]) -> Sequence[Sequence[Entry]] | None:
        """Return the entries of some parts; None where the batch must be read as a whole.

        Args:
            numbers: Indices in ``part_digests``, ascending.
        """


@dataclass(slots=True)
class EntryBatch:
    """A batch of entries that have been read."""

    entries: list[Entry]
    digest: bytes = b""


class Scan(Protocol):
    """One reading of a place or of the subtree ``prefix``; iterated once, to the end.

    Iteration raises ``UnavailableError``, ``NotFoundError`` or ``DeniedError`` when the reading
    cannot be completed; then the absence of an entry proves nothing.

    Attributes:
        prefix: The part that is read: empty for the whole place, else it ends in ``/``.
    """

    prefix: bytes

    @property
    def window(self) -> Window | None:
        """The paths that are read, where the place moves with time; None where all are."""

    @property
    def unread(self) -> list[bytes]:
        """What could not be read, for people; complete after the iteration."""

    def unread_test(self) -> Callable[[bytes], bool]:
        """Return a function that returns whether the absence of a path proves nothing.

        It is among, or below, what could not be read. Called after the iteration.
        """

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of about ``BATCH_ENTRIES`` entries; there may be none."""

    def verification_scan(self, missing: int) -> Scan | None:
        """Return a second scan that must confirm the missing entries; None if none is needed.

        Args:
            missing: Number of entries in the whole index that this completed scan did not yield.
        """


def unread_test(unread: Iterable[bytes]) -> Callable[[bytes], bool]:
    """Return a function that returns whether a path is among, or below, what could not be read.

    Args:
        unread: Prefixes and paths. A single path may have been a directory, so what was known below
            it could not be read either.
    """
    paths = frozenset(unread)
    prefixes = tuple(path if path.endswith(b"/") else path + b"/" for path in paths)
    return lambda path: path in paths or path.startswith(prefixes)
