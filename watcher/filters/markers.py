"""Decides which files are markers, and which entries wait for which marker.

A marker says by being there that others are complete. ``{name}.done`` and ``{stem}.ok`` belong to
the entry of that name in their directory; a name without braces belongs to all in its directory
and below. The stem is the name without its last suffix: ``x.tar`` of ``x.tar.gz``, and the whole
name where it has no dot but a leading one. A name that can be a marker is one, whether or not
there is an entry for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from watcher.filters.path_filter import PathFilter

if TYPE_CHECKING:
    from watcher.spec import Filter, Spec

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_NAME, _STEM = "{name}", "{stem}"
_LISTED = frozenset({".", ".."})


class MarkerPattern:
    """The names of the markers of one watch.

    Args:
        text: A name with ``{name}`` or ``{stem}`` in it, or without.

    Attributes:
        text: That name.
        is_shared: A marker belongs to all entries in its directory and below.
        is_single: A marker belongs to one entry.

    Raises:
        ValueError: The text names no marker; the message continues the name of its key.
    """

    __slots__ = ("_head", "_is_stem", "_tail", "is_shared", "is_single", "text")

    def __init__(self, text: str) -> None:
        found = _PLACEHOLDER.findall(text)
        _check(text, found)
        head, placeholder, tail = text.partition(found[0]) if found else ("", "", text)
        self.text = text
        self.is_shared = not found
        self.is_single = placeholder == _NAME
        self._is_stem = placeholder == _STEM
        self._head, self._tail = head.encode(), tail.encode()

    def is_marker(self, path: bytes) -> bool:
        """Return whether the last name of a path is that of a marker."""
        # Each file of a scan comes here: nearly all end otherwise.
        if not path.endswith(self._tail):
            return False
        start = path.rfind(b"/") + 1
        if self.is_shared:
            return path[start:] == self._tail
        return path.startswith(self._head, start) and len(path) - start > len(self._head) + len(
            self._tail
        )

    def markers_of(self, path: bytes) -> list[bytes]:
        """Return the paths of the markers of an entry, of which one must be there."""
        start = path.rfind(b"/") + 1
        if not self.is_shared:
            name = path[start:]
            return [
                path[:start] + self._head + (_stem(name) if self._is_stem else name) + self._tail
            ]
        markers = [self._tail]
        end = path.find(b"/") + 1
        while end:
            markers.append(path[:end] + self._tail)
            end = path.find(b"/", end) + 1
        return markers

    def opened_prefix(self, marker: bytes) -> bytes:
        """Return what the paths begin with of the entries that a marker belongs to."""
        start = marker.rfind(b"/") + 1
        if self.is_shared:
            return marker[:start]
        return marker[:start] + marker[start + len(self._head) : len(marker) - len(self._tail)]

    def opens(self, marker: bytes, path: bytes) -> bool:
        """Return whether a marker belongs to the entry at a path."""
        return path.startswith(self.opened_prefix(marker)) and marker in self.markers_of(path)


def filter_of(spec: Spec) -> PathFilter:
    """Return the filter of a spec: it admits entries, and their markers."""
    if spec.conditions.marker is None:
        return PathFilter(spec.filter, skips_temporary=spec.skips_temporary)
    markers = MarkerPattern(spec.conditions.marker)
    return FilterWithMarkers(spec.filter, markers, skips_temporary=spec.skips_temporary)


class FilterWithMarkers(PathFilter):
    """A filter that admits the markers of entries too, whatever its globs say of their names.

    Args:
        patterns: See ``PathFilter``.
        markers: The names of the markers.
        skips_temporary: See ``PathFilter``.
    """

    __slots__ = ("_markers",)
    has_markers = True

    def __init__(
        self, patterns: Filter, markers: MarkerPattern, *, skips_temporary: bool = False
    ) -> None:
        super().__init__(patterns, skips_temporary=skips_temporary)
        self._markers = markers

    def admits(self, path: bytes) -> bool:
        """Return whether the file or object at ``path`` counts, or is a marker."""
        if self._markers.is_marker(path):
            # A directory that is excluded as a whole is not read, and holds nothing that waits.
            return self.admits_directory(path[: path.rfind(b"/") + 1])
        return super().admits(path)

    def is_marker(self, path: bytes) -> bool:
        """Return whether the last name of a path is that of a marker."""
        return self._markers.is_marker(path)


def _check(text: str, placeholders: list[str]) -> None:
    """Raise ValueError unless a text names markers."""
    literal = _PLACEHOLDER.sub("", text)
    if not text.isprintable() or "/" in text or text in {"", *_LISTED}:
        raise ValueError('must be a name without a slash, such as "{name}.done" or "_SUCCESS"')
    if {"{", "}"} & set(literal) or not {*placeholders} <= {_NAME, _STEM} or len(placeholders) > 1:
        raise ValueError("may have one {name} or one {stem}, and no other braces")
    if placeholders and not literal:
        raise ValueError(f"must have more than {text}, else every file would be a marker")
    if {"*", "?"} & set(literal):
        raise ValueError('is a name and no glob, such as "{name}.done" or "_SUCCESS"')


def _stem(name: bytes) -> bytes:
    """Return a name without its last suffix."""
    stem, dot, _ = name.rpartition(b".")
    return stem if dot and stem.strip(b".") else name
