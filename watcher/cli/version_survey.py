"""Counts the versions of a bucket, while it is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.versioned import is_delete_marker

if TYPE_CHECKING:
    from watcher.model import Entry


@dataclass(frozen=True, slots=True)
class VersionNumbers:
    """The matching entries of a bucket whose versions are read.

    Attributes:
        keys: Number of keys that have a version or a delete marker.
        delete_markers: Number of delete markers.
    """

    keys: int
    delete_markers: int


class VersionSurvey:
    """Counts the versions of a listing, whose keys come one after the other."""

    def __init__(self) -> None:
        self._last = b""
        self._keys = self._delete_markers = 0

    @property
    def numbers(self) -> VersionNumbers:
        """What was counted."""
        return VersionNumbers(self._keys, self._delete_markers)

    def add(self, version: Entry) -> None:
        """Count a version, whose path is its key."""
        self._keys += version.path != self._last
        self._delete_markers += is_delete_marker(version)
        self._last = version.path
