"""The way of one open store to the database: reads, and steps that are fenced and numbered.

While the database is away they wait, and go on as if nothing had been. A step whose answer was lost
is asked for, and repeated if it is not there.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from watcher.errors import AwayError, FencedError, HistoryError, StateError
from watcher.limits.deadline import left_s
from watcher.state.postgres.database import is_outcome_unknown
from watcher.state.postgres.steps import STATEMENT_BYTES, fence, numbered, one_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watcher.state.postgres.database import Database, Rows
    from watcher.state.postgres.sent import Sent
    from watcher.state.postgres.steps import Part

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


class _Step:
    """A step on its way into the database.

    Args:
        attempts: Each writes the whole step.
        is_ahead: It was reported as written; so it goes on with any other call.
    """

    def __init__(self, attempts: Iterator[Callable[[], object]], *, is_ahead: bool = False) -> None:
        self.attempts = attempts
        self.is_ahead = is_ahead
        self.is_in_doubt = self.is_refused = self.may_be_written = False
        self.failures = 0


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
        self._sent: Sent | None = None
        self._ahead: _Step | None = None

    @property
    def permission(self) -> Permission:
        """What the opening of the watch has given, with the last step that was written."""
        return self._permission

    @property
    def failure(self) -> StateError | None:
        """Why nothing more can be read or written; None while it can."""
        return self._end

    def close(self) -> None:
        """Refuse all that follows; may be called twice."""
        with self._lock:
            self._end = self._end or StateError("the state was closed", place=self._place)
            sent, self._sent, self._ahead = self._sent, None, None
            if sent is not None:
                sent.drop()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep other threads out, once what was written ahead is written; reentrant.

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
            self._finish_ahead()
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
            return self._database.contact.repeat(
                lambda: self._database.fetch(text, self._permission.watch, *values)
            )

    def write(self, counters: Mapping[str, int | None], parts: Sequence[Part]) -> None:
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
        statement, values = _statement(counters, parts)
        self._write(repeat(lambda: self._database.fetch(statement, *self._permission, *values)))

    def write_ahead(self, counters: Mapping[str, int | None], parts: Sequence[Part]) -> None:
        """Write one step, and perhaps return before it is written.

        All else that is asked of the session waits for it, and fails if it does.

        Args:
            counters: See ``write``.
            parts: See ``write``.

        Raises:
            StateError: See ``write``.
        """
        if sum(part.size_bytes for part in parts) >= STATEMENT_BYTES:
            self.write(counters, parts)
            return
        with self.guarded():
            statement, values = _statement(counters, parts)
            attempts = repeat(lambda: self._database.fetch(statement, *self._permission, *values))
            try:
                self._sent = self._database.send(statement, *self._permission, *values)
            except (AwayError, FencedError) as error:
                self._write(chain([partial(_fail, error)], attempts))
                return
            if self._sent is None:
                self._write(attempts)
            else:
                self._ahead = _Step(chain([self._receive], attempts), is_ahead=True)

    def settle(self) -> None:
        """Return once what was written ahead is written.

        Raises:
            StateError: It is not, and the store is of no further use.
        """
        with self.guarded():
            pass

    def write_in_order(
        self, counters: Mapping[str, int | None], make_parts: Callable[[], Iterable[Part]]
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

        self._write(repeat(attempt))

    def verify(self) -> None:
        """Make sure that the database has exactly the steps of this store, and its epoch.

        For what is no step, and was refused.

        Raises:
            FencedError: The watch was opened elsewhere since.
            HistoryError: The database has other steps.
            AwayError: The database is away, and nothing waits for it any more.
            StateError: The database cannot be written.
        """
        with self.guarded():
            try:
                ahead = self._database.contact.repeat(self._steps_ahead)
            except FencedError:
                self._database.count_fenced()
                raise
            if ahead:
                self._end_other_steps(ahead)

    def _write(self, attempts: Iterator[Callable[[], object]]) -> None:
        with self.guarded(), self._database.meter.step():
            self._carry_out(_Step(attempts))

    def _finish_ahead(self) -> None:
        """Wait for the step that was written ahead, if there is one."""
        if self._ahead is None:
            return
        try:
            with self._database.meter.step():
                self._carry_out(self._ahead)
        except AwayError:
            # The deadline of this thread, or the end of the server: the step is still on its way.
            raise
        except StateError as error:
            self._end, self._ahead = self._end or error, None
            raise
        self._ahead = None

    def _receive(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.receive()

    def _carry_out(self, step: _Step) -> None:
        """Attempt a step until it is written, exactly once.

        An attempt whose answer was lost may still be written: late, while the session at the server
        has not noticed the loss. The fence then refuses the next attempt, which is the same.
        """
        while True:
            try:
                if step.is_in_doubt:
                    ahead = self._steps_ahead()
                    if ahead == 1 and step.may_be_written:
                        break
                    if ahead or step.is_refused:
                        self._end_other_steps(ahead)
                    step.is_in_doubt = False
                next(step.attempts)()
                break
            except FencedError:
                if self._end is not None:
                    raise
                step.is_in_doubt = step.is_refused = True
            except AwayError as error:
                step.is_in_doubt |= is_outcome_unknown(error)
                step.may_be_written |= is_outcome_unknown(error)
                step.failures += 1
                self._wait_in_step(error, step)
        self._permission = self._permission._replace(step=self._permission.step + 1)

    def _wait_in_step(self, error: AwayError, step: _Step) -> None:
        try:
            self._database.contact.wait(error, step.failures)
        except AwayError as given_up:
            if step.may_be_written and not step.is_ahead:
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


def _statement(
    counters: Mapping[str, int | None], parts: Sequence[Part]
) -> tuple[str, list[object]]:
    """Return the statement of a whole step, and its values but those of the permission."""
    values = [value for part in parts for value in part.values]
    return one_statement(tuple(counters), parts), [*counters.values(), *values]


def _fail(error: StateError) -> None:
    raise error


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
