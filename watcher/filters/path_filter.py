"""Decides which paths count, by the globs and expressions of one watch and by temporary names.

Paths are bytes. They are decoded with ``surrogateescape``, so that ``?`` is one code point, or one
byte that is not UTF-8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from watcher.filters.caseless import compose, fold, folded
from watcher.filters.expressions import Expressions, is_expression
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
    """The include and exclude patterns of one watch, compiled: globs and expressions.

    - A glob without a slash matches the last name at any depth; with one it matches the whole
    path. A leading slash only anchors.
    - ``*`` and ``?`` match within a name, ``[a-z]`` and ``[!a-z]`` one character of it; ``[*]`` is
    a star. There is no other escape.
    - ``**`` as a whole component matches any number of components, at the end of a glob at least
    one: ``tmp/**`` is all below ``tmp``.
    - A trailing slash means everything below: ``tmp/`` is ``**/tmp/**``, ``/tmp/`` is ``tmp/**``.
    - Letters match in their case, and a leading dot is a character like others.
    - An expression begins with ``re:`` and is searched for in the path. No directory is left unread
    for it.

    Args:
        patterns: The globs and expressions.
        skips_temporary: Leave out files with temporary names (``is_temporary``), even if a glob
            includes them. A directory's name does not matter.

    Raises:
        ValueError: A pattern is neither a glob nor an expression, or the expressions of a list are
            too large together; the text continues the name of a key.
    """

    __slots__ = ("_exclude", "_include", "_skips_temporary", "_subtrees")

    def __init__(self, patterns: Filter, *, skips_temporary: bool = False) -> None:
        match_case = patterns.match_case
        subtrees = [each for each in patterns.exclude if _is_subtree(each)]
        self._skips_temporary = skips_temporary
        self._include = _any_of(patterns.include, match_case=match_case)
        self._exclude = _any_of(patterns.exclude, match_case=match_case)
        self._subtrees = _any_of(subtrees, match_case=match_case)

    @property
    def has_patterns(self) -> bool:
        """Whether there are globs or expressions, so that it may leave out many paths."""
        return self._include is not None or self._exclude is not None

    has_markers = False
    """Whether some of the admitted paths are markers, see ``filters.markers``."""

    def is_marker(self, path: bytes) -> bool:  # noqa: ARG002 - it has none
        """Return whether the last name of a path is that of a marker."""
        return False

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


class _Matcher(Protocol):
    """Patterns of which one must match."""

    def matches(self, path: bytes) -> bool:
        """Return whether a pattern matches."""


def _is_subtree(pattern: str) -> bool:
    return not is_expression(pattern) and components_of(pattern)[-1] == DEEP


def _any_of(patterns: Sequence[str], *, match_case: bool) -> _Matcher | None:
    """Return what matches one of the patterns; None for no patterns.

    Raises:
        ValueError: See ``PathFilter``.
    """
    globs = [pattern for pattern in patterns if not is_expression(pattern)]
    expressions = [pattern for pattern in patterns if is_expression(pattern)]
    matchers = list[_Matcher]()
    if globs:
        matchers.append(_Globs(globs) if match_case else _FoldedGlobs(globs))
    if expressions:
        matchers.append(Expressions(expressions, match_case=match_case))
    return _Either(*matchers) if matchers[1:] else next(iter(matchers), None)


class _Either:
    """Globs and expressions."""

    __slots__ = ("_expressions", "_globs")

    def __init__(self, globs: _Matcher, expressions: _Matcher) -> None:
        self._globs = globs
        self._expressions = expressions

    def matches(self, path: bytes) -> bool:
        """Return whether one of either matches a path."""
        return self._globs.matches(path) or self._expressions.matches(path)


class _FoldedGlobs:
    """Globs that take no account of case and of normal forms."""

    __slots__ = ("_globs",)

    def __init__(self, globs: Iterable[str]) -> None:
        self._globs = _Globs(map(compose, globs), match_case=False)

    def matches(self, path: bytes) -> bool:
        """Return whether a glob matches the whole of ``path``."""
        return self._globs.matches(folded(path))


class _Globs:
    """Globs of which one must match.

    Globs of the form ``*.csv``, and many of the form ``tmp/``, are compared as bytes; all others
    become regular expressions.

    Args:
        globs: As users write them.
        match_case: Letters match in their case; otherwise paths are folded before they are matched.
    """

    __slots__ = ("_directories", "_expressions", "_suffixes")

    def __init__(self, globs: Iterable[str], *, match_case: bool = True) -> None:
        suffixes, directories = list[str](), set[str]()
        others: list[Sequence[str]] = []
        for components in map(components_of, globs):
            if (suffix := suffix_of(components)) is not None:
                suffixes.append(suffix)
            elif (directory := directory_of(components)) is not None:
                directories.add(directory)
            else:
                others.append(components)
        if len(directories) <= _FEW:
            others += [[DEEP, directory, DEEP] for directory in directories]
            directories.clear()
        as_matched = str if match_case else fold
        self._suffixes = tuple(as_matched(suffix).encode() for suffix in suffixes)
        self._directories = frozenset(as_matched(each).encode() for each in directories)
        self._expressions = tuple(
            _compile(chunk, match_case=match_case) for chunk in _chunks(others)
        )

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


def _compile(patterns: Iterable[Sequence[str]], *, match_case: bool) -> re.Pattern[str]:
    """Return a regular expression for patterns of which one must match."""
    names, alternatives = list[str](), list[str]()
    for components in patterns:
        if (name := name_expression(components, match_case=match_case)) is not None:
            names.append(name)
        else:
            alternatives.append(expression(components, match_case=match_case))
    if names:
        # They share the way to the last name.
        alternatives.insert(0, f"(?:.*/)?+(?:{'|'.join(names)})")
    return re.compile("|".join(alternatives), re.DOTALL)
