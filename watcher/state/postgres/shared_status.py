"""Reports of watches in the database, for the pages of all servers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from watcher.model import Identity
from watcher.state.postgres.arrays import int8_array, text_array
from watcher.state.shared_status import SECRET_BYTES, SharedReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.clock import Clock
    from watcher.state.postgres.database import Database

_KEEP = """
    INSERT INTO watcher.setting (key, value) VALUES ('page_secret', $1) ON CONFLICT DO NOTHING
"""
_KEPT = "SELECT value FROM watcher.setting WHERE key = 'page_secret'"

# In order of the watches: two servers that report the same ones do not wait for each other.
_WRITE = """
    INSERT INTO watcher.status (watch, at, report)
    SELECT watch, $3, report
    FROM unnest($1::int8[], $2::text[]) AS given (watch, report) JOIN watcher.counters USING (watch)
    WHERE owner = $4::uuid
    ORDER BY watch
    ON CONFLICT (watch) DO UPDATE SET at = excluded.at, report = excluded.report
"""
_READ = """
    SELECT principal, name, place, owner::text, at, report
    FROM watcher.status
        JOIN watcher.watch ON watch.id = status.watch
        JOIN watcher.counters ON counters.watch = status.watch
    WHERE principal = $1 AND owner <> $2::uuid
    ORDER BY name, place
"""


class PostgresStatus:
    """The reports of one state; implements ``shared_status.SharedStatus``.

    Args:
        database: Where they are.
        server: Id of this server.
        clock: Dates what is written.
    """

    def __init__(self, database: Database, server: str, clock: Clock) -> None:
        self._database = database
        self._server = server
        self._clock = clock
        self._secret = b""

    def secret(self) -> bytes:
        """Return a secret that all servers have.

        Raises:
            StateError: The database cannot be used.
        """
        if not self._secret:
            self._database.fetch(_KEEP, secrets.token_hex(SECRET_BYTES))
            ((kept,),) = self._database.fetch(_KEPT)
            self._secret = bytes.fromhex(kept)
        return self._secret

    def write(self, reports: Mapping[int, str]) -> None:
        """Report watches that this server owns; other ones are left as they are.

        Raises:
            StateError: The database cannot be written.
        """
        numbers, texts = int8_array([*reports]), text_array(reports.values())
        self._database.fetch(_WRITE, numbers, texts, self._clock.wall(), self._server)

    def read(self, principal: str) -> Sequence[SharedReport]:
        """Return the reports of the watches of a principal that other servers own.

        Raises:
            StateError: The database cannot be read.
        """
        rows = self._database.fetch(_READ, principal, self._server)
        return [SharedReport(Identity(*row[:3]), *row[3:]) for row in rows]
