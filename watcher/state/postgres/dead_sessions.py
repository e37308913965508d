"""Ends the sessions of dead servers: one that was paused in a transaction holds locks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError
from watcher.state.postgres import servers
from watcher.state.postgres.server_id import session_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.state.postgres.database import Database


class DeadSessions:
    """The sessions of servers whose leases have run out. Any thread may use it.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended: set[str] = set()
        self._lock = threading.Lock()
        self._log = structlog.get_logger("watcher").bind(state=str(database.target))

    def end(self, server: str) -> None:
        """End the sessions of a server, once until it is known to live again.

        Args:
            server: Its id.
        """
        with self._lock:
            if server in self._ended:
                return
            self._ended.add(server)
        try:
            sessions = servers.end_sessions(self._database, session_name(server))
        except StateError as error:
            # Its locks end with its transactions, which the database ends if they are idle.
            self._log.warning("state.sessions_left", error=str(error))
        else:
            if sessions:
                self._log.info("state.sessions_ended", sessions=sessions)

    def note_living(self, living: Iterable[str]) -> None:
        """Note servers that live: one that has come back may be paused in a transaction again."""
        with self._lock:
            self._ended.difference_update(living)
