"""Compares names without case: which letters are equal, and in which form a name is compared.

Two characters are equal if Unicode's simple case folding makes the same of them (CaseFolding.txt,
status C and S), as RE2 has it. One character stays one: the German sharp s is its capital, not
``ss``. The Turkish i without a dot, and I with one, are letters of their own; the forms of the
Greek sigma are one. Names are compared in their composed form (NFC of UAX #15).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import cache

_LETTERS_END = 0x20000
"""First code point above all letters that have a case; those are in planes 0 and 1."""


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
    if high.isascii():
        folds = [ord(fold(chr(code))) for code in codes]
    else:
        letters, all_folds = _letters()
        folds = all_folds[bisect_left(letters, codes.start) : bisect_left(letters, codes.stop)]
    found = {code for code in folds if code not in codes}
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
def _letters() -> tuple[list[int], list[int]]:
    """Return the code points that are another one without case, in order, and those.

    It takes some 20 ms, so it is done when a class has a range beyond ASCII.
    """
    chars = map(chr, range(_LETTERS_END))
    letters = [each for each in chars if each != each.casefold() and each != fold(each)]
    return list(map(ord, letters)), [ord(fold(each)) for each in letters]
