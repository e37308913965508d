"""Steps: what a store writes at once, fenced by its epoch and numbered. No I/O.

A step is an update of the counters and parts, each of which writes one table. The update raises the
number of the step by one. It matches no row if the watch was opened elsewhere, or if the database
does not have exactly the steps that the store has written; the step divides by the number of rows,
so the server itself refuses it as a whole, whether it is one statement or a transaction. A step of
one statement reaches the server before it begins, so a process that is paused then holds no lock.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FENCED = "22012"
"""SQLSTATE of a division by zero, which nothing but the fence of a step divides by."""

STATEMENT_BYTES = 1024 * 1024
"""Size in bytes of the values from which a step is a transaction of several statements."""

RAISED = {"rewinds", "readings", "acknowledgements"}
"""Counters that others raise too: a step adds to them, where it sets the others."""


class Part(NamedTuple):
    """One statement of a step.

    Attributes:
        sql: Writes one table. ``$1`` is the number of the watch; each ``?`` takes a value.
        values: In the order of their marks.
    """

    sql: str
    values: tuple[Any, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of the values that are arrays or payloads."""
        return sum(len(value) for value in self.values if isinstance(value, bytes))


def fence(*columns: str) -> str:
    """Return the statement that updates counters of a watch if epoch and step agree, else fails.

    Its values are the watch, the epoch, the number of the step before, and one for each column.
    """
    return _fence(columns)


def one_statement(columns: Sequence[str], parts: Sequence[Part]) -> str:
    """Return the statement of a whole step; its values are those of the fence and of the parts."""
    return _one_statement(tuple(columns), tuple(part.sql for part in parts))


def numbered(sql: str, first: int = 2) -> str:
    """Return a statement whose marks are numbered.

    Args:
        sql: Has a ``?`` for each value.
        first: Number of the first mark.
    """
    start, *rest = sql.split("?")
    return start + "".join(f"${number}{text}" for number, text in enumerate(rest, start=first))


@cache
def _fence(columns: tuple[str, ...]) -> str:
    return f"WITH {_fencing(columns)} SELECT 1 / count(*) FROM fence"  # noqa: S608 - only constants


@cache
def _one_statement(columns: tuple[str, ...], parts: tuple[str, ...]) -> str:
    steps, next_number = [_fencing(columns)], 4 + len(columns)
    for number, part in enumerate(parts):
        steps.append(f"part_{number} AS ({numbered(part, next_number)})")
        next_number += part.count("?")
    return f"WITH {', '.join(steps)} SELECT 1 / count(*) FROM fence"  # noqa: S608 - only constants


def _fencing(columns: tuple[str, ...]) -> str:
    values = "".join(
        f", {each} = {f'{each} + ' if each in RAISED else ''}${number}"
        for number, each in enumerate(columns, start=4)
    )
    return (
        f"fence AS (UPDATE watcher.counters SET step = step + 1{values} "  # noqa: S608 - only constants
        "WHERE watch = $1 AND epoch = $2 AND step = $3 RETURNING watch)"
    )
