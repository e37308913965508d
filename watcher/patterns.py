"""Decides which paths count: include and exclude globs, compiled once, matched in time that no pattern can blow up.

A path is a list of components cut at every ``/`` (so the key ``a//b`` has three, one of them empty). A pattern is one as well, in which
``**`` stands for any number of components. It becomes a regular expression without catastrophic backtracking: what lies between two
stars is committed to where it is first found (an atomic group), which is exact for globs, because the star after it takes up the rest.

Paths are bytes. They are decoded with ``surrogateescape``, so that ``?`` is one code point or one byte that is not UTF-8.

Pure: imports nothing but the standard library and ``spec.py``.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.spec import Filter

_DEEP = "**"
_SPECIAL = frozenset("*?[")
_TOKEN = re.compile(r"\[!?+.[^]]*]|.", re.DOTALL)
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


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
        """Compile the globs.

        Raises:
            ValueError: A pattern is not a glob; the text names it.
        """
        include = [_components(pattern) for pattern in patterns.include]
        exclude = [_components(pattern) for pattern in patterns.exclude]
        self._include = _AnyOf(include) if include else None
        self._exclude = _AnyOf(exclude) if exclude else None
        subtrees = [components for components in exclude if components[-1] == _DEEP]
        self._subtrees = _AnyOf(subtrees) if subtrees else None

    def admits(self, path: bytes) -> bool:
        """Return whether the file or object at ``path`` counts: some include pattern matches, or there is none, and no exclude pattern."""
        return (self._include is None or self._include.matches(path)) and (self._exclude is None or not self._exclude.matches(path))

    def admits_directory(self, path: bytes) -> bool:
        """Return whether anything below the directory ``path`` may count; False means that it need not be read.

        Args:
            path: Relative, with or without a trailing slash; empty for the root.
        """
        if self._subtrees is None:
            return True
        return not self._subtrees.matches(path + b"/" if path and not path.endswith(b"/") else path)


class _AnyOf:
    """Patterns of which one must match."""

    __slots__ = ("_regex", "_suffixes")

    def __init__(self, patterns: Iterable[Sequence[str]]) -> None:
        suffixes, regexes = [], []
        for components in patterns:
            suffix = _suffix(components)
            if suffix is None:
                regexes.append(_regex(components))
            else:
                suffixes.append(suffix.encode())
        self._suffixes = tuple(suffixes)
        self._regex = re.compile("|".join(regexes), re.DOTALL) if regexes else None

    def matches(self, path: bytes) -> bool:
        """Return whether a pattern matches the whole of ``path``."""
        if path.endswith(self._suffixes):
            return True
        return self._regex is not None and self._regex.fullmatch(path.decode("utf-8", "surrogateescape")) is not None


def check_pattern(pattern: str) -> None:
    """Do nothing if the pattern is a glob; cheaper than to compile it.

    Raises:
        ValueError: It is not; the text names it.
    """
    _components(pattern)


def _components(pattern: str) -> list[str]:
    """Return the components of a pattern in normal form: anchored at the root, no ``**`` twice in a row or before a final ``*``.

    Raises:
        ValueError: The pattern is empty, or a component is malformed.
    """
    body = pattern.removeprefix("/")
    if not body:
        raise ValueError(f'nothing is named by the pattern "{pattern}"')
    names = body.removesuffix("/").split("/")
    if "/" not in pattern.removesuffix("/"):
        names.insert(0, _DEEP)
    if body.endswith("/"):
        names.append(_DEEP)
    components = [name for name, following in pairwise([*names, ""]) if not name == following == _DEEP]
    try:
        for component in components:
            _segment(component)
    except ValueError as error:
        raise ValueError(f'{error} in the pattern "{pattern}"') from None
    return components[:-1] if components[-2:] == [_DEEP, "*"] else components


def _suffix(components: Sequence[str]) -> str | None:
    """Return ``.csv`` for the pattern ``*.csv`` and nothing for any that is less plain."""
    *depth, name = components
    suffix = name.removeprefix("*")
    return suffix if depth == [_DEEP] and suffix and suffix != name and _SPECIAL.isdisjoint(suffix) else None


def _regex(components: Sequence[str]) -> str:
    """Return a regular expression, for ``fullmatch`` with DOTALL, of components in normal form."""
    blocks: list[list[str]] = [[]]
    for component in components:
        if component == _DEEP:
            blocks.append([])
        else:
            blocks[-1].append(_segment(component))
    *heads, last = blocks
    if not heads:
        return "/".join(last)
    first, *middle = ["".join(f"{segment}/" for segment in block) for block in heads]
    found = "".join(f"(?>(?:[^/]*+/)*?{block})" for block in middle)
    if not last:
        rest = ".*"
    elif len(last) == 1:
        rest = "(?:.*/)?+" + last[0]
    else:
        rest = "(?:[^/]*+/)*?" + "/".join(last)
    return first + found + rest


def _segment(component: str) -> str:
    """Return a regular expression of one component, in which nothing can match a slash.

    Raises:
        ValueError: A ``[`` is not closed, or a range runs backwards.
    """
    pieces = ["".join(_character(symbol) for symbol in run) for run in _between_stars(component)]
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    found = "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
    return first + found + (f"(?>[^/]*{last})" if last else "[^/]*+")


def _between_stars(component: str) -> list[list[str]]:
    """Return the symbols of a component, each of which matches one character, cut at its stars."""
    runs: list[list[str]] = [[]]
    for symbol in _TOKEN.findall(component):
        if symbol == "*":
            runs.append([])
        else:
            runs[-1].append(symbol)
    return runs


def _character(symbol: str) -> str:
    """Return the regular expression of a symbol: ``?``, ``[...]`` or a character.

    Raises:
        ValueError: A ``[`` is not closed, or a range runs backwards.
    """
    if symbol == "?":
        return "[^/]"
    if symbol == "[":
        raise ValueError('a "[" is not closed before the next "/"')
    if len(symbol) == 1:
        return re.escape(symbol)
    negation, members = ("^", symbol[2:-1]) if symbol.startswith("[!") else ("", symbol[1:-1])
    ranges = []
    for low, high in _RANGE.findall(members):
        if high and high < low:
            raise ValueError(f'the range "{low}-{high}" runs backwards')
        ranges.append(f"{re.escape(low)}-{re.escape(high or low)}")
    return f"(?!/)[{negation}{''.join(ranges)}]"
