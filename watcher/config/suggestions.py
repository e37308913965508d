"""Finds the key that was meant by a name that is none: misspelt, or written at another level."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_CLOSE_HERE, _CLOSE_ELSEWHERE = 0.6, 0.75
"""Least similarity (difflib's ratio) of a name to the key that it may stand for. A key of another
section is only meant if it is very similar: "suffix" does not mean "s3.prefix"."""

_SYNONYMS = {
    "case_sensitive": "match_case",
    "ignore_case": "match_case",
    "glob": "include",
    "globs": "include",
    "pattern": "include",
    "patterns": "include",
    "regex": "include",
    "ignore": "exclude",
    "done_file": "marker",
    "throttle": "rate",
    "rate_limit": "rate",
    "max_in_flight": "max_unacknowledged",
    "parallelism": "max_unacknowledged",
}
"""What other programs call keys of the top level that have no similar name."""

_MAX_NAME_CHARS = 60
_PLACES = frozenset({"directory", "s3"})


class KeyRow(NamedTuple):
    """What the documents say about a key.

    Attributes:
        path: Dotted, ``directory.settle``.
        default: As a configuration would write it; empty for none.
        meaning: One sentence in Markdown.
        example: A value that is not the default.
        is_required: Its section is not valid without it.
    """

    path: str
    default: str
    meaning: str
    example: str
    is_required: bool

    @property
    def section(self) -> str:
        """The path of the section that it is in; empty for the top level."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def suggestion(rows: Sequence[KeyRow], given: Collection[str], section: str, name: str) -> str:
    """Return what may have been meant by a name that is no key, with a comma before it.

    Args:
        rows: All keys.
        given: The names at the top level of the document, which has a directory or a bucket.
        section: Path of the section in which the name is; empty for the top level.
        name: As it was written.

    Returns:
        Empty if no key is similar.
    """
    if homes := [row for row in rows if name in {row.name, row.path} and row.section != section]:
        return _belongs(rows, _likely(homes, given))
    if known := _SYNONYMS.get(name.lower().replace("-", "_")):
        at = " at the top level" if section else ""
        return f', did you mean "{known}"{at}?'
    here = [row for row in rows if row.section == section]
    elsewhere = _likely([row for row in rows if row.section != section], given)
    near, near_ratio = _closest(here, name, _CLOSE_HERE)
    far, far_ratio = _closest(elsewhere, name, _CLOSE_ELSEWHERE)
    if far_ratio > near_ratio:
        shown = [
            f'"{row.path}"' if row.section else f'"{row.name}" at the top level' for row in far
        ]
        return f", did you mean {' or '.join(shown)}?"
    return f', did you mean "{near[0].name}"?' if near else ""


def _likely(rows: Sequence[KeyRow], given: Collection[str]) -> Sequence[KeyRow]:
    """Return the rows but those of a place that the document has not; all if none is left."""
    others = _PLACES - frozenset(given)
    if others == _PLACES:
        return rows
    return [row for row in rows if row.section.partition(".")[0] not in others] or rows


def _belongs(rows: Sequence[KeyRow], homes: Sequence[KeyRow]) -> str:
    """Return where a name belongs, and how that is written."""
    first = homes[0]
    if not first.section:
        return f', "{first.name}" belongs at the top level'
    sections = " or ".join(f'"{row.section}"' for row in homes)
    required = [row for row in rows if row.is_required and row.section == first.section]
    shown = ", ".join(f"{row.name}: {row.example}" for row in dict.fromkeys([*required, first]))
    return f', "{first.name}" belongs under {sections}, as in {first.section}: {{{shown}}}'


def _closest(rows: Sequence[KeyRow], name: str, least: float) -> tuple[list[KeyRow], float]:
    """Return the rows whose names are most similar to a name, and how similar they are."""
    matcher = SequenceMatcher(b=name[:_MAX_NAME_CHARS])
    best: list[KeyRow] = []
    for row in rows:
        matcher.set_seq1(row.name)
        if matcher.real_quick_ratio() >= least and (ratio := matcher.ratio()) >= least:
            if ratio > least or not best:
                best, least = [], ratio
            best.append(row)
    return best, least if best else 0.0
