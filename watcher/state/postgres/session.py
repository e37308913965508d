"""The way of one open store to the database: reads, and steps that are fenced and numbered.

While the database is away they wait, and go on as if nothing had been. A step whose answer was lost
is asked for, and repeated if it is not there.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from watcher.errors import AwayError, FencedError, HistoryError, StateError
from watcher.limits.deadline import left_s
from watcher.state.postgres.database import is_outcome_unknown
from watcher.state.postgres.steps import STATEMENT_BYTES, fence, numbered, one_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watcher.state.postgres.database import Database, Rows
    from watcher.state.postgres.steps import Part

Result = TypeVar("Result")

_FIND_STEP = """
    UPDATE watcher.counters SET epoch = epoch WHERE watch = $1 RETURNING epoch, step
"""
"""A write, so that its commit waits for a standby like that of the step which is looked for."""


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

    What it does waits while the database is away, until the deadline of the thread, or until the
    server stops; then it fails with ``AwayError``.

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
            AwayError: Another thread has waited for the database until the deadline of this one.
            StateError: The store is closed, or what became of its last step is not known.
        """
        left = left_s()
        if not self._lock.acquire(timeout=-1 if left is None else left):
            raise AwayError("the database does not answer", place=self._place, hint="try it again")
        try:
            if self._end is not None:
                raise self._end.with_traceback(None)
            yield
        finally:
            self._lock.release()

    def read(self, query: str, *values: object) -> Rows:
        """Return the rows of a query.

        Args:
            query: ``$1`` is the number of the watch; each ``?`` takes a value.
            values: In the order of their marks.

        Raises:
            AwayError: The database is away, and nothing waits for it any more.
            StateError: The database cannot be read.
        """
        text = _numbered(query)
        with self.guarded():
            return self._repeat(lambda: self._database.fetch(text, self._permission.watch, *values))

    def write(self, counters: Mapping[str, int], parts: Sequence[Part]) -> None:
        """Write one step: as one statement, or as a transaction if it is large.

        Args:
            counters: The counters that change, by column.
            parts: What else is written; no two of them write the same row.

        Raises:
            FencedError: The watch was opened elsewhere since, and nothing was written.
            HistoryError: The database has not the steps of this store, and nothing was written.
            AwayError: The database is away, and nothing waits for it any more; if the step may have
                been written, the store is of no further use.
            StateError: The step has failed, and nothing was written.
        """
        if sum(part.size_bytes for part in parts) >= STATEMENT_BYTES:
            self.write_in_order(counters, lambda: parts)
            return
        statement = one_statement(tuple(counters), parts)
        values = [*counters.values(), *(value for part in parts for value in part.values)]
        self._write(lambda: self._database.fetch(statement, *self._permission, *values))

    def write_in_order(
        self, counters: Mapping[str, int], make_parts: Callable[[], Iterable[Part]]
    ) -> None:
        """Write one step as a transaction, part by part.

        Args:
            counters: The counters that change, by column.
            make_parts: Returns the parts, consumed one by one; called again if the step has to be
                repeated.

        Raises:
            StateError: See ``write``.
        """

        def attempt() -> None:
            with self._database.transaction() as transaction:
                transaction.fetch(fence(*counters), *self._permission, *counters.values())
                for part in make_parts():
                    transaction.fetch(numbered(part.sql), self._permission.watch, *part.values)

        self._write(attempt)

    def verify(self) -> None:
        """Make sure that the database has exactly the steps of this store, and its epoch.

        Raises:
            FencedError: The watch was opened elsewhere since.
            HistoryError: The database has other steps.
            AwayError: The database is away, and nothing waits for it any more.
            StateError: The database cannot be written.
        """
        with self.guarded():
            if ahead := self._repeat(self._steps_ahead):
                self._end_other_steps(ahead)

    def _repeat(self, read: Callable[[], Result]) -> Result:
        failures = 0
        while True:
            try:
                return read()
            except AwayError as error:
                failures += 1
                self._database.contact.wait(error, failures)

    def _write(self, attempt: Callable[[], object]) -> None:
        """Attempt a step until it is written, exactly once.

        An attempt whose answer was lost may still be written: late, while the session at the server
        has not noticed the loss. The fence then refuses the next attempt, which is the same.
        """
        with self.guarded(), self._database.meter.step():
            is_in_doubt = is_refused = may_be_written = False
            failures = 0
            while True:
                try:
                    if is_in_doubt:
                        ahead = self._steps_ahead()
                        if ahead == 1 and may_be_written:
                            break
                        if ahead or is_refused:
                            self._end_other_steps(ahead)
                        is_in_doubt = False
                    attempt()
                    break
                except FencedError:
                    if self._end is not None:
                        raise
                    is_in_doubt = is_refused = True
                except AwayError as error:
                    is_in_doubt |= is_outcome_unknown(error)
                    may_be_written |= is_outcome_unknown(error)
                    failures += 1
                    self._wait_in_step(error, failures, may_be_written=may_be_written)
            self._permission = self._permission._replace(step=self._permission.step + 1)

    def _wait_in_step(self, error: AwayError, failures: int, *, may_be_written: bool) -> None:
        try:
            self._database.contact.wait(error, failures)
        except AwayError as given_up:
            if may_be_written:
                self._end = StateError(
                    "it is not known whether the last step was written",
                    place=self._place,
                    hint="connect again",
                )
                self._end.__cause__ = given_up
            raise

    def _steps_ahead(self) -> int:
        """Return how many steps more than this store the database has; fewer if negative.

        Raises:
            FencedError: The watch was opened elsewhere since.
            HistoryError: The database does not have this opening of the watch.
        """
        rows = self._database.fetch(_FIND_STEP, self._permission.watch)
        epoch, step = rows[0] if rows else (0, 0)
        if epoch > self._permission.epoch:
            self._end = FencedError(
                "the watch was taken over: its state was opened elsewhere since",
                place=self._place,
                hint="connect again",
            )
            raise self._end
        if epoch < self._permission.epoch:
            self._end_other_history("not this opening")
        return int(step) - self._permission.step

    def _end_other_steps(self, ahead: int) -> NoReturn:
        step = self._permission.step
        self._end_other_history(f"up to {step + ahead}, not {step}")

    def _end_other_history(self, there: str) -> NoReturn:
        self._end = HistoryError(
            f"the database has other steps of the watch: {there}",
            place=self._place,
            hint="was it restored, or has a standby without the last commits become the primary?",
        )
        raise self._end

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
