"""The lease: which server is alive and may use the database, renewed every second by a thread.

It says who may begin, never who may write: that is the epoch of each watch (``steps``). So a lease
that has run out during an outage of the database is renewed as if nothing had been, unless another
server has taken it. Only the database's clock is asked whether it has run out.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from watcher.errors import StateError

if TYPE_CHECKING:
    from uuid import UUID

    from watcher.state.postgres.database import Database

LEASE_S = 5.0
"""Seconds for which a renewal lasts. Argo Events' own election has the same."""

RENEW_S = 1.0
"""Seconds between two renewals."""

RETRY_S = 0.25
"""Seconds between two attempts to take the lease of another server."""

_RENEW = """
    UPDATE watcher.lease SET server = $1, name = $2,
        lease_until = clock_timestamp() + $3 * interval '1 second'
    WHERE server = $1 OR server IS NULL OR lease_until < clock_timestamp()
    RETURNING true
"""
_HOLDER = "SELECT name FROM watcher.lease WHERE server IS NOT NULL"
_RELEASE = "UPDATE watcher.lease SET server = NULL WHERE server = $1"


class Lease:
    """The lease of one database, wanted by one server.

    Args:
        database: The database; its tables are there.
        server: Random; names the server.
        name: Of the server, for people.

    Attributes:
        problem: Why the server does not have the lease; empty while it has.
    """

    def __init__(self, database: Database, server: UUID, name: str) -> None:
        self.problem = ""
        self._database = database
        self._server = str(server)
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state-lease", daemon=True)
        self._log = structlog.get_logger("watcher").bind(state=str(database.target))

    def acquire(self, *, wait_s: float) -> None:
        """Take the lease, waiting for that of a server which may have died; then renew it.

        Args:
            wait_s: Longest wait in seconds.

        Raises:
            StateError: Another server has it, or the database cannot be written.
        """
        for _ in range(1 + int(wait_s / RETRY_S)):
            if self._renew():
                self._thread.start()
                return
            self._stop.wait(RETRY_S)
        raise StateError(
            f"another server uses this database ({self._holder()})",
            place=str(self._database.target),
            hint="stop it, or name another database or schema with --state",
        )

    def check(self) -> None:
        """Renew the lease now, which writes.

        Raises:
            StateError: It cannot be renewed.
        """
        if not self._renew():
            raise StateError(
                f"another server has taken over this database ({self._holder()})",
                place=str(self._database.target),
                hint="stop one of the two",
            )

    def release(self) -> None:
        """Give the lease back, so that the next server need not wait for its end.

        While the database is away the lease runs out by itself.

        Raises:
            StateError: The database cannot be written.
        """
        self.stop()
        if self._thread.is_alive():
            self._thread.join(RENEW_S)
        if not self.problem and not self._thread.is_alive():
            self._database.fetch(_RELEASE, self._server)

    def stop(self) -> None:
        """Renew the lease no more."""
        self._stop.set()

    def _renew(self) -> bool:
        return bool(self._database.fetch(_RENEW, self._server, self._name, LEASE_S))

    def _holder(self) -> str:
        holder = self._database.fetch(_HOLDER)
        return str(holder[0][0]) if holder else "unknown"

    def _run(self) -> None:
        while not self._stop.wait(RENEW_S):
            try:
                self.check()
            except StateError as error:
                problem = str(error)
            else:
                problem = ""
            if problem and not self.problem:
                self._log.warning("state.lease_lost", error=problem)
            elif self.problem and not problem:
                self._log.info("state.lease_regained")
            self.problem = problem
