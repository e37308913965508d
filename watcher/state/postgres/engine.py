"""The state in a database that servers share: each opens the watches that it owns."""

from __future__ import annotations

import platform
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import structlog

from watcher.errors import StateError
from watcher.limits.deadline import limited
from watcher.state.membership import Departure
from watcher.state.meter import StateMeter
from watcher.state.postgres import schema
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.history import OpenStores
from watcher.state.postgres.membership import PostgresMembership
from watcher.state.postgres.openings import (
    Claim,
    Use,
    find_owner,
    open_watch,
    read_document,
    remove_watch,
    unused_watches,
)
from watcher.state.postgres.server_id import ServerId
from watcher.state.postgres.shared_status import PostgresStatus
from watcher.state.postgres.sharing import Sharing
from watcher.state.postgres.space import probe_space
from watcher.state.postgres.store import PostgresStore
from watcher.state.postgres.summaries import read_summaries, read_summary
from watcher.state.postgres.transfer import read_watch, write_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.port import Summary
    from watcher.state.postgres.openings import Owner
    from watcher.state.survey import Survey
    from watcher.state.transfer import WatchCopy

OPEN_S = 8.0
"""Longest time in seconds for what does not wait until the database is back: opening a watch, and
all that is done to one which does not run."""

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
        membership: The part of the server among those that use the database.
        news: What they tell each other.
        following: The watches of other servers.
        requests: What owners are asked to do.
        meter: What operators see of it.
        shared_status: What servers show of the watches of others.

    Raises:
        StateError: The URL cannot be understood.
    """

    def __init__(self, url: str, clock: Clock, name: str = "", node: str = "") -> None:
        self._clock = clock
        self.meter = StateMeter(clock)
        self._server = ServerId(name or platform.node(), node)
        target, session = parse_url(url), self._server.session_name
        self._database = Database(target, session, self.meter)
        # A lease must not wait for a connection while all are in use.
        self._lease_database = Database(target, session, self.meter)
        self._stores = OpenStores(str(target))
        self.membership = PostgresMembership(
            self._lease_database,
            self._server,
            clock,
            lambda: self._database.fenced,
            self._stores.note,
        )
        self._sharing = Sharing(
            self._database, self._server, clock, lambda: self.membership.may_succeed
        )
        self.news = self._sharing.news
        self.following = self._sharing.following
        self.requests = self._sharing.requests
        self.shared_status = PostgresStatus(self._database, self._server.id, clock)
        self._log = structlog.get_logger("watcher").bind(state=self.place)

    def __enter__(self) -> Self:
        """Prepare the database; ``membership`` joins the servers that use it.

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
        """Leave the servers and close the connections."""
        self.stop_waiting()
        self._close()

    def _close(self) -> None:
        self.membership.stop()
        self.news.stop()
        self._database.close()
        self._lease_database.close()

    def _start(self) -> None:
        schema.check_server(self._database)
        self.membership.begin()
        self.news.start()
        if self._database.is_pooled:
            self._log.info("state.pooler", hint="statements are not prepared; commits take longer")

    @property
    def place(self) -> str:
        """The URL without user, password and parameters."""
        return str(self._database.target)

    def probe(self) -> None:
        """Look whether the lease is being renewed, which writes; after a full disk, write more.

        Raises:
            StateError: The server cannot serve, or the database's disk is full.
        """
        if problem := self.membership.standing.problem:
            raise StateError(problem, place=self.place)
        probe_space(self._database)

    def away_s(self) -> float:
        """Return how long the database has been away, in seconds; 0 while it is not."""
        return self._database.contact.away_s()

    def stop_waiting(self) -> None:
        """Let what waits for the database fail, from now on."""
        self._database.contact.stop()

    def open(
        self,
        identity: Identity,
        document: bytes = b"",
        *,
        max_watches: int | None = None,
        is_used: bool = True,
        queue: str = "",
    ) -> PostgresStore:
        """Own a watch and open its state with the next epoch; see ``port.StateEngine``.

        If the database was restored, or has failed over, its ids are renewed, which is logged.

        Raises:
            OwnedElsewhereError: Another server owns it.
            ConflictError: Another watch that is owned reads its queue.
            LimitError: It is new, and its principal has as many as it may have.
            StateError: The database cannot be used.
        """
        use = Use(is_stream=is_used, document=document, max_watches=max_watches, queue=queue)
        with limited(OPEN_S):
            return self._open(identity, use)

    def document(self, identity: Identity) -> bytes:
        """Return the kept configuration of a watch; empty if none is kept.

        Raises:
            StateError: The database cannot be read.
        """
        with limited(OPEN_S):
            return read_document(self._database, identity)

    def survey(self, used_within_s: float) -> Survey:
        """Return the watches that servers share; see ``port.StateEngine``.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S):
            return self._sharing.survey(used_within_s)

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
        """Revoke confirmations of a watch that does not run, see ``Journal.rewind``.

        Returns:
            The sequence numbers that are no longer confirmed.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S), self._borrowed(identity) as store:
            before = store.journal.cursor
            return range(store.journal.rewind(seq=seq, time_s=time_s) + 1, before + 1)

    def renew_ids(self, identity: Identity) -> None:
        """Renew the ids of a watch that does not run; see ``port.WatchStore.renew_ids``.

        Raises:
            StateError: The database cannot be used.
        """
        with limited(OPEN_S), self._borrowed(identity, Use(keeps_ids=True)) as store:
            store.renew_ids()

    def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run.

        Raises:
            StateError: The database cannot be written.
        """
        with limited(OPEN_S):
            self._remove(identity.digest)

    def remove_unused(self) -> None:
        """Remove the state that no stream has used for ``KEEP_S``.

        Raises:
            StateError: The database cannot be written.
        """
        for digest, place in unused_watches(self._database, self._clock.wall(), KEEP_S):
            self._remove(digest)
            self._log.info("state.removed", place=place)

    @contextmanager
    def export_watch(self, identity: Identity) -> Iterator[WatchCopy]:
        """Read a watch that does not run; see ``transfer.MovableState``.

        Raises:
            StateError: The database cannot be used.
        """
        # Elsewhere nothing would show that its ids have to be renewed.
        with self._borrowed(identity):
            pass
        yield read_watch(self._database, identity)

    def import_watch(self, copy: WatchCopy) -> None:
        """Write a watch that is not there; see ``transfer.MovableState``.

        Raises:
            StateError: The database cannot be written, and nothing was.
        """
        write_watch(self._database, copy)

    @contextmanager
    def _borrowed(self, identity: Identity, use: Use = Use()) -> Iterator[PostgresStore]:  # noqa: B008 - immutable
        """Open a watch that does not run for a moment.

        Raises:
            OwnedElsewhereError: Another server owns it.
            StateError: The database cannot be used.
        """
        store = self._open(identity, use)
        try:
            yield store
        finally:
            store.release()

    def _open(self, identity: Identity, use: Use) -> PostgresStore:
        owner = find_owner(self._database, identity.digest)
        claim = self._claim(owner)
        opening = open_watch(self._database, identity, claim, use, self._clock.wall())
        if claim.former is not None and owner.name is not None:
            self.membership.note_takeover(Departure.EXPIRED)
            self._log.info("watch.taken", **identity.labels, former=owner.name)
        elif owner.id != self._server.id and not opening.is_new:
            self.membership.note_takeover(Departure.RELEASED)
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
        store = PostgresStore(self._database, opening, self._clock, self._sharing)
        self._stores.add(store)
        self._sharing.add(store)
        if not opening.is_new:
            # Others need not take it, and have a new owner of what they follow.
            self.news.send([store.number])
        return store

    def _claim(self, owner: Owner) -> Claim:
        """Return what the server may claim; the sessions of a dead owner are ended before."""
        judges = self.membership.may_succeed
        if owner.id is None or owner.id == self._server.id or owner.is_alive:
            return Claim(self._server.id, judges=judges)
        if owner.name is not None and not judges:
            return Claim(self._server.id)
        self.membership.end_sessions(owner.id)
        return Claim(self._server.id, owner.id, judges=judges)

    def _remove(self, digest: str) -> None:
        remove_watch(self._database, digest, self._claim(find_owner(self._database, digest)))


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
