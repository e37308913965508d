"""The payloads of one watch in the database, as its owner and its followers read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from watcher.model import Payload
from watcher.state.journal_port import Unconfirmed
from watcher.state.postgres.session import one

if TYPE_CHECKING:
    from watcher.state.postgres.database import Rows

_MARKS = """
    SELECT acknowledgements, coalesce((
        SELECT array_agg(seq) FROM watcher.journal
        WHERE journal.watch = $1 AND seq > ? AND is_acknowledged
    ), '{}'::int8[])
    FROM watcher.counters WHERE watch = $1
"""
_BEYOND = """
    SELECT
        coalesce((
            SELECT sum(octet_length(payload)) FROM watcher.journal
            WHERE watch = $1 AND seq > ? AND seq <= ?
        ), 0)::int8,
        (SELECT committed_at FROM watcher.journal
            WHERE watch = $1 AND seq > ? ORDER BY seq LIMIT 1)
"""
"""Bytes of the payloads after one sequence number, up to another; commit time of the first payload
after a third."""

_UNCONFIRMED = """
    SELECT seq, payload FROM (
        SELECT seq, payload, sum(octet_length(payload)) OVER before AS total_bytes,
            row_number() OVER before AS number
        FROM (
            SELECT seq, payload FROM watcher.journal
            WHERE watch = $1 AND seq >= ? AND seq < ? AND NOT is_acknowledged
            ORDER BY seq LIMIT ?
        ) AS first
        WINDOW before AS (ORDER BY seq)
    ) AS counted
    WHERE total_bytes <= ? OR number = 1 ORDER BY seq
"""
_PAGE = """
    SELECT seq, payload, last_seq, cursor, rewinds FROM (
        SELECT seq, payload, sum(octet_length(payload)) OVER before AS total_bytes,
            row_number() OVER before AS number, max(seq) OVER () AS last_seq
        FROM (
            SELECT seq, payload FROM watcher.journal
            WHERE watch = $1 AND seq > ? ORDER BY seq LIMIT ?
        ) AS first
        WINDOW before AS (ORDER BY seq)
    ) AS counted
    CROSS JOIN (SELECT cursor, rewinds FROM watcher.counters WHERE watch = $1) AS confirmed
    WHERE total_bytes <= ? OR number = 1 ORDER BY seq
"""
_COUNT = """
    SELECT count(*), coalesce(max(seq), 0) FROM (
        SELECT seq FROM watcher.journal
        WHERE watch = $1 AND seq > ? AND NOT is_acknowledged ORDER BY seq LIMIT ?
    ) AS first
"""
_PENDING = "SELECT seq, event FROM watcher.pending WHERE watch = $1 ORDER BY seq"
_LAST = "SELECT coalesce(max(seq), 0) FROM watcher.journal WHERE watch = $1"


class Read(Protocol):
    """Returns the rows of a query on one watch; see ``Session.read``."""

    def __call__(self, query: str, *values: object) -> Rows:
        """Return the rows.

        Raises:
            StateError: The database cannot be read.
        """


class Marks(NamedTuple):
    """What was acknowledged payload by payload.

    Attributes:
        acknowledgements: How often payloads were acknowledged.
        acknowledged: Sequence numbers of the payloads beyond the cursor that are confirmed.
    """

    acknowledgements: int
    acknowledged: set[int]


class Page(NamedTuple):
    """Payloads that were read together.

    Attributes:
        payloads: In order.
        has_more: Whether there may be more.
        cursor: Last confirmed sequence number at the same moment; what was confirmed may have been
            dropped before. 0 without payloads.
        rewinds: How often confirmations had been revoked.
    """

    payloads: list[Payload]
    has_more: bool
    cursor: int = 0
    rewinds: int = 0


class Payloads:
    """Reads the journal of one watch.

    Args:
        read: Returns the rows of a query.

    Every method raises ``StateError`` if the database cannot be read.
    """

    def __init__(self, read: Read) -> None:
        self._read = read

    def page(self, after_seq: int, *, limit: int, max_bytes: int) -> Page:
        """Return the payloads after a sequence number, in order; see ``Journal.read``.

        What was confirmed at the same moment comes with them.
        """
        rows = self._read(_PAGE, after_seq, limit, max_bytes)
        if not rows:
            return Page([], has_more=False)
        last_seq, _, last_found_seq, cursor, rewinds = rows[-1]
        has_more = len(rows) == limit or last_seq < last_found_seq
        payloads = [Payload(seq, data) for seq, data, *_ in rows]
        return Page(payloads, has_more=has_more, cursor=cursor, rewinds=rewinds)

    def unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads of a range that are not acknowledged, in order."""
        rows = self._read(_UNCONFIRMED, seqs.start, seqs.stop, limit, max_bytes)
        return [Payload._make(row) for row in rows]

    def count_unconfirmed(self, after_seq: int, *, limit: int) -> Unconfirmed:
        """Return number and end of the first payloads that are not acknowledged."""
        return Unconfirmed(*one(self._read(_COUNT, after_seq, limit)))

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch to fill, in order."""
        return [Payload._make(row) for row in self._read(_PENDING)]

    def last_seq(self) -> int:
        """Return the sequence number of the last payload; 0 if there is none."""
        return int(one(self._read(_LAST))[0])

    def marks(self, cursor: int) -> Marks:
        """Return what was acknowledged beyond a cursor; nothing if the watch is gone."""
        rows = self._read(_MARKS, cursor)
        acknowledgements, acknowledged = rows[0] if rows else (0, ())
        return Marks(acknowledgements, {*acknowledged})

    def beyond(self, after_seq: int, last_seq: int, cursor: int) -> tuple[int, float | None]:
        """Return the bytes between two sequence numbers, and when the first after a third was."""
        size_bytes, oldest_at = one(self._read(_BEYOND, after_seq, last_seq, cursor))
        return size_bytes, oldest_at
