"""Acknowledgements of payloads at servers that do not own their watch, and the ids of all watches.

The server that receives an acknowledgement marks the payload. A mark is never taken back by another
acknowledgement, so it needs no permission. The owner notices it by a counter of the watch, and
moves the cursor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.model import Identity
from watcher.state.following import Issuer
from watcher.state.ids import end_seqs, parse_former
from watcher.state.postgres.arrays import int8_array, text_array

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from watcher.state.postgres.database import Database

_MARK = """
    WITH held AS MATERIALIZED (
        SELECT DISTINCT holder.seq FROM unnest($2::int8[]) AS given (seq)
        CROSS JOIN LATERAL (
            SELECT seq, is_acknowledged FROM watcher.journal
            WHERE watch = $1 AND journal.seq >= given.seq ORDER BY seq LIMIT 1
        ) AS holder
        WHERE NOT is_acknowledged
    ), locked AS (
        UPDATE watcher.counters SET acknowledgements = acknowledgements + 1
        WHERE watch = $1 AND EXISTS (SELECT FROM held WHERE held.seq > cursor)
        RETURNING watch, cursor
    )
    UPDATE watcher.journal SET is_acknowledged = true FROM locked, held
    WHERE journal.watch = locked.watch AND journal.seq = held.seq AND held.seq > locked.cursor
    RETURNING journal.seq
"""
"""One statement: nothing is locked for longer than it takes, and the counters before the payloads,
as by all that locks both."""

_ISSUERS = """
    SELECT id, principal, name, place, uid, former_ids, next_seq
    FROM watcher.watch JOIN watcher.counters ON counters.watch = id
    WHERE {condition}
"""
_BY_UID = _ISSUERS.format(condition="uid = ANY($1::text[])")
_BY_FORMER = _ISSUERS.format(condition="former_ids <> '[]' AND former_ids LIKE ANY ($1::text[])")


def mark(database: Database, watch: int, seqs: Iterable[int]) -> set[int]:
    """Mark payloads as acknowledged; wait while the database is away.

    Args:
        database: The database.
        watch: Number of the watch.
        seqs: Sequence numbers of changes; each marks the whole payload that holds it.

    Returns:
        The sequence numbers of the payloads that were not confirmed before.

    Raises:
        AwayError: The database is away, and nothing waits for it any more.
        StateError: The database cannot be written.
    """
    given = int8_array([*seqs])
    rows = database.contact.repeat(lambda: database.fetch(_MARK, watch, given))
    return {seq for (seq,) in rows}


def find_issuers(database: Database, uids: Collection[str]) -> Mapping[str, Issuer]:
    """Return the watches that have given ids; see ``Following.issuers``.

    Raises:
        StateError: The database cannot be read.
    """
    issuers = _find(database, _BY_UID, uids, uids)
    # Few watches have former ids, and few of these are still asked for.
    if missing := set(uids) - issuers.keys():
        patterns = [f'%"{uid}"%' for uid in missing if uid.isalnum()]
        issuers |= _find(database, _BY_FORMER, patterns, missing)
    return issuers


def _find(
    database: Database, query: str, values: Collection[str], uids: Collection[str]
) -> dict[str, Issuer]:
    issuers: dict[str, Issuer] = {}
    if not values:
        return issuers
    for number, principal, name, place, uid, former_ids, next_seq in database.fetch(
        query, text_array(values)
    ):
        identity = Identity(principal, name, place)
        for former, end_seq in end_seqs(parse_former(former_ids)).items():
            if former in uids:
                issuers[former] = Issuer(identity, number, end_seq, is_present=False)
        if uid in uids:
            issuers[uid] = Issuer(identity, number, next_seq, is_present=True)
    return issuers
