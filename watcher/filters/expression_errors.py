"""Says what is wrong with an expression, and at which character, from what RE2 says of it.

RE2 names the kind of the error and the piece of the expression that it concerns, not the place. The
place is found by asking about beginnings of the expression that end with that piece: RE2 says the
same of the one that has the error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PHRASES = (
    ("invalid escape sequence", r"\\[1-9k]", 'has a backreference{at} ("{piece}"), RE2 has none'),
    (
        "invalid escape sequence",
        r"\\Z",
        'has "\\Z"{at}, which RE2 does not know, write "\\z" for the end of the path',
    ),
    (
        "invalid escape sequence",
        r"\\u",
        'has "\\u"{at}, which RE2 does not know, write "\\x{{00e9}}" for a character',
    ),
    ("invalid escape sequence", "", 'has "{piece}"{at}, which RE2 does not know'),
    ("invalid perl operator", r"\(\?=", 'has a lookahead{at} ("{piece}"), RE2 has none'),
    ("invalid perl operator", r"\(\?!", 'has a negative lookahead{at} ("{piece}"), RE2 has none'),
    ("invalid perl operator", r"\(\?<[=!]", 'has a lookbehind{at} ("{piece}"), RE2 has none'),
    ("invalid perl operator", r"\(\?>", 'has an atomic group{at} ("{piece}"), RE2 has none'),
    ("invalid perl operator", r"\(\?\(", 'has a condition{at} ("{piece}"), RE2 has none'),
    ("invalid perl operator", r"\(\?#", 'has a comment{at} ("{piece}"), RE2 has none'),
    (
        "invalid perl operator",
        r"\(\?[imsU-]*",
        'has flags{at} ("{piece}") that are not closed by ")" or ":"',
    ),
    ("invalid perl operator", "", 'has "{piece}"{at}, which RE2 does not know'),
    (
        "no argument for repetition operator",
        "",
        'has a "{piece}"{at} with nothing before it to repeat',
    ),
    (
        "bad repetition operator",
        "",
        'has a repetition of a repetition{at} ("{piece}"), RE2 has none',
    ),
    (
        "invalid repetition size",
        "",
        'has the repetition "{piece}"{at}, which must ascend to at most 1,000 in all',
    ),
    (
        "invalid character class range",
        r"(?![\[\\]).*",
        'has the range "{piece}"{at}, which runs backwards',
    ),
    ("invalid character class range", "", 'has the class "{piece}"{at}, which RE2 does not know'),
    ("invalid named capture group", "", 'has the group name "{piece}"{at}, which is not valid'),
    ("", "", "is not an expression of RE2{at}: {kind} {piece}"),
)
"""RE2's kinds of errors (empty for any), what the whole piece matches (empty for any), and what is
said of them."""


def explain(text: str, complaint: str, ask: Callable[[str], str]) -> str:
    """Return what is wrong with an expression, to follow the name of its key.

    Args:
        text: The expression.
        complaint: What RE2 says of it: ``missing ]: [a``.
        ask: Returns what RE2 says of another expression; empty for nothing.
    """
    kind, _, piece = complaint.partition(": ")
    match kind:
        case "missing )":
            # What nothing closes begins where the longest beginning that is right ends.
            starts = (at for at in reversed(range(len(text))) if text[at] == "(")
            start = next(at for at in starts if not ask(text[:at]))
            return f'has a "(" at character {start + 1} that is not closed'
        case "unexpected )":
            ends = (at for at, char in enumerate(text, 1) if char == ")")
            end = next(at for at in ends if ask(text[:at]).startswith(kind))
            return f'has a ")" at character {end} that closes nothing'
        case "missing ]":
            return f'has a "[" at character {len(text) - len(piece) + 1} that is not closed'
        case "trailing \\":
            return f"ends with a backslash at character {len(text)}, which escapes nothing"
    places = [f" at character {start + 1}" for start in _starts(text, piece, complaint, ask)]
    at = "".join(places[:1])
    return next(
        phrase.format(kind=kind, piece=piece, at=at)
        for known, pieces, phrase in _PHRASES
        if known in {kind, ""} and (not pieces or re.fullmatch(pieces, piece))
    )


def _starts(text: str, piece: str, complaint: str, ask: Callable[[str], str]) -> Iterator[int]:
    """Yield where a piece is of which RE2 complains, and not one that is right, as in a class."""
    for found in re.finditer(f"(?={re.escape(piece)})", text):
        end = found.start() + len(piece)
        # Of a lookbehind it complains when it has seen what follows.
        if complaint in {ask(text[:end]), ask(text[: end + 1])}:
            yield found.start()
