"""The state of one server in a database: prepared, owned, and opened watch by watch."""

from __future__ import annotations

import platform
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

import structlog

from watcher.errors import StateError
from watcher.limits.deadline import limited
from watcher.state.meter import StateMeter
from watcher.state.postgres import schema
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.history import OpenStores
from watcher.state.postgres.lease import Lease
from watcher.state.postgres.openings import (
    open_watch,
    read_summaries,
    read_summary,
    remove_watch,
    unused_watches,
)
from watcher.state.postgres.server_id import ServerId
from watcher.state.postgres.space import probe_space
from watcher.state.postgres.store import PostgresStore
from watcher.state.postgres.transfer import read_watch, write_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.port import Summary
    from watcher.state.transfer import WatchCopy

OPEN_S = 8.0
"""Longest time in seconds for what does not wait until the database is back: opening a watch, and
all that is done to one which does not run."""

RELEASE_S = 2.0
"""Longest time in seconds to give the lease back; else it runs out by itself."""

START_S = 9.0
"""Longest time in seconds to connect to the database and to prepare it."""

KEEP_S = 30 * 86_400.0
"""Seconds after which the state of an unused watch is removed, measured up to the last time when a
stream opened any state of the database. So a wrong clock or a long downtime removes nothing."""


class PostgresEngine:
    """The state of one server; a context manager that implements ``port.StateEngine``.

    Args:
        url: Of the database; may have a password.
        clock: Dates what is written.
        name: Of the server, for people; that of this machine if not given.
        node: Where it runs, for people.

    Attributes:
        tenure: The claim of the server to the state.
        meter: What operators see of it.

    Raises:
        StateError: The URL cannot be understood.
    """

    def __init__(self, url: str, clock: Clock, name: str = "", node: str = "") -> None:
        self._clock = clock
        self.meter = StateMeter(clock)
        self._server = ServerId(name or platform.node(), node)
        target, session = parse_url(url), self._server.session_name
        self._database = Database(target, session, self.meter)
        # The lease must not wait for a connection while all are in use.
        self._lease_database = Database(target, session, self.meter)
        self._stores = OpenStores(str(target))
        self.tenure = Lease(
            self._lease_database,
            self._server,
            clock,
            lambda: self._database.fenced,
            self._stores.note,
        )
        self._log = structlog.get_logger("watcher").bind(state=self.place)

    def __enter__(self) -> Self:
        """Prepare the database; ``tenure`` owns it.

        Raises:
            StateError: The database cannot be used.
        """
        try:
            _within(START_S, self._start, self.place)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lease back and close the connections."""
        self.stop_waiting()
        self._close()

    def _close(self) -> None:
        self.tenure.stop()
        self._database.close()
        self._lease_database.close()

    def _start(self) -> None:
        schema.check_server(self._database)
        schema.prepare(self._database)
        self.tenure.begin()
        if self._database.is_pooled:
            self._log.info("state.pooler", hint="statements are not prepared; commits take longer")

    @property
    def place(self) -> str:
        """The URL without user, password and parameters."""
        return str(self._database.target)

    def probe(self) -> None:
        """Look whether the lease is being renewed, which writes; after a full disk, write more.

        Raises:
            StateError: The server does not own the state, or the database's disk is full.
        """
        if problem := self.tenure.standing.problem:
            raise StateError(problem, place=self.place)
        probe_space(self._database)

    def away_s(self) -> float:
        """Return how long the database has been away, in seconds; 0 while it is not."""
        return self._database.contact.away_s()

    def stop_waiting(self) -> None:
        """Let what waits for the database fail, from now on."""
        self._database.contact.stop()

    def open(self, identity: Identity) -> PostgresStore:
        """Open the state of an identity with the next epoch.

        If the database was restored, or has failed over, its ids are renewed, which is logged.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S):
            return self._open(identity, is_used=True)

    def summaries(self) -> Mapping[Identity, Summary]:
        """Return the summaries of all watches.

        Raises:
            StateError: The database cannot be read.
        """
        with limited(OPEN_S):
            return read_summaries(self._database)

    def summary(self, identity: Identity) -> Summary:
        """Return the summary of one watch.

        Raises:
            StateError: The database cannot be read.
        """
        with limited(OPEN_S):
            return read_summary(self._database, identity)

    def rewind(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Revoke confirmations of a watch that does not run, as ``port.Journal.rewind`` does.

        Returns:
            The sequence numbers that are no longer confirmed.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S), closing(self._open(identity)) as store:
            before = store.journal.cursor
            return range(store.journal.rewind(seq=seq, time_s=time_s) + 1, before + 1)

    def renew_ids(self, identity: Identity) -> None:
        """Renew the ids of a watch that does not run; see ``port.WatchStore.renew_ids``.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S), closing(self._open(identity, keeps_ids=True)) as store:
            store.renew_ids()

    def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run.

        Raises:
            StateError: The database cannot be written.
        """
        with limited(OPEN_S):
            remove_watch(self._database, identity.digest, self.tenure.standing.tenure)

    def remove_unused(self) -> None:
        """Remove the state that no stream has used for ``KEEP_S``.

        Raises:
            StateError: The database cannot be written.
        """
        for digest, place in unused_watches(self._database, self._clock.wall(), KEEP_S):
            remove_watch(self._database, digest, self.tenure.standing.tenure)
            self._log.info("state.removed", place=place)

    @contextmanager
    def export_watch(self, identity: Identity) -> Iterator[WatchCopy]:
        """Read a watch that does not run; see ``transfer.MovableState``.

        Raises:
            StateError: The database cannot be used.
        """
        # Elsewhere nothing would show that its ids have to be renewed.
        self._open(identity).close()
        yield read_watch(self._database, identity)

    def import_watch(self, copy: WatchCopy) -> None:
        """Write a watch that is not there; see ``transfer.MovableState``.

        Raises:
            StateError: The database cannot be written, and nothing was.
        """
        write_watch(self._database, copy)

    def _open(
        self, identity: Identity, *, is_used: bool = False, keeps_ids: bool = False
    ) -> PostgresStore:
        opening = open_watch(
            self._database,
            identity,
            (self._server.id, self.tenure.standing.tenure),
            self._clock.wall(),
            is_used=is_used,
            keeps_ids=keeps_ids,
        )
        if opening.replaced_uid:
            self._log.warning(
                "state.restored",
                **identity.labels,
                former_ids=opening.replaced_uid,
                ids=opening.uid,
                next_seq=opening.next_seq,
                hint="the database was restored or copied, or has failed over, and may be older "
                "than events that were sent; further events have new ids",
            )
        store = PostgresStore(self._database, opening, self._clock)
        self._stores.add(store)
        return store


def prepare(url: str) -> str:
    """Make or migrate the tables in a database, and say what was done.

    Raises:
        StateError: The database cannot be used, or its tables are those of a newer program.
    """
    database = Database(parse_url(url), "watcher migrate")
    with closing(database):
        schema.check_server(database)
        former = schema.prepare(database)
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


def _within(timeout_s: float, start: Callable[[], None], place: str) -> None:
    """Call a function that may wait for the network, for some time at most.

    Raises:
        StateError: It has taken longer.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            start()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="state-start", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise StateError(
            f"the database has not answered for {timeout_s:g} s",
            place=place,
            hint="check host, port and network",
        )
    if failures:
        raise failures[0]
