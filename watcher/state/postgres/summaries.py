"""Summaries of the watches in the database, whether or not they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.state.ids import parse_former, unused_after, unused_ranges
from watcher.state.port import Summary
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.model import Identity
    from watcher.state.postgres.database import Database

_SUMMARIES = """
    SELECT watch.principal, watch.name, watch.place, entries, next_seq, cursor,
        coalesce((
            SELECT sum(octet_length(payload)) FROM watcher.journal
            WHERE journal.watch = id AND seq > cursor
        ), 0)::int8,
        (SELECT committed_at FROM watcher.journal
            WHERE journal.watch = id AND seq > cursor ORDER BY seq LIMIT 1),
        used_at, former_ids, ids_renewed_at,
        (SELECT coalesce(array_agg(gate), '{}') FROM (
            SELECT ARRAY[gate, count(*)] AS gate FROM watcher.entry
            WHERE entry.watch = id AND gate <> 0 GROUP BY entry.gate
        ) AS gates)
    FROM watcher.watch JOIN watcher.counters ON counters.watch = id
"""


def read_summaries(database: Database) -> Mapping[Identity, Summary]:
    """Return the summaries of all watches.

    Raises:
        StateError: The database cannot be read.
    """
    summaries = [_summary(*row) for row in database.fetch(_SUMMARIES)]
    return {each.identity: each for each in summaries}


def read_summary(database: Database, identity: Identity) -> Summary:
    """Return the summary of one watch.

    Raises:
        StateError: The database cannot be read, or has no such watch.
    """
    rows = database.fetch(f"{_SUMMARIES} WHERE digest = $1", identity.digest)
    if not rows:
        raise StateError("there is no state of this watch", place=identity.place)
    return _summary(*rows[0])


def _summary(  # noqa: PLR0913, PLR0917 - the columns of one row
    principal: str,
    name: str,
    place: str,
    entries: int,
    next_seq: int,
    cursor: int,
    journal_bytes: int,
    oldest_at: float | None,
    used_at: int,
    former_ids: str,
    ids_renewed_at: float,
    gates: list[tuple[int, int]],
) -> Summary:
    return Summary(
        name=name,
        place=place,
        principal=principal,
        entries=entries,
        next_seq=next_seq,
        cursor=cursor,
        journal_bytes=journal_bytes,
        oldest_at=oldest_at,
        used_at=used_at,
        skipped=unused_after(unused_ranges(parse_former(former_ids)), cursor),
        ids_renewed_at=ids_renewed_at,
        held_back=HeldBack.of(dict(gates)),
    )
