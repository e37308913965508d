"""What is done to a database beside the servers that use it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from watcher.clock import Clock
from watcher.errors import StateError
from watcher.state.postgres import schema
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.membership import PostgresMembership
from watcher.state.postgres.server_id import ServerId
from watcher.state.postgres.summaries import read_summaries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.model import Identity
    from watcher.state.port import Summary


def prepare(url: str) -> str:
    """Make or migrate the tables in a database, and say what was done.

    Servers may use it meanwhile, but for those of version 1.

    Raises:
        StateError: The database cannot be used, its tables are those of a newer program, or a
            server of version 1 uses it.
    """
    database = Database(parse_url(url), "watcher migrate")
    with closing(database):
        schema.check_server(database)
        former = schema.find_version(database)
        PostgresMembership(database, ServerId(), Clock(), lambda: 0).prepare()
    if former == schema.version():
        return f"{database.target}: the tables are there, with version {former}"
    return f"{database.target}: the tables have version {schema.version()} now"


def summaries_of(url: str) -> Mapping[Identity, Summary]:
    """Return the summaries of all watches in a database, whether or not a server uses it.

    Raises:
        StateError: The database cannot be read, or has no state.
    """
    database = Database(parse_url(url), "watcher status")
    with closing(database):
        if not schema.find_version(database):
            raise StateError(
                "there is no state in the database",
                place=str(database.target),
                hint="is it the right one, and the right schema?",
            )
        return read_summaries(database)
