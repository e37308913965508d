"""Lays out rows of texts in the columns that a terminal has room for. Knows nothing of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GAP = "  "


class Column(NamedTuple):
    """One column.

    Attributes:
        title: Stands above it, and names it.
        rank: The higher it is, the sooner a terminal is too narrow for the column; with 0 none is.
        width: Cells that it takes at least, so that columns do not come and go with what is in them.
        align: The side to which its texts keep.
        may_cut: Its texts may be cut to the width, so that there is room for others; those of other columns are never cut.
    """

    title: str
    rank: int
    width: int = 0
    align: Literal["left", "right"] = "left"
    may_cut: bool = False


def fit(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Text]], width: int, *, may_cut: bool
) -> dict[Column, int]:
    """Return the columns that fit, in their order, each with the cells that it takes.

    Args:
        columns: All that there are.
        rows: A text for each title; at least one row.
        width: Cells of the terminal.
        may_cut: Texts of columns that say so may be cut.
    """
    longest = {column: max(row[column.title].cell_len for row in rows) for column in columns}
    shown: dict[Column, int] = {}
    left = width + len(_GAP)
    for column in sorted(columns, key=lambda column: column.rank):
        cells = column.width if may_cut and column.may_cut else max(column.width, longest[column])
        if column.rank and cells + len(_GAP) > left:
            break
        shown[column] = cells
        left -= cells + len(_GAP)
    # What is left goes to texts that would be cut, those of the lowest rank first.
    for column, cells in shown.items():
        more = max(0, min(longest[column] - cells, left))
        shown[column] += more
        left -= more
    return {column: shown[column] for column in columns if column in shown}


def join(row: Mapping[str, Text], widths: Mapping[Column, int]) -> Text:
    """Return a row as one line of the columns that fit; what is cut ends with an ellipsis."""
    cells = [row[column.title].copy() for column in widths]
    for cell, (column, width) in zip(cells, widths.items(), strict=True):
        cell.overflow = "ellipsis"
        cell.align(column.align, width)
    line = Text(_GAP).join(cells)
    line.rstrip()
    return line
