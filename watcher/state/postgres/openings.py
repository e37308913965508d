"""The watches in the database: opened with a new epoch, summarised, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError
from watcher.state.ids import new_uid, parse_former, unused_after, unused_ranges
from watcher.state.port import Summary
from watcher.state.postgres.session import Permission
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from watcher.model import Identity
    from watcher.state.postgres.database import Database

LOCK_S = 10.0
"""Longest wait in seconds for a step of another store of the watch to end."""

_HAS_LEASE = "SELECT server = $1 FROM watcher.lease"
_MAKE = """
    INSERT INTO watcher.watch (digest, principal, name, place, uid, used_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING RETURNING id
"""
_MAKE_COUNTERS = "INSERT INTO watcher.counters (watch) VALUES ($1)"
_FIND = "SELECT id, uid, former_ids, ids_renewed_at FROM watcher.watch WHERE digest = $1"
_USE = "UPDATE watcher.watch SET used_at = $2 WHERE id = $1"
_TAKE = """
    UPDATE watcher.counters SET epoch = epoch + 1, server = $2 WHERE watch = $1
    RETURNING epoch, step, next_id, entries, next_seq, cursor
"""
_TABLES = ("counters", "entry", "journal", "pending", "meta", "group_change", "changed_group")
_UNUSED = """
    SELECT digest, place FROM watcher.watch
    WHERE used_at <= least($1, (SELECT max(used_at) FROM watcher.watch)) - $2
"""
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


class Opening(NamedTuple):
    """What the opening of a watch has found.

    Attributes:
        permission: To write it.
        is_new: Whether it was made by this opening.
        uid: First part of the ids of its events.
        former_ids: Those before renewals, as they are kept.
        ids_renewed_at: When they were last renewed, seconds since the epoch.
        next_id: That of the next entry.
        entries: Rows in the index.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
    """

    permission: Permission
    is_new: bool
    uid: str
    former_ids: str
    ids_renewed_at: float
    next_id: int
    entries: int
    next_seq: int
    cursor: int


def open_watch(
    database: Database, identity: Identity, server: UUID, now_s: int, *, is_used: bool
) -> Opening:
    """Take a watch with the next epoch, making it if there is none.

    Whoever had opened it can write it no more.

    Args:
        database: The database.
        identity: Of the watch.
        server: Takes it.
        now_s: Seconds since the epoch.
        is_used: Whether a stream uses it now.

    Raises:
        StateError: The database cannot be written, another server has its lease, or the identity
            cannot be kept.
    """
    if any("\0" in part for part in identity):
        raise StateError(
            "PostgreSQL cannot keep a name with a NUL character", hint="give it another id:"
        )
    with database.transaction(lock_s=LOCK_S) as transaction:
        ((has_lease,),) = transaction.fetch(_HAS_LEASE, str(server))
        if not has_lease:
            raise StateError(
                "another server has taken over this database",
                place=str(database.target),
                hint="connect to that one",
            )
        made = transaction.fetch(_MAKE, identity.digest, *identity, new_uid(), now_s)
        if made:
            transaction.fetch(_MAKE_COUNTERS, made[0][0])
        ((watch, uid, former_ids, ids_renewed_at),) = transaction.fetch(_FIND, identity.digest)
        if is_used:
            transaction.fetch(_USE, watch, now_s)
        ((epoch, step, *counters),) = transaction.fetch(_TAKE, watch, str(server))
    permission = Permission(watch, epoch, step)
    return Opening(permission, bool(made), uid, former_ids, ids_renewed_at, *counters)


def remove_watch(database: Database, digest: str) -> None:
    """Remove a watch; whoever had opened it can write it no more.

    Raises:
        StateError: The database cannot be written.
    """
    with database.transaction(lock_s=LOCK_S) as transaction:
        found = transaction.fetch(_FIND, digest)
        if found:
            watch = found[0][0]
            # The counters first: that waits for a step which is being written.
            for table in _TABLES:
                transaction.fetch(f"DELETE FROM watcher.{table} WHERE watch = $1", watch)  # noqa: S608 - only constants
            transaction.fetch("DELETE FROM watcher.watch WHERE id = $1", watch)


def unused_watches(database: Database, now_s: float, keep_s: float) -> list[tuple[str, str]]:
    """Return digest and place of the watches that no stream has used for some time.

    Args:
        database: The database.
        now_s: Seconds since the epoch. A later time than that at which any watch was last used
            counts as that: a wrong clock or a long downtime makes none unused.
        keep_s: That time in seconds.

    Raises:
        StateError: The database cannot be read.
    """
    return [(digest, place) for digest, place in database.fetch(_UNUSED, now_s, keep_s)]


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
