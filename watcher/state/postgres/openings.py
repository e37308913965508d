"""The watches in the database: taken by a server and opened with a new epoch, or removed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import ConflictError, OwnedElsewhereError, StateError
from watcher.limits.quotas import too_many_watches
from watcher.state.ids import (
    format_former,
    new_uid,
    parse_former,
    renew,
)
from watcher.state.postgres.database import is_code
from watcher.state.postgres.history import FINGERPRINT, RENEW
from watcher.state.postgres.session import Permission
from watcher.state.postgres.steps import numbered

if TYPE_CHECKING:
    from watcher.model import Identity
    from watcher.state.postgres.database import Database, Transaction

LOCK_S = 5.0
"""Longest wait in seconds for a step of another store of the watch to end."""

EPOCH_LEAP = 1_000_000_000
"""Bound of the random number of epochs that an opening passes over.

An opening that is lost when the database fails over would otherwise be followed by another one with
the same epoch, and its store might write.
"""

_LIVES = "EXISTS (SELECT FROM watcher.server WHERE id = owner AND lease_until > clock_timestamp())"
_IS_MEMBER = "SELECT count(*) FROM watcher.server WHERE id = $1"
_FIND_OWNER = f"""
    SELECT owner::text, {_LIVES},
        (SELECT server.name FROM watcher.server WHERE server.id = owner)
    FROM watcher.watch JOIN watcher.counters ON counters.watch = watch.id WHERE digest = $1
"""  # noqa: S608 - only constants
_LOCK_PRINCIPAL = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_COUNT = "SELECT count(*) FROM watcher.watch WHERE principal = $1 AND digest <> $2"
_MAKE = f"""
    INSERT INTO watcher.watch (digest, principal, name, place, uid, used_at, history)
    VALUES ($1, $2, $3, $4, $5, $6, {FINGERPRINT})
    ON CONFLICT (digest) DO NOTHING RETURNING id
"""  # noqa: S608 - only constants
_MAKE_COUNTERS = "INSERT INTO watcher.counters (watch) VALUES ($1)"
_MAY_TAKE = f"(owner IS NULL OR owner = $2 OR owner::text = $3 AND NOT {_LIVES})"
_NEXT_EPOCH = f"epoch = epoch + 1 + floor(random() * {EPOCH_LEAP})::int8"
_TAKE = f"""
    UPDATE watcher.counters SET {_NEXT_EPOCH}, owner = $2, queue = $4
    FROM watcher.watch WHERE watch = watch.id AND digest = $1 AND {_MAY_TAKE}
    RETURNING watch, epoch, step, next_id, entries, next_seq, cursor
"""  # noqa: S608 - only constants
_FIND = f"""
    SELECT uid, former_ids, ids_renewed_at, document_version, node, history, {FINGERPRINT}
    FROM watcher.watch WHERE id = $1
"""  # noqa: S608 - only constants
_IS_ANOTHER = "queue = $1 AND watch <> (SELECT id FROM watcher.watch WHERE digest = $2)"
_FREE_QUEUE = f"""
    UPDATE watcher.counters SET {_NEXT_EPOCH}, owner = NULL, queue = NULL
    WHERE {_IS_ANOTHER} AND (owner IS NULL OR $3 AND NOT {_LIVES})
"""  # noqa: S608 - only constants
_COUNT_READERS = f"SELECT count(*) FROM watcher.counters WHERE {_IS_ANOTHER}"  # noqa: S608 - only constants
_IS_READ = "23505"
"""SQLSTATE of a value that is there already: one watch alone has the digest of a queue."""
_USE = "UPDATE watcher.watch SET used_at = $2 WHERE id = $1"
_KEEP_DOCUMENT = """
    UPDATE watcher.watch SET document = $2, document_version = document_version + 1
    WHERE id = $1 AND document <> $2
"""
_DOCUMENT = "SELECT document FROM watcher.watch WHERE digest = $1"
_LEAP = "UPDATE watcher.counters SET next_seq = $2 WHERE watch = $1"
_REMOVE = f"""
    DELETE FROM watcher.counters USING watcher.watch
    WHERE watch = watch.id AND digest = $1 AND {_MAY_TAKE} RETURNING watch
"""  # noqa: S608 - only constants
_TABLES = (
    "entry",
    "journal",
    "pending",
    "meta",
    "group_change",
    "changed_group",
    "reader",
    "request",
    "status",
)
_UNUSED = """
    SELECT digest, place FROM watcher.watch JOIN watcher.counters ON counters.watch = watch.id
    WHERE used_at <= least($1, (SELECT max(used_at) FROM watcher.watch)) - $2
        AND NOT EXISTS (SELECT FROM watcher.server WHERE server.id = owner)
"""


class Owner(NamedTuple):
    """Who owns a watch.

    Attributes:
        id: Of the server; None for nobody.
        is_alive: Whether its lease has not run out.
        name: For people; None if it has stopped.
    """

    id: str | None
    is_alive: bool
    name: str | None


class Claim(NamedTuple):
    """By whom a watch is opened or removed.

    Attributes:
        server: Id of the server.
        former: Id of the owner whose lease has run out, and whose watch may be taken; None if only
            a watch without an owner may be, or one of the server itself.
        judges: Whether a server whose lease has run out is dead; see ``Confirmer``.
    """

    server: str
    former: str | None = None
    judges: bool = False


class Use(NamedTuple):
    """What a watch is opened for.

    Attributes:
        is_stream: Whether a stream uses it now.
        keeps_ids: Whether to leave the ids as they are in any case, since they are renewed next.
        document: Its configuration, which is kept; empty leaves that which is.
        max_watches: Maximum number of watches of the principal; None for any.
        queue: The queue that it is to read; empty for none.
    """

    is_stream: bool = False
    keeps_ids: bool = False
    document: bytes = b""
    max_watches: int | None = None
    queue: str = ""

    @property
    def queue_digest(self) -> str | None:
        """A digest of the queue, which may be long; None without one."""
        return sha256(self.queue.encode()).hexdigest() if self.queue else None


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
        document_version: Number of its configuration.
        node: The only node from which its place can be seen; None if others may see it.
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
    document_version: int
    node: str | None
    next_id: int
    entries: int
    next_seq: int
    cursor: int


def find_owner(database: Database, digest: str) -> Owner:
    """Return who owns a watch, given the digest of its identity; nobody if there is no such watch.

    Raises:
        StateError: The database cannot be read.
    """
    rows = database.fetch(_FIND_OWNER, digest)
    return Owner(*rows[0]) if rows else Owner(None, is_alive=False, name=None)


def open_watch(
    database: Database, identity: Identity, claim: Claim, use: Use, now_s: float
) -> Opening:
    """Take a watch with the next epoch, making it if there is none.

    A server that had opened it before can write it no more. Its ids are renewed if the database has
    another history than that under which they are valid.

    Args:
        database: The database.
        identity: Of the watch.
        claim: Who takes it.
        use: What for.
        now_s: Seconds since the epoch.

    Raises:
        OwnedElsewhereError: Another server owns it.
        ConflictError: Another watch that is owned reads its queue.
        LimitError: It is new, and its principal has as many as it may have.
        StateError: The database cannot be written, the server has not joined, or the identity
            cannot be kept.
    """
    if any("\0" in part for part in identity):
        raise StateError(
            "PostgreSQL cannot keep a name with a NUL character", hint="give it another id:"
        )
    try:
        with database.transaction(lock_s=LOCK_S) as transaction:
            return _open(transaction, identity, claim, use, now_s)
    except StateError as error:
        if is_code(error, _IS_READ):
            # Another server opens a watch of the queue at the same moment.
            raise _queue_is_read(identity) from error
        raise


def _open(
    transaction: Transaction, identity: Identity, claim: Claim, use: Use, now_s: float
) -> Opening:
    ((is_member,),) = transaction.fetch(_IS_MEMBER, claim.server)
    if not is_member:
        raise StateError(
            "this server is not among those that use the database",
            place=transaction.place,
            hint="connect again",
        )
    is_new = _make(transaction, identity, use, now_s)
    _free_queue(transaction, identity, claim, use)
    taken = transaction.fetch(_TAKE, identity.digest, claim.server, claim.former, use.queue_digest)
    if not taken:
        raise _owned_elsewhere(transaction, identity)
    ((watch, epoch, step, *counters),) = taken
    if use.is_stream:
        transaction.fetch(_USE, watch, int(now_s))
    if use.document:
        transaction.fetch(_KEEP_DOCUMENT, watch, use.document)
    ((*ids, history, present),) = transaction.fetch(_FIND, watch)
    opening = Opening(Permission(watch, epoch, step), is_new, present, "", *ids, *counters)
    if history != present and not use.keeps_ids:
        opening = _renew_ids(transaction, opening, now_s)
    return opening


def _free_queue(transaction: Transaction, identity: Identity, claim: Claim, use: Use) -> None:
    """Take the queue of a watch from one that runs no more, which then has no owner.

    Raises:
        ConflictError: The other one runs.
    """
    if use.queue:
        queue = (use.queue_digest, identity.digest)
        transaction.fetch(_FREE_QUEUE, *queue, claim.judges)
        ((readers,),) = transaction.fetch(_COUNT_READERS, *queue)
        if readers:
            raise _queue_is_read(identity)


def _queue_is_read(identity: Identity) -> ConflictError:
    return ConflictError("another watch reads the queue", place=identity.place)


def _make(transaction: Transaction, identity: Identity, use: Use, now_s: float) -> bool:
    """Make a watch if there is none, and return whether that was done.

    Raises:
        LimitError: Its principal has as many as it may have.
    """
    if transaction.fetch(_FIND_OWNER, identity.digest):
        return False
    if use.max_watches is not None:
        transaction.fetch(_LOCK_PRINCIPAL, identity.principal)
        ((watches,),) = transaction.fetch(_COUNT, identity.principal, identity.digest)
        if watches >= use.max_watches:
            raise too_many_watches(use.max_watches, identity)
    made = transaction.fetch(_MAKE, identity.digest, *identity, new_uid(), int(now_s))
    if made:
        transaction.fetch(_MAKE_COUNTERS, made[0][0])
    return bool(made)


def _owned_elsewhere(transaction: Transaction, identity: Identity) -> OwnedElsewhereError:
    owner = Owner(*transaction.fetch(_FIND_OWNER, identity.digest)[0])
    name = owner.name or "another server"
    return OwnedElsewhereError(
        f"{name} owns the watch" if owner.is_alive else f"{name} may still own the watch",
        owner=name,
        place=identity.place,
        hint="try it again",
    )


def read_document(database: Database, identity: Identity) -> bytes:
    """Return the kept configuration of a watch; empty if none is kept.

    Raises:
        StateError: The database cannot be read.
    """
    rows = database.fetch(_DOCUMENT, identity.digest)
    return bytes(rows[0][0]) if rows else b""


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


def remove_watch(database: Database, digest: str, claim: Claim) -> None:
    """Remove a watch, unless another server owns it; no open store of it can be written any more.

    Args:
        database: The database.
        digest: Of the identity of the watch.
        claim: Who removes it.

    Raises:
        StateError: The database cannot be written.
    """
    with database.transaction(lock_s=LOCK_S) as transaction:
        # This waits for a step which is being written.
        for (watch,) in transaction.fetch(_REMOVE, digest, claim.server, claim.former):
            for table in _TABLES:
                transaction.fetch(f"DELETE FROM watcher.{table} WHERE watch = $1", watch)  # noqa: S608 - only constants
            transaction.fetch("DELETE FROM watcher.watch WHERE id = $1", watch)


def unused_watches(database: Database, now_s: float, keep_s: float) -> list[tuple[str, str]]:
    """Return digest and place of the watches without owner that no stream has used for some time.

    Args:
        database: The database.
        now_s: Seconds since the epoch. A later time than that at which any watch was last used
            counts as that: a wrong clock or a long downtime makes none unused.
        keep_s: That time in seconds.

    Raises:
        StateError: The database cannot be read.
    """
    return [(digest, place) for digest, place in database.fetch(_UNUSED, now_s, keep_s)]
