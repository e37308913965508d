"""The lease of schema version 1, by which one server owned all watches.

The tables are migrated when it is free, or has run out for good. The migration takes it for ever,
so that servers of that version which still run stand by and open nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from watcher.state.postgres.database import Database, Transaction

_LOOK = """
    SELECT server::text, name, lease_until < clock_timestamp(), lease_until::text
    FROM watcher.lease
"""
_LOCK_FREE = """
    SELECT 1 FROM watcher.lease
    WHERE server IS NULL OR server::text = $1 AND lease_until < clock_timestamp() FOR UPDATE
"""


class FormerOwner(NamedTuple):
    """A server of version 1 that has the lease.

    Attributes:
        id: Of the server.
        name: For people.
        has_expired: Whether its lease has run out.
        until: When the lease runs out, as the database has it.
    """

    id: str
    name: str
    has_expired: bool
    until: str


def find_former_owner(database: Database) -> FormerOwner | None:
    """Return who has the lease in tables of version 1; None for nobody.

    Raises:
        StateError: The database cannot be read.
    """
    for row in database.fetch(_LOOK):
        if row[0] is not None:
            return FormerOwner(*row)
    return None


def lock_free(transaction: Transaction, former: str | None) -> bool:
    """Lock the lease until the end of a transaction, and return whether it is free.

    Args:
        transaction: Migrates the tables.
        former: Id of the server whose lease counts as free if it has run out; None for none.

    Raises:
        StateError: The database cannot be reached.
    """
    return bool(transaction.fetch(_LOCK_FREE, former))
