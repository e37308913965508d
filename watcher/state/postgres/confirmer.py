"""Confirms what time has confirmed, for all watches of a server at once.

Confirmations that come while one is being written are written together, by the first thread that
waits: a thousand in one transaction take a tenth of the time of a thousand transactions.

The cursor never passes a follower. A transaction locks the counters of its watches, and looks at
their readers only then; a stream that joins on another server takes the same lock while it reads
the cursor. So the stream either begins at the cursor that is written here, or is seen here. What
another transaction has locked is left for the next time: nothing waits, so nothing is deadlocked.

A confirmation is no step. It only moves the cursor on, so it may be repeated. It is refused if the
watch was opened since, or if the database does not have exactly the steps of the store: a replay,
which is one, is never undone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import AwayError, StateError
from watcher.limits.deadline import left_s
from watcher.state.postgres.arrays import float8_array, int8_array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.state.postgres.database import Database

MAX_WATCHES = 1000
"""Maximum number of watches in one transaction, whose locks keep their streams from joining."""

_LOCK = """
    SELECT watch, epoch, step FROM watcher.counters WHERE watch = ANY($1::int8[])
    ORDER BY watch FOR NO KEY UPDATE SKIP LOCKED
"""
_EXISTS = "SELECT watch FROM watcher.counters WHERE watch = ANY($1::int8[])"
_READERS = """
    SELECT min(confirmed) FROM watcher.reader
    WHERE reader.watch = {watch} AND streams > 0 AND EXISTS (
        SELECT FROM watcher.server
        WHERE server.id = reader.server AND (lease_until > clock_timestamp() OR NOT {judges})
    )
"""
"""Up to where the followers of a watch that live have the journal; NULL without any."""

_CONFIRM = f"""
    WITH asked AS (
        SELECT * FROM unnest($1::int8[], $2::int8[], $3::float8[]) AS asked (watch, seq, kept_since)
    ), allowed AS MATERIALIZED (
        SELECT asked.watch, counters.cursor AS former, kept_since,
            greatest(counters.cursor, least(asked.seq, counters.next_seq - 1, (
                {_READERS.format(watch="asked.watch", judges="$4")}
            ))) AS cursor
        FROM asked JOIN watcher.counters ON counters.watch = asked.watch
    ), moved AS MATERIALIZED (
        SELECT watch, former, cursor, CASE WHEN kept_since IS NULL THEN cursor ELSE least(cursor, (
            SELECT seq - 1 FROM watcher.journal
            WHERE journal.watch = allowed.watch AND committed_at >= kept_since
            ORDER BY seq LIMIT 1
        )) END AS dropped
        FROM allowed
    ), written AS (
        UPDATE watcher.counters SET cursor = moved.cursor FROM moved
        WHERE counters.watch = moved.watch AND moved.cursor > former
    ), deleted AS (
        DELETE FROM watcher.journal USING moved
        WHERE journal.watch = moved.watch AND seq <= dropped AND moved.cursor > former
    )
    SELECT watch, cursor, former,
        (SELECT coalesce(sum(octet_length(payload)), 0) FROM watcher.journal
            WHERE journal.watch = moved.watch AND seq > former AND seq <= moved.cursor)::int8,
        (SELECT committed_at FROM watcher.journal
            WHERE journal.watch = moved.watch AND seq > moved.cursor ORDER BY seq LIMIT 1)
    FROM moved
"""  # noqa: S608 - only constants


class Confirmation(NamedTuple):
    """What is to be confirmed of one watch.

    Attributes:
        watch: Number of the watch.
        epoch: Of the opening that confirms.
        step: Number of its last step.
        seq: Last sequence number to confirm.
        kept_since: Confirmed payloads committed at or after this time are kept, seconds since the
            epoch; None to keep none.
    """

    watch: int
    epoch: int
    step: int
    seq: int
    kept_since: float | None


class Confirmed(NamedTuple):
    """What has come of a confirmation.

    Attributes:
        cursor: The cursor now. It may not have moved: a follower is not as far, or another
            transaction has the watch now, which makes it 0.
        former: What it was; an earlier attempt may have moved it, whose answer was lost.
        passed_bytes: Bytes of the payloads that the cursor has passed.
        oldest_at: When the first payload beyond the cursor was committed, seconds since the epoch.
        is_refused: Whether the watch was opened or removed since, or the database has other steps.
    """

    cursor: int = 0
    former: int = 0
    passed_bytes: int = 0
    oldest_at: float | None = None
    is_refused: bool = False


@dataclass(slots=True, eq=False)
class _Waiting:
    """A thread that waits for its confirmation."""

    asked: Confirmation
    outcome: Confirmed | StateError | None = None


class Confirmer:
    """Writes the confirmations of one server. Any thread may use it.

    Args:
        database: The database.
        judges: Returns whether this server has been in contact with the database for the time of a
            lease, so that a server whose lease has run out is dead. If not, it may be that none
            could renew its lease, and all of them count.
    """

    def __init__(self, database: Database, judges: Callable[[], bool]) -> None:
        self._database = database
        self._judges = judges
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def confirm(self, asked: Confirmation) -> Confirmed:
        """Move the cursor of a watch on, as far as its followers allow.

        Raises:
            AwayError: The database is away, and nothing waits for it any more; it may have been
                done.
            StateError: It has failed.
        """
        return self._database.contact.repeat(lambda: self._attempt(asked))

    def _attempt(self, asked: Confirmation) -> Confirmed:
        waiting = _Waiting(asked)
        with self._lock:
            self._waiting.append(waiting)
        left = left_s()
        if not self._turn.acquire(timeout=-1 if left is None else left):
            raise AwayError(
                "the database does not answer", place=str(self._database.target), hint="try again"
            )
        try:
            if waiting.outcome is None:
                self._confirm_together(waiting)
        finally:
            self._turn.release()
        if isinstance(waiting.outcome, StateError):
            raise waiting.outcome.with_traceback(None)
        return waiting.outcome or Confirmed()

    def _confirm_together(self, first: _Waiting) -> None:
        """Write the confirmation of this thread, and of others that wait."""
        with self._lock:
            # It may stand behind more than are written together.
            self._waiting.remove(first)
            others = self._waiting[: MAX_WATCHES - 1]
            del self._waiting[: len(others)]
        group = [first, *others]
        try:
            outcomes = self._write([each.asked for each in group])
        except BaseException as error:
            failure = error if isinstance(error, StateError) else StateError("interrupted")
            for each in group:
                each.outcome = failure
            raise
        for each, outcome in zip(group, outcomes, strict=True):
            each.outcome = outcome

    def _write(self, asked: Sequence[Confirmation]) -> list[Confirmed]:
        watches = int8_array([each.watch for each in asked])
        with self._database.meter.step(), self._database.transaction() as transaction:
            rows = transaction.fetch(_LOCK, watches)
            locked = {watch: (epoch, step) for watch, epoch, step in rows}
            admitted = [each for each in asked if locked.get(each.watch) == (each.epoch, each.step)]
            others = [each for each in asked if each.watch not in locked]
            if others:
                rows = transaction.fetch(_EXISTS, int8_array([each.watch for each in others]))
                present = {watch for (watch,) in rows}
                others = [each for each in others if each.watch in present]
            moved = {}
            if admitted:
                found = transaction.fetch(
                    _CONFIRM,
                    int8_array([each.watch for each in admitted]),
                    int8_array([each.seq for each in admitted]),
                    float8_array([each.kept_since for each in admitted]),
                    self._judges(),
                )
                moved = {row[0]: Confirmed(*row[1:]) for row in found}
        refused = {*asked} - {*admitted} - {*others}
        return [moved.get(each.watch, Confirmed(is_refused=each in refused)) for each in asked]
