"""The watches in the database: opened with a new epoch, summarised, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError
from watcher.state.ids import (
    format_former,
    new_uid,
    parse_former,
    renew,
    unused_after,
    unused_ranges,
)
from watcher.state.port import Summary
from watcher.state.postgres.history import FINGERPRINT, RENEW
from watcher.state.postgres.session import Permission
from watcher.state.postgres.steps import numbered
from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.model import Identity
    from watcher.state.postgres.database import Database, Transaction

LOCK_S = 5.0
"""Longest wait in seconds for a step of another store of the watch to end."""

EPOCH_LEAP = 1_000_000_000
"""Bound of the random number of epochs that an opening passes over.

An opening that is lost when the database fails over would otherwise be followed by another one with
the same epoch, and its store might write.
"""

_OWNS = "SELECT coalesce(server::text = $1 AND tenure = $2, false) FROM watcher.lease"
_MAKE = f"""
    INSERT INTO watcher.watch (digest, principal, name, place, uid, used_at, history)
    VALUES ($1, $2, $3, $4, $5, $6, {FINGERPRINT})
    ON CONFLICT (digest) DO NOTHING RETURNING id
"""  # noqa: S608 - only constants
_MAKE_COUNTERS = "INSERT INTO watcher.counters (watch) VALUES ($1)"
_TAKE = f"""
    UPDATE watcher.counters SET epoch = epoch + 1 + floor(random() * {EPOCH_LEAP})::int8,
        tenure = $2
    FROM watcher.watch WHERE watch = watch.id AND digest = $1 AND tenure <= $2
    RETURNING watch, epoch, step, next_id, entries, next_seq, cursor
"""  # noqa: S608 - only constants
_FIND = f"""
    SELECT uid, former_ids, ids_renewed_at, history, {FINGERPRINT}
    FROM watcher.watch WHERE id = $1
"""  # noqa: S608 - only constants
_ID = "SELECT id FROM watcher.watch WHERE digest = $1"
_USE = "UPDATE watcher.watch SET used_at = $2 WHERE id = $1"
_LEAP = "UPDATE watcher.counters SET next_seq = $2 WHERE watch = $1"
_REMOVE = "DELETE FROM watcher.counters WHERE watch = $1 AND tenure <= $2 RETURNING watch"
_TABLES = ("entry", "journal", "pending", "meta", "group_change", "changed_group")
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
        history: Fingerprint of the history under which the ids are valid.
        replaced_uid: First part of the ids that this opening has renewed; empty if it has not.
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
    history: str
    replaced_uid: str
    uid: str
    former_ids: str
    ids_renewed_at: float
    next_id: int
    entries: int
    next_seq: int
    cursor: int


def open_watch(  # noqa: PLR0913 - each is what an opening depends on
    database: Database,
    identity: Identity,
    owner: tuple[str, int],
    now_s: float,
    *,
    is_used: bool,
    keeps_ids: bool = False,
) -> Opening:
    """Take a watch with the next epoch, making it if there is none.

    Whoever had opened it can write it no more. Its ids are renewed if the database has another
    history than that under which they are valid.

    Args:
        database: The database.
        identity: Of the watch.
        owner: Id of the server that takes it, and the number of its tenure. A watch that was taken
            in a later one is not opened.
        now_s: Seconds since the epoch.
        is_used: Whether a stream uses it now.
        keeps_ids: Whether to leave the ids as they are in any case, since they are renewed next.

    Raises:
        StateError: The database cannot be written, another server owns it, or the identity cannot
            be kept.
    """
    if any("\0" in part for part in identity):
        raise StateError(
            "PostgreSQL cannot keep a name with a NUL character", hint="give it another id:"
        )
    with database.transaction(lock_s=LOCK_S) as transaction:
        ((is_owner,),) = transaction.fetch(_OWNS, *owner)
        if not is_owner:
            raise _not_owner(database)
        made = transaction.fetch(_MAKE, identity.digest, *identity, new_uid(), int(now_s))
        if made:
            transaction.fetch(_MAKE_COUNTERS, made[0][0])
        taken = transaction.fetch(_TAKE, identity.digest, owner[1])
        if not taken:
            raise _not_owner(database)
        ((watch, epoch, step, *counters),) = taken
        if is_used:
            transaction.fetch(_USE, watch, int(now_s))
        ((*ids, history, present),) = transaction.fetch(_FIND, watch)
        opening = Opening(Permission(watch, epoch, step), bool(made), present, "", *ids, *counters)
        if history != present and not keeps_ids:
            opening = _renew_ids(transaction, opening, now_s)
    return opening


def _renew_ids(transaction: Transaction, opening: Opening, now_s: float) -> Opening:
    """Renew the ids of a watch that is being opened; see ``port.WatchStore.renew_ids``."""
    former = renew(parse_former(opening.former_ids), opening.uid, opening.next_seq, above_seq=0)
    renewed = opening._replace(
        replaced_uid=opening.uid,
        uid=new_uid(),
        former_ids=format_former(former),
        ids_renewed_at=now_s,
        next_seq=former[-1].next_seq,
    )
    watch = renewed.permission.watch
    ids = (renewed.uid, renewed.former_ids, renewed.ids_renewed_at)
    transaction.fetch(numbered(RENEW), watch, *ids)
    transaction.fetch(_LEAP, watch, renewed.next_seq)
    return renewed


def remove_watch(database: Database, digest: str, tenure: int) -> None:
    """Remove a watch; whoever had opened it can write it no more.

    Args:
        database: The database.
        digest: Of the identity of the watch.
        tenure: Number of the server's tenure. A watch that was taken in a later one stays.

    Raises:
        StateError: The database cannot be written.
    """
    with database.transaction(lock_s=LOCK_S) as transaction:
        found = transaction.fetch(_ID, digest)
        # This waits for a step which is being written.
        if found and transaction.fetch(_REMOVE, found[0][0], tenure):
            watch = found[0][0]
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


def _not_owner(database: Database) -> StateError:
    return StateError(
        "another server has taken over this database",
        place=str(database.target),
        hint="connect to that one",
    )


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
