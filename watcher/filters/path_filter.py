"""Decides which paths count: include and exclude globs, compiled once, matched in time that no pattern can blow up.

Paths are bytes. They are decoded with ``surrogateescape``, so that ``?`` is one code point or one byte that is not UTF-8.

Pure: imports nothing but the standard library, ``globs.py`` and ``spec.py``.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from watcher.filters.glob import (
    DEEP,
    components_of,
    directory_of,
    expression,
    name_expression,
    suffix_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.spec import Filter

_LARGE = 4096
"""Characters of a regular expression."""
_COMPILING = threading.Lock()
"""One at a time, for an expression takes ten times as much memory while it is compiled as it does afterwards."""

_FEW = 2
"""So many directories are found sooner by a regular expression than by cutting the path."""


class PathFilter:
    """The include and exclude globs of one watch.

    - A pattern without a slash matches the last name at any depth; with one it matches the whole path. A leading slash only anchors.
    - ``*`` and ``?`` match within a name, ``[a-z]`` and ``[!a-z]`` one character of it; ``[*]`` is a star. There is no other escape.
    - ``**`` as a whole component matches any number of components, at the end of a pattern at least one: ``tmp/**`` is all below ``tmp``.
    - A trailing slash means everything below: ``tmp/`` is ``**/tmp/**``, ``/tmp/`` is ``tmp/**``.
    - Letters match in their case, and a leading dot is a character like others.
    """

    __slots__ = ("_exclude", "_include", "_subtrees")

    def __init__(self, patterns: Filter) -> None:
        """Understand the globs.

        Raises:
            ValueError: A pattern is not a glob; the text names it.
        """
        include = [components_of(pattern) for pattern in patterns.include]
        exclude = [components_of(pattern) for pattern in patterns.exclude]
        self._include = _AnyOf(include) if include else None
        self._exclude = _AnyOf(exclude) if exclude else None
        subtrees = [components for components in exclude if components[-1] == DEEP]
        self._subtrees = _AnyOf(subtrees) if subtrees else None

    def admits(self, path: bytes) -> bool:
        """Return whether the file or object at ``path`` counts: some include pattern matches, or there is none, and no exclude pattern."""
        return (self._include is None or self._include.matches(path)) and (
            self._exclude is None or not self._exclude.matches(path)
        )

    def admits_directory(self, path: bytes) -> bool:
        """Return whether anything below the directory ``path`` may count; False means that it need not be read.

        Args:
            path: Relative, with or without a trailing slash; empty for the root.
        """
        if self._subtrees is None:
            return True
        return not self._subtrees.matches(path + b"/" if path and not path.endswith(b"/") else path)


class _AnyOf:
    """Patterns of which one must match.

    The plain ones (``*.csv``, and ``tmp/`` where there are many) are compared as they are; all others become one regular expression, in
    which those of the last name share the way to it.
    """

    __slots__ = ("_directories", "_regex", "_suffixes", "_waiting")

    def __init__(self, patterns: Iterable[Sequence[str]]) -> None:
        suffixes, directories = list[bytes](), set[str]()
        others: list[Sequence[str]] = []
        for components in patterns:
            if (suffix := suffix_of(components)) is not None:
                suffixes.append(suffix.encode())
            elif (directory := directory_of(components)) is not None:
                directories.add(directory)
            else:
                others.append(components)
        if len(directories) <= _FEW:
            others += [[DEEP, directory, DEEP] for directory in directories]
            directories.clear()
        self._suffixes = tuple(suffixes)
        self._directories = frozenset(directory.encode() for directory in directories)
        self._waiting: Sequence[Sequence[str]] = others
        self._regex: re.Pattern[str] | None = None

    def matches(self, path: bytes) -> bool:
        """Return whether a pattern matches the whole of ``path``."""
        if path.endswith(self._suffixes):
            return True
        if self._directories:
            names = path.split(b"/")
            names.pop()
            if not self._directories.isdisjoint(names):
                return True
        if self._waiting:
            # Only now, in the thread that matches: a thousand patterns take a third of a second.
            self._regex = _compile(self._waiting)
            self._waiting = ()
        return (
            self._regex is not None
            and self._regex.fullmatch(path.decode("utf-8", "surrogateescape")) is not None
        )


def _compile(patterns: Iterable[Sequence[str]]) -> re.Pattern[str]:
    """Return a regular expression for patterns of which one must match."""
    names, paths = list[str](), list[str]()
    for components in patterns:
        if (name := name_expression(components)) is not None:
            names.append(name)
        else:
            paths.append(expression(components))
    return compile_any([f"(?:.*/)?+(?:{'|'.join(names)})", *paths] if names else paths)


def compile_any(alternatives: Sequence[str]) -> re.Pattern[str]:
    """Return a regular expression of which one alternative must match, kept by nobody else if it is large."""
    with _COMPILING:
        regex = re.compile("|".join(alternatives), re.DOTALL)
    if len(regex.pattern) > _LARGE:
        # re keeps the last 512 that were compiled: half a gigabyte, if all are large. A large one shall go with its watch.
        re.purge()
    return regex


def check_pattern(pattern: str) -> None:
    """Do nothing if the pattern is a glob; cheaper than to compile it.

    Raises:
        ValueError: It is not; the text names it.
    """
    components_of(pattern)
