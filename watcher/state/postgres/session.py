"""The way of one open store to the database: reads, and steps that are fenced and numbered."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from watcher.errors import FencedError, HistoryError, StateError
from watcher.state.postgres.database import is_outcome_unknown
from watcher.state.postgres.steps import STATEMENT_BYTES, fence, numbered, one_statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from watcher.state.postgres.database import Database, Rows, Transaction
    from watcher.state.postgres.steps import Part

_FIND = "SELECT epoch, step FROM watcher.counters WHERE watch = $1"


class Permission(NamedTuple):
    """What an opening of a watch has given.

    Attributes:
        watch: Number of the watch.
        epoch: That of the opening.
        step: Number of the last step that was written.
    """

    watch: int
    epoch: int
    step: int


class Session:
    """Reads and writes one watch. Any thread may use it; one lock orders them.

    Args:
        database: The database.
        permission: From the opening of the watch.
    """

    def __init__(self, database: Database, permission: Permission) -> None:
        self._database = database
        self._permission = permission
        self._lock = threading.RLock()
        self._end: StateError | None = None

    @property
    def failure(self) -> StateError | None:
        """Why nothing more can be read or written; None while it can."""
        return self._end

    def close(self) -> None:
        """Refuse all that follows; may be called twice."""
        with self._lock:
            self._end = self._end or StateError("the state was closed", place=self._place)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep other threads out; reentrant.

        Raises:
            StateError: The store is closed, or what became of its last step is not known.
        """
        with self._lock:
            if self._end is not None:
                raise self._end.with_traceback(None)
            yield

    def read(self, query: str, *values: object) -> Rows:
        """Return the rows of a query.

        Args:
            query: ``$1`` is the number of the watch; each ``?`` takes a value.
            values: In the order of their marks.

        Raises:
            StateError: The database cannot be read.
        """
        with self.guarded():
            return self._database.fetch(_numbered(query), self._permission.watch, *values)

    def write(self, counters: Mapping[str, int], parts: Sequence[Part]) -> None:
        """Write one step: as one statement, or as a transaction if it is large.

        Args:
            counters: The counters that change, by column.
            parts: What else is written; no two of them write the same row.

        Raises:
            FencedError: The watch was opened elsewhere since, and nothing was written.
            HistoryError: The database has not the steps of this store, and nothing was written.
            StateError: The step has failed; the store is of no further use if what became of it is
                not known.
        """
        if sum(part.size_bytes for part in parts) >= STATEMENT_BYTES:
            self.write_in_order(counters, parts)
            return
        values = [value for part in parts for value in part.values]
        with self._writing():
            self._database.fetch(
                one_statement(tuple(counters), parts),
                *self._permission,
                *counters.values(),
                *values,
            )

    def verify(self) -> None:
        """Make sure that the database has exactly the steps of this store, and its epoch.

        Raises:
            FencedError: The watch was opened elsewhere since.
            HistoryError: The database has other steps.
            StateError: The database cannot be read.
        """
        with self.guarded():
            rows = self._database.fetch(_FIND, self._permission.watch)
            if rows != [self._permission[1:]]:
                self._end = self._refusal(rows)
                raise self._end

    def write_in_order(self, counters: Mapping[str, int], parts: Iterable[Part]) -> None:
        """Write one step as a transaction, part by part.

        Args:
            counters: The counters that change, by column.
            parts: Consumed one by one.

        Raises:
            FencedError: The watch was opened elsewhere since, and nothing was written.
            StateError: See ``write``.
        """
        with self._writing(), self._database.transaction() as transaction:
            self._fence(transaction, counters)
            for part in parts:
                transaction.fetch(numbered(part.sql), self._permission.watch, *part.values)

    def _fence(self, transaction: Transaction, counters: Mapping[str, int]) -> None:
        transaction.fetch(fence(*counters), *self._permission, *counters.values())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self.guarded():
            try:
                yield
            except FencedError:
                self.verify()
                raise
            except StateError as error:
                if is_outcome_unknown(error):
                    self._end = StateError(
                        "it is not known whether the last step was written",
                        place=self._place,
                        hint="connect again",
                    )
                raise
            self._permission = self._permission._replace(step=self._permission.step + 1)

    def _refusal(self, rows: Rows) -> StateError:
        """Return why a watch with these counters may not be written; no row if it is not there."""
        epoch, step = rows[0] if rows else (0, 0)
        if epoch > self._permission.epoch:
            return FencedError(
                "the watch was taken over: its state was opened elsewhere since",
                place=self._place,
                hint="connect again",
            )
        is_same = epoch == self._permission.epoch
        there = f"up to {step}, not {self._permission.step}" if is_same else "not this opening"
        return HistoryError(
            f"the database has other steps of the watch: {there}",
            place=self._place,
            hint="was it restored, or has a standby without the last commits become the primary?",
        )

    @property
    def _place(self) -> str:
        return str(self._database.target)


_TEXTS: dict[str, str] = {}


def _numbered(query: str) -> str:
    text = _TEXTS.get(query)
    if text is None:
        text = _TEXTS[query] = numbered(query)
    return text


def one(rows: Rows) -> tuple[Any, ...]:
    """Return the only row that a query has."""
    (row,) = rows
    return row
