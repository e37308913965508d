"""Compares names without case: which letters are equal, and in which form a name is compared.

Two characters are equal if Unicode's simple case folding makes the same of them (CaseFolding.txt,
status C and S), as RE2 has it. One character stays one: the German sharp s is its capital, not
``ss``. The Turkish i without a dot, and I with one, are letters of their own; the forms of the
Greek sigma are one. Names are compared in their composed form (NFC of UAX #15).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS_END = 0x20000
"""First code point above all letters that have a case; those are in planes 0 and 1."""

_SHORT = 128
"""Characters of a range that are looked at one by one: those of ASCII need no table."""


def composed(path: bytes) -> str:
    """Return a path as it is compared: composed, with bytes that are not UTF-8 as surrogates."""
    return compose(path.decode("utf-8", "surrogateescape"))


def compose(text: str) -> str:
    """Return a text in its composed form."""
    return unicodedata.normalize("NFC", text)


def folded(path: bytes) -> bytes:
    """Return a path composed and without case."""
    if path.isascii():
        return path.lower()
    return fold(composed(path)).encode("utf-8", "surrogateescape")


def fold(text: str) -> str:
    """Return a text without case; it has as many characters as before."""
    full = text.casefold()
    return full if len(full) == len(text) else "".join(map(_fold_one, text))


def folds_outside(low: str, high: str) -> list[tuple[str, str]]:
    """Return what the characters from ``low`` to ``high`` are without case, as ranges.

    Returns:
        First and last character of each range, in order; what lies from ``low`` to ``high`` itself
        is left out.
    """
    codes = range(ord(low), ord(high) + 1)
    letters: Sequence[int] = codes
    if len(codes) > _SHORT:
        table = _letters()
        letters = table[bisect_left(table, codes.start) : bisect_right(table, codes.stop - 1)]
    found = {each for code in letters if (each := ord(fold(chr(code)))) not in codes}
    starts = sorted(code for code in found if code - 1 not in found)
    ends = sorted(code for code in found if code + 1 not in found)
    return [(chr(start), chr(end)) for start, end in zip(starts, ends, strict=True)]


def _fold_one(char: str) -> str:
    """Return the simple folding of a character.

    Where the full one is longer, the simple one is the lower case, if that is one character (as of
    the capital sharp s), else the character itself (as of I with a dot).
    """
    return next((each for each in (char.casefold(), char.lower()) if len(each) == 1), char)


@cache
def _letters() -> tuple[int, ...]:
    """Return the code points that are another one without case, in order; it takes some 20 ms."""
    letters = map(chr, range(_LETTERS_END))
    return tuple(ord(each) for each in letters if each != each.casefold() and each != fold(each))
