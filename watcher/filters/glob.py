"""Decides what a glob means: its components, the regular expression that matches it, and whether that has to search.

A path is a list of components cut at every ``/`` (so the key ``a//b`` has three, one of them empty). A pattern is one as well, in which
``**`` stands for any number of components. It becomes a regular expression without backtracking: what lies between two stars is
committed to where it is first found (an atomic group), which is exact for globs, because the star after it takes up the rest. What
follows the last star of a component has a fixed length, and so its place is known.

What remains is to search: what lies between two stars is tried at each place of a path, which may take as many steps as the path and the
pattern have characters, multiplied. Such globs are counted (see ``searched_characters``); all others take a path in one pass.

Pure: imports nothing but the standard library.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEEP = "**"
_SPECIAL = frozenset("*?[")
_TOKEN = re.compile(r"\[!?+.[^]]*]|.", re.DOTALL)
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


def components_of(pattern: str) -> list[str]:
    """Return the components of a pattern in normal form: anchored at the root, no ``**`` twice in a row or before a final ``*``.

    Raises:
        ValueError: The pattern is empty, or a component is malformed; the text names it.
    """
    body = pattern.removeprefix("/")
    if not body:
        raise ValueError(f'nothing is named by the pattern "{pattern}"')
    names = body.removesuffix("/").split("/")
    if "/" not in pattern.removesuffix("/"):
        names.insert(0, DEEP)
    if body.endswith("/"):
        names.append(DEEP)
    components = [
        name for name, following in pairwise([*names, ""]) if not name == following == DEEP
    ]
    try:
        for component in components:
            _segment(component)
    except ValueError as error:
        raise ValueError(f'{error} in the pattern "{pattern}"') from None
    return components[:-1] if components[-2:] == [DEEP, "*"] else components


def suffix_of(components: Sequence[str]) -> str | None:
    """Return ``.csv`` for the pattern ``*.csv`` and nothing for any that is less plain."""
    *depth, name = components
    suffix = name.removeprefix("*")
    return suffix if depth == [DEEP] and suffix != name and _is_literal(suffix) else None


def directory_of(components: Sequence[str]) -> str | None:
    """Return ``tmp`` for the pattern ``tmp/``, which is ``**/tmp/**``, and nothing for any that is less plain."""
    match components:
        case ["**", name, "**"] if _is_literal(name):
            return name
    return None


def searched_characters(patterns: Iterable[str]) -> int:
    """Return how many characters those of the patterns have that have to be searched for: what they cost, for each byte of a path.

    These are patterns with something between two stars of a name (``*cache*``), and those with ``**`` before more than the last name
    (``**/in/*.csv``, ``cache*/``); but ``tmp/``, which names a directory at any depth, is not searched for. They count in normal form,
    ``cache*/`` as ``**/cache*/**``, since each takes its time however short it is.

    Raises:
        ValueError: A pattern is not a glob; the text names it.
    """
    return sum(
        len("/".join(components))
        for components in map(components_of, patterns)
        if _is_searched(components)
    )


def _is_searched(components: Sequence[str]) -> bool:
    """Return whether these components are matched by an ``expression`` that tries something at several places."""
    if directory_of(components) is not None:
        return False
    _, *found = _blocks(components)
    is_deep = len(found) > 1 or any(len(block) > 1 for block in found)
    return is_deep or any(any(_between_stars(name)[1:-1]) for name in components)


def expression(components: Sequence[str]) -> str:
    """Return a regular expression, for ``fullmatch`` with DOTALL, of components in normal form."""
    first, *found = [[_segment(name) for name in block] for block in _blocks(components)]
    if not found:
        return "/".join(first)
    *middle, last = found
    head = _below(first) + "".join(f"(?>(?:[^/]*+/)*?{_below(block)})" for block in middle)
    if not last:
        return head + ".*+"
    return head + ("(?:.*/)?+" if len(last) == 1 else "(?:[^/]*+/)*?") + "/".join(last)


def name_expression(components: Sequence[str]) -> str | None:
    """Return what ``expression`` has after ``(?:.*/)?+`` for a pattern of the last name alone, at any depth; nothing for others."""
    *depth, name = components
    return _segment(name) if depth == [DEEP] and name != DEEP else None


def _is_literal(component: str) -> bool:
    return component != "" and _SPECIAL.isdisjoint(component)


def _blocks(components: Sequence[str]) -> list[list[str]]:
    """Return components in normal form cut at each ``**``; only the first and the last block may be empty."""
    blocks: list[list[str]] = [[]]
    for component in components:
        if component == DEEP:
            blocks.append([])
        else:
            blocks[-1].append(component)
    return blocks


def _below(segments: Sequence[str]) -> str:
    return "".join(f"{segment}/" for segment in segments)


def _segment(component: str) -> str:
    """Return a regular expression of one component, in which nothing can match a slash.

    Raises:
        ValueError: A ``[`` is not closed, or a range runs backwards.
    """
    first, *found = _between_stars(component)
    head = _characters(first)
    if not found:
        return head
    *middle, tail = found
    head += "".join(f"(?>[^/]*?{_characters(run)})" for run in middle if run)
    if not tail:
        return head + "[^/]*+"
    # What the head has taken is not there for the tail.
    room = f"(?=[^/]{{{len(tail)}}})" if head else ""
    return f"{head}{room}[^/]*+(?<={_characters(tail)})"


def _between_stars(component: str) -> list[list[str]]:
    """Return the symbols of a component, each of which matches one character, cut at its stars."""
    runs: list[list[str]] = [[]]
    for symbol in _TOKEN.findall(component):
        if symbol == "*":
            runs.append([])
        else:
            runs[-1].append(symbol)
    return runs


def _characters(run: Iterable[str]) -> str:
    return "".join(map(_character, run))


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
    if symbol.startswith("[!"):
        return f"[^/{''.join(_ranges(symbol[2:-1]))}]"
    return f"[{''.join(_ranges(symbol[1:-1]))}]"


def _ranges(members: str) -> Iterable[str]:
    """Yield the ranges of a class, without the slash.

    Raises:
        ValueError: A range runs backwards.
    """
    for low, high in _RANGE.findall(members):
        if high and high < low:
            raise ValueError(f'the range "{low}-{high}" runs backwards')
        if low < "/" < high:
            yield f"{re.escape(low)}-.0-{re.escape(high)}"
        else:
            yield f"{re.escape(low)}-{re.escape(high or low)}"
