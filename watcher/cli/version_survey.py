"""Counts the versions of a bucket, while it is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.versioned import is_delete_marker, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.model import Entry


@dataclass(frozen=True, slots=True)
class VersionNumbers:
    """The entries of a bucket whose versions are read.

    Attributes:
        keys: Number of keys that have a version or a delete marker.
        delete_markers: Number of delete markers.
    """

    keys: int
    delete_markers: int


class VersionSurvey:
    """Tells the versions of a listing apart, whose keys come one after the other."""

    def __init__(self) -> None:
        self._last = b""
        self._keys = self._delete_markers = 0

    @property
    def numbers(self) -> VersionNumbers:
        """What was counted."""
        return VersionNumbers(self._keys, self._delete_markers)

    def take(self, versions: Iterable[Entry]) -> list[Entry]:
        """Count versions, and return them with their keys as paths."""
        entries = []
        for version in versions:
            key = key_of(version.path)
            self._keys += key != self._last
            self._delete_markers += is_delete_marker(version)
            self._last = key
            entries.append(version._replace(path=key))
        return entries
