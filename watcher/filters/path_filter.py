"""Decides which paths count, by the globs of one watch and by temporary names.

Paths are bytes. They are decoded with ``surrogateescape``, so that ``?`` is one code point, or one
byte that is not UTF-8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from watcher.filters.glob import (
    DEEP,
    components_of,
    directory_of,
    expression,
    name_expression,
    suffix_of,
)
from watcher.filters.temporary import is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.spec import Filter

_CHUNK_CHARS = 500
"""Maximum characters of globs in one regular expression. A match holds the interpreter, with the
worst globs and a path of 4,095 bytes for 6 ms; other threads can run before the next one."""

_FEW = 2
"""Directories that a regular expression finds sooner than cutting the path into names does."""


class PathFilter:
    """The include and exclude globs of one watch, compiled.

    - A pattern without a slash matches the last name at any depth; with one it matches the whole
    path. A leading slash only anchors.
    - ``*`` and ``?`` match within a name, ``[a-z]`` and ``[!a-z]`` one character of it; ``[*]`` is
    a star. There is no other escape.
    - ``**`` as a whole component matches any number of components, at the end of a pattern at least
    one: ``tmp/**`` is all below ``tmp``.
    - A trailing slash means everything below: ``tmp/`` is ``**/tmp/**``, ``/tmp/`` is ``tmp/**``.
    - Letters match in their case, and a leading dot is a character like others.

    Args:
        patterns: The globs.
        skips_temporary: Leave out files with temporary names (``is_temporary``), even if a glob
            includes them. A directory's name does not matter.

    Raises:
        ValueError: A pattern is not a glob.
    """

    __slots__ = ("_exclude", "_include", "_skips_temporary", "_subtrees")

    def __init__(self, patterns: Filter, *, skips_temporary: bool = False) -> None:
        include = [components_of(pattern) for pattern in patterns.include]
        exclude = [components_of(pattern) for pattern in patterns.exclude]
        subtrees = [components for components in exclude if components[-1] == DEEP]
        self._skips_temporary = skips_temporary
        self._include = _AnyOf(include) if include else None
        self._exclude = _AnyOf(exclude) if exclude else None
        self._subtrees = _AnyOf(subtrees) if subtrees else None

    def admits(self, path: bytes) -> bool:
        """Return whether the file or object at ``path`` counts.

        It does if an include pattern matches it, or there is none, no exclude pattern does, and its
        name is not one that is left out as temporary.
        """
        return (
            (self._include is None or self._include.matches(path))
            and (self._exclude is None or not self._exclude.matches(path))
            and not (self._skips_temporary and is_temporary(path))
        )

    def admits_directory(self, path: bytes) -> bool:
        """Return whether a path below a directory may count; if not, it need not be read.

        Args:
            path: Relative, with or without a trailing slash; empty for the root.
        """
        if self._subtrees is None:
            return True
        return not self._subtrees.matches(path + b"/" if path and not path.endswith(b"/") else path)


class _AnyOf:
    """Patterns of which one must match.

    Patterns of the form ``*.csv``, and many of the form ``tmp/``, are compared as bytes; all others
    become regular expressions.
    """

    __slots__ = ("_directories", "_expressions", "_suffixes")

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
        self._expressions = tuple(map(_compile, _chunks(others)))

    def matches(self, path: bytes) -> bool:
        """Return whether a pattern matches the whole of ``path``."""
        if path.endswith(self._suffixes):
            return True
        if self._directories:
            names = path.split(b"/")
            names.pop()
            if not self._directories.isdisjoint(names):
                return True
        if not self._expressions:
            return False
        text = path.decode("utf-8", "surrogateescape")
        # A generator expression would cost as much as a match.
        for regex in self._expressions:  # noqa: SIM110
            if regex.fullmatch(text) is not None:
                return True
        return False


def _chunks(patterns: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield patterns in lists of at most ``_CHUNK_CHARS`` characters, or of one pattern."""
    chunk: list[Sequence[str]] = []
    chars = 0
    for components in patterns:
        length = len("/".join(components))
        if chunk and chars + length > _CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
        chunk.append(components)
        chars += length
    if chunk:
        yield chunk


def _compile(patterns: Iterable[Sequence[str]]) -> re.Pattern[str]:
    """Return a regular expression for patterns of which one must match."""
    names, alternatives = list[str](), list[str]()
    for components in patterns:
        if (name := name_expression(components)) is not None:
            names.append(name)
        else:
            alternatives.append(expression(components))
    if names:
        # They share the way to the last name.
        alternatives.insert(0, f"(?:.*/)?+(?:{'|'.join(names)})")
    return re.compile("|".join(alternatives), re.DOTALL)
