"""The table of the servers that use the database, by the clock of the database alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from watcher import __version__
from watcher.state.membership import Server
from watcher.state.postgres.history import FINGERPRINT
from watcher.state.postgres.schema import LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.state.postgres.database import Database, Transaction
    from watcher.state.postgres.server_id import ServerId

KEEP_S = 3600
"""Seconds after the end of its lease for which a server is remembered that owns no watch.

Nothing depends on its row by then: a server that is cut off for seconds ends its streams, and one
that comes back registers again. The row shows people who was there, and that a server was lost, not
stopped. Rows are removed when a server registers: one that starts anew, as after a crash, does, so
there are as many as have died in an hour.
"""

_OTHER_WORKS_ALONE = """
    EXISTS (
        SELECT FROM watcher.server AS other
        WHERE other.is_exclusive AND other.id <> $1 AND other.lease_until > clock_timestamp()
    )
"""
_COLUMNS = """
    id::text, name, node, version, extract(epoch FROM started_at)::float8, is_leaving,
    watches, entries, streams
"""
_MEMBER = f"""
    {_COLUMNS}, is_exclusive, lease_until::text,
    extract(epoch FROM lease_until)::float8 - extract(epoch FROM clock_timestamp())::float8
"""
_LOOK = f"SELECT {_MEMBER} FROM watcher.server ORDER BY id"  # noqa: S608 - only constants
_RENEW = f"""
    WITH renewed AS (
        UPDATE watcher.server SET lease_until = clock_timestamp() + $2 * interval '1 second',
            is_leaving = $3, watches = $4, entries = $5, streams = $6
        WHERE id = $1 AND NOT {_OTHER_WORKS_ALONE}
        RETURNING {FINGERPRINT} AS history
    )
    SELECT history, {_MEMBER} FROM renewed LEFT JOIN watcher.server ON id <> $1 ORDER BY id
"""  # noqa: S608 - only constants
_REGISTER = f"""
    INSERT INTO watcher.server (id, name, node, version, lease_until, is_exclusive)
    SELECT $1::uuid, $2, $3, $4, clock_timestamp() + $5 * interval '1 second', $6::bool
    WHERE NOT {_OTHER_WORKS_ALONE}
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
    RETURNING {_COLUMNS}
"""
_FORGET = """
    DELETE FROM watcher.server
    WHERE lease_until < clock_timestamp() - $1 * interval '1 second'
        AND NOT EXISTS (SELECT FROM watcher.counters WHERE owner = server.id)
"""
# Readers are locked in the order of their watches, as by all that change those of several.
_FORGET_READERS = """
    WITH locked AS MATERIALIZED (
        SELECT watch, server FROM watcher.reader
        WHERE NOT EXISTS (SELECT FROM watcher.server WHERE id = reader.server)
        ORDER BY watch, server FOR UPDATE
    )
    DELETE FROM watcher.reader USING locked
    WHERE reader.watch = locked.watch AND reader.server = locked.server
"""
_LEAVE = "DELETE FROM watcher.server WHERE id = $1"
_LEAVE_READERS = """
    WITH locked AS MATERIALIZED (
        SELECT watch FROM watcher.reader WHERE server = $1 ORDER BY watch FOR UPDATE
    )
    DELETE FROM watcher.reader USING locked WHERE reader.watch = locked.watch AND server = $1
"""
_END_SESSIONS = """
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()
"""


class Member(NamedTuple):
    """A row of the table.

    Attributes:
        server: What is known of the server.
        is_exclusive: Whether it is a program that works alone.
        until: When its lease runs out, as the database has it.
        left_s: Seconds until then; below 0 once it has run out.
    """

    server: Server
    is_exclusive: bool
    until: str
    left_s: float

    @property
    def has_expired(self) -> bool:
        """Whether its lease has run out."""
        return self.left_s < 0


def look(database: Database | Transaction) -> list[Member]:
    """Return all servers that are remembered, by id.

    Raises:
        StateError: The database cannot be read.
    """
    return [_member(row) for row in database.fetch(_LOOK)]


def _member(row: Sequence[Any]) -> Member:
    return Member(Server(*row[:-3]), *row[-3:])


class Renewal(NamedTuple):
    """What a server learns when it renews its lease.

    Attributes:
        history: The fingerprint of the database's history.
        others: The other servers that are remembered, by id.
    """

    history: str
    others: list[Member]


def renew(database: Database, me: Server, lease_s: float) -> Renewal | None:
    """Renew the lease of a server and look at the others, in one statement.

    Returns:
        None if the server is not registered, or another program works alone.

    Raises:
        StateError: The database cannot be written.
    """
    load = (me.watches, me.entries, me.streams)
    rows = database.fetch(_RENEW, me.id, lease_s, me.is_leaving, *load)
    if not rows:
        return None
    # Alone it has one row, without another server.
    return Renewal(str(rows[0][0]), [_member(row[1:]) for row in rows if row[1] is not None])


def register(
    transaction: Transaction, server: ServerId, lease_s: float, *, is_exclusive: bool
) -> Server | None:
    """Enter a server that may be there already, and forget those that are gone for long.

    Returns:
        What is known of it; None if another program works alone.

    Raises:
        StateError: The database cannot be written.
    """
    own = (server.id, server.name, server.node, __version__, lease_s, is_exclusive)
    rows = transaction.fetch(_REGISTER, *own)
    transaction.fetch(_FORGET, KEEP_S)
    transaction.fetch(_FORGET_READERS)
    return Server(*rows[0]) if rows else None


def lock(transaction: Transaction) -> None:
    """Let no other server register, and nobody migrate, until the end of a transaction.

    Raises:
        StateError: The database cannot be reached.
    """
    transaction.fetch("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)


def leave(database: Database, server: str) -> None:
    """Remove a server that has stopped, and its readers.

    Raises:
        StateError: The database cannot be written.
    """
    with database.transaction() as transaction:
        transaction.fetch(_LEAVE_READERS, server)
        transaction.fetch(_LEAVE, server)


def end_sessions(database: Database, name: str) -> int:
    """End the sessions of a server: one that was paused in a transaction holds locks.

    Args:
        database: The database.
        name: What its sessions are called.

    Returns:
        How many there were.

    Raises:
        StateError: The role may not end them.
    """
    ((sessions,),) = database.fetch(_END_SESSIONS, name)
    return int(sessions)
