"""Defines what a glob means: its components, and the regular expression that matches it.

A path is a list of components, cut at every ``/`` (so the key ``a//b`` has three, one of them
empty). A pattern is a list of components too, in which ``**`` stands for any number of them. Its
regular expression does not backtrack: text between two stars is committed to where it is first
found (an atomic group). That is exact for globs, because the star after it takes up the rest. Text
after the last star of a component has a fixed length, so its position is known.

What remains is a search: text between two stars is tried at each position, which takes at most as
many steps as the path has characters, times those of the pattern.

Without case, a pattern is composed before its components are taken, and a path is folded before it
is matched (``caseless``); a symbol then matches its characters as they are when they are folded.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from watcher.filters.caseless import fold, folds_outside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEEP = "**"
_SPECIAL = frozenset("*?[")
_TOKEN = re.compile(r"\[!?+.[^]]*]|.", re.DOTALL)
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


def components_of(pattern: str) -> list[str]:
    """Return the components of a pattern in normal form.

    They are anchored at the root, with no ``**`` twice in a row or before a final ``*``.

    Raises:
        ValueError: The pattern is empty or malformed; the text continues the name of its key.
    """
    body = pattern.removeprefix("/")
    if not body:
        raise ValueError('must name something, such as "*.csv"')
    names = body.removesuffix("/").split("/")
    if "/" not in pattern.removesuffix("/"):
        names.insert(0, DEEP)
    if body.endswith("/"):
        names.append(DEEP)
    components = [
        name for name, following in pairwise([*names, ""]) if not name == following == DEEP
    ]
    for component in components:
        _segment(component)
    return components[:-1] if components[-2:] == [DEEP, "*"] else components


def suffix_of(components: Sequence[str]) -> str | None:
    """Return ``.csv`` for the pattern ``*.csv``; None for a pattern of any other form."""
    *depth, name = components
    suffix = name.removeprefix("*")
    return suffix if depth == [DEEP] and suffix != name and _is_literal(suffix) else None


def directory_of(components: Sequence[str]) -> str | None:
    """Return ``tmp`` for ``tmp/``, which is ``**/tmp/**``; None for a pattern of any other form."""
    match components:
        case ["**", name, "**"] if _is_literal(name):
            return name
    return None


def expression(components: Sequence[str], *, match_case: bool = True) -> str:
    """Return the regular expression of components, for ``fullmatch`` with DOTALL."""
    blocks = _blocks(components)
    first, *found = [[_segment(name, match_case=match_case) for name in each] for each in blocks]
    if not found:
        return "/".join(first)
    *middle, last = found
    head = _below(first) + "".join(f"(?>(?:[^/]*+/)*?{_below(block)})" for block in middle)
    if not last:
        return head + ".*+"
    return head + ("(?:.*/)?+" if len(last) == 1 else "(?:[^/]*+/)*?") + "/".join(last)


def name_expression(components: Sequence[str], *, match_case: bool = True) -> str | None:
    """Return the regular expression of the last name, for a pattern that is no more; else None."""
    *depth, name = components
    if depth != [DEEP] or name == DEEP:
        return None
    return _segment(name, match_case=match_case)


def _is_literal(component: str) -> bool:
    return component != "" and _SPECIAL.isdisjoint(component)


def _blocks(components: Sequence[str]) -> list[list[str]]:
    """Return components cut at each ``**``; in normal form only the first and last can be empty."""
    blocks: list[list[str]] = [[]]
    for component in components:
        if component == DEEP:
            blocks.append([])
        else:
            blocks[-1].append(component)
    return blocks


def _below(segments: Sequence[str]) -> str:
    return "".join(f"{segment}/" for segment in segments)


def _segment(component: str, *, match_case: bool = True) -> str:
    """Return the regular expression of one component, of which no part matches a slash.

    Raises:
        ValueError: A ``[`` is not closed, or a range runs backwards.
    """
    first, *found = _between_stars(component)
    head = _characters(first, match_case=match_case)
    if not found:
        return head
    *middle, tail = found
    runs = [_characters(run, match_case=match_case) for run in middle if run]
    head += "".join(f"(?>[^/]*?{run})" for run in runs)
    if not tail:
        return head + "[^/]*+"
    # The tail must not match characters that the head has matched.
    room = f"(?=[^/]{{{len(tail)}}})" if head else ""
    return f"{head}{room}[^/]*+(?<={_characters(tail, match_case=match_case)})"


def _between_stars(component: str) -> list[list[str]]:
    """Return the symbols of a component, of which each matches one character, cut at its stars."""
    runs: list[list[str]] = [[]]
    for symbol in _TOKEN.findall(component):
        if symbol == "*":
            runs.append([])
        else:
            runs[-1].append(symbol)
    return runs


def _characters(run: Iterable[str], *, match_case: bool) -> str:
    return "".join(_character(symbol, match_case=match_case) for symbol in run)


def _character(symbol: str, *, match_case: bool) -> str:
    """Return the regular expression of ``?``, ``[...]`` or a character.

    Raises:
        ValueError: A ``[`` is not closed, or a range runs backwards.
    """
    if symbol == "?":
        return "[^/]"
    if symbol == "[":
        raise ValueError(
            'has a "[" that is not closed before the next "/", write "[[]" for a bracket'
        )
    if len(symbol) == 1:
        return re.escape(symbol if match_case else fold(symbol))
    is_negative = symbol.startswith("[!")
    ranges = _ranges(symbol[1 + is_negative : -1])
    if not match_case:
        ranges = [(low, high) for pair in ranges for low, high in (pair, *folds_outside(*pair))]
    return f"[{'^/' * is_negative}{''.join(_range(low, high) for low, high in ranges)}]"


def _ranges(members: str) -> Iterable[tuple[str, str]]:
    """Yield the first and last character of the ranges of a class.

    Raises:
        ValueError: A range runs backwards.
    """
    for low, high in _RANGE.findall(members):
        if high and high < low:
            raise ValueError(f'has the range "{low}-{high}", which runs backwards')
        yield low, high or low


def _range(low: str, high: str) -> str:
    """Return a range for a class of a regular expression; the slash is left out."""
    if low < "/" < high:
        return f"{re.escape(low)}-.0-{re.escape(high)}"
    return f"{re.escape(low)}-{re.escape(high)}"
