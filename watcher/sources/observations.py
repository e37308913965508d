"""What a source observes between two scans: paths as they are now, renames, and what to scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.model import Entry, Rescan


@dataclass(slots=True)
class Inspection:
    """The present state of single paths.

    Attributes:
        entries: The files found.
        gone: Paths at which there is no file.
        attributes_only: Paths among ``entries`` whose notifications named nothing but attributes
            (chmod, chown, link count).
        expected_ctime_ns: Paths that no notification named, each with the change time (ns since
            the epoch) that ``Source.recheck`` was given for it, or None.
        has_digests: The contents were read for ``Source.digest``, as far as they can be.
    """

    entries: list[Entry] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    attributes_only: set[bytes] = field(default_factory=set)
    expected_ctime_ns: Mapping[bytes, int | None] = field(default_factory=dict)
    has_digests: bool = False


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename paired by the kernel, of a file or of a directory (then both paths end in ``/``)."""

    old_path: bytes
    path: bytes

    @property
    def is_directory(self) -> bool:
        """Whether a directory was renamed, with everything below it."""
        return self.path.endswith(b"/")


@dataclass(frozen=True, slots=True)
class Renames:
    """Consecutive renames, in order: of files, or of one directory."""

    renames: Sequence[Rename]


@dataclass(frozen=True, slots=True)
class Subtree:
    """A subtree to be scanned and compared as a whole.

    Attributes:
        prefix: Ends in ``/``; empty for the whole place.
        reason: The reason to scan the whole place; None for a part of it.
    """

    prefix: bytes
    reason: Rescan | None = None


@dataclass(frozen=True, slots=True)
class LinksChanged:
    """Symbolic links may have new targets: every entry reached through one must be inspected."""


Observation = Inspection | Renames | Subtree | LinksChanged
