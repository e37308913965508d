"""The part of one server in the database: who lives, renewed every second by a thread.

A lease says who may begin, never who may write: that is the epoch of each watch (``steps``). Rules:

1. Only the database's clock is asked whether a lease has run out.
2. A lease that has run out is renewed as if nothing had been; what others have taken meanwhile is
   theirs.
3. A server takes what belongs to another one only after it has itself been in contact with the
   database for the time of a lease, without interruption. So an outage of the database moves
   nothing: every owner can renew its lease before.
4. What was given back is taken at once.
5. As soon as a server counts as dead the others end its sessions: one that was paused in a
   transaction holds locks.
6. A program that works alone begins when no server lives; servers stand by while it lives.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from watcher import __version__
from watcher.errors import StateError
from watcher.state.membership import Departure, Role, Server, Standing
from watcher.state.postgres import schema, servers
from watcher.state.postgres.continuity import Continuity
from watcher.state.postgres.dead_sessions import DeadSessions
from watcher.state.postgres.former_lease import find_former_owner
from watcher.state.postgres.roster import Roster
from watcher.state.postgres.standby import Obstacle, find_obstacles, outwait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.state.postgres.database import Database
    from watcher.state.postgres.server_id import ServerId
    from watcher.state.postgres.servers import Member

LEASE_S = 5.0
"""Seconds for which a renewal lasts. Argo Events' own election has the same."""

RENEW_S = 1.0
"""Seconds between two renewals."""

POLL_S = 0.25
"""Seconds between two looks while a server stands by, or two tries to reach the database."""

CUT_OFF_S = 10.0
"""Seconds without an answer after which a server is cut off; its clients look for another one."""

EXPIRED_S = 0.01
"""Seconds after the end of a lease at which a server looks whether it was renewed."""

LEAVE_S = 1.0
"""Longest wait in seconds until the others know that the server stops."""


class PostgresMembership:
    """The part of one server in one database; implements ``membership.Membership``.

    Args:
        database: The database. A renewal must not wait for a connection while all are in use, so it
            has a pool of its own.
        server: The server.
        clock: Measures how long the database has answered, or not.
        count_fenced: Returns how many writes were refused since another server has taken a watch.
        note_history: Takes the fingerprint of the database's history at each renewal.
    """

    def __init__(
        self,
        database: Database,
        server: ServerId,
        clock: Clock,
        count_fenced: Callable[[], int],
        note_history: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._server = server
        self._clock = clock
        self._count_fenced = count_fenced
        self._note_history = note_history
        self._standing = Standing(Role.STANDBY, problem="starting")
        self._me = Server(server.id, server.name, server.node, __version__, clock.wall())
        self._roster = Roster(server.id, str(database.target))
        self._is_exclusive = False
        self._has_tables = False
        self._takeovers: Counter[Departure] = Counter()
        self._dead_sessions = DeadSessions(database)
        self._lock = threading.Lock()
        self._notify: Callable[[], None] = lambda: None
        self._wake = threading.Event()
        self._is_stopping = False
        self._announced = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state-membership", daemon=True)
        self._continuity = Continuity(clock)
        # The first end of the lease of another server, on the monotonic clock.
        self._expires_s = float("inf")
        self._is_lost = False
        self._log = structlog.get_logger("watcher").bind(state=str(database.target))

    # For the server, from any thread

    @property
    def me(self) -> Server:
        """This server."""
        return self._me

    @property
    def servers(self) -> Sequence[Server]:
        """The servers that live, this one included, by id."""
        return sorted((self._me, *self._roster.others), key=lambda each: each.id)

    @property
    def standing(self) -> Standing:
        """What the server is to the database now."""
        standing = self._standing
        # Also while a renewal has no answer at all.
        if standing.role is Role.SERVING and self._continuity.away_s >= CUT_OFF_S:
            problem = f"the database has not answered for {CUT_OFF_S:g} s"
            return replace(standing, role=Role.CUT_OFF, problem=problem)
        return standing

    @property
    def takeovers(self) -> Mapping[Departure, int]:
        """How often the server has taken a watch, by how its former owner had left it."""
        return dict.fromkeys(Departure, 0) | self._takeovers

    @property
    def fenced(self) -> int:
        """How many writes of the server were refused since another one had taken the watch."""
        return self._count_fenced()

    @property
    def may_succeed(self) -> bool:
        """Whether the server may take what belongs to one whose lease has run out."""
        return self._continuity.has_lasted(LEASE_S)

    def note_takeover(self, departure: Departure) -> None:
        """Count a watch that the server has taken."""
        with self._lock:
            self._takeovers[departure] += 1

    def end_sessions(self, server: str) -> None:
        """End the sessions of a server whose lease has run out, once.

        Args:
            server: Its id.
        """
        self._dead_sessions.end(server)

    def note_load(self, *, watches: int, entries: int, streams: int) -> None:
        """Note what the server has to do, for the others."""
        with self._lock:
            self._me = replace(self._me, watches=watches, entries=entries, streams=streams)

    def begin(self) -> None:
        """Look at the database for the first time, and prepare it if that may be done.

        Raises:
            StateError: The database cannot be used.
        """
        self._stand_by(self._prepare(self._clock.monotonic()))

    def prepare(self) -> None:
        """Make or migrate the tables, waiting for the end of a former server which may have died.

        Raises:
            StateError: A server of version 1 uses the database, or it cannot be used.
        """
        self._outwait(lambda: self._prepare(self._clock.monotonic()))

    def take(self) -> None:
        """Use the database alone, waiting for the end of servers which may have died.

        Raises:
            StateError: A server uses it, or it cannot be written.
        """
        self._is_exclusive = True
        self._outwait(self._attend)
        self._thread.start()

    def _outwait(self, attempt: Callable[[], Mapping[str, Obstacle]]) -> None:
        pauses = int((LEASE_S + RENEW_S) / POLL_S)
        outwait(attempt, lambda: self._wake.wait(POLL_S), pauses, str(self._database.target))

    def follow(self, notify: Callable[[], None]) -> None:
        """Join the servers, now or as soon as that may be done; see ``membership.Membership``.

        Raises:
            StateError: The database cannot be used.
        """
        self._notify = notify
        self._attend()
        self._thread.start()

    def leave(self) -> None:
        """Announce that the server is about to stop."""
        with self._lock:
            self._me = replace(self._me, is_leaving=True)
        self._announced.clear()
        self._wake.set()
        if self._thread.is_alive() and self._standing.role is Role.SERVING:
            self._announced.wait(LEAVE_S)

    def stop(self) -> None:
        """Leave the servers for good.

        While the database is away the lease runs out by itself.
        """
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(LEAVE_S)

    # The thread

    def _run(self) -> None:
        while True:
            self._wake.wait(self._pause_s)
            self._wake.clear()
            if self._is_stopping:
                break
            try:
                self._attend()
            except StateError as error:
                self._lose_contact(error)
        with suppress(StateError):
            if self._has_tables:
                servers.leave(self._database, self._server.id)

    @property
    def _pause_s(self) -> float:
        if self._standing.role is not Role.SERVING or self._continuity.is_interrupted:
            return POLL_S
        # An answer that took long says little about now. A server that is dead is missed at once.
        expires_in_s = self._expires_s - self._clock.monotonic() + EXPIRED_S
        return max(0.0, min(RENEW_S - self._continuity.away_s, expires_in_s))

    def _attend(self) -> Mapping[str, Obstacle]:
        """Renew the lease or register, look at the others, and stand by if that must be.

        Returns:
            Those for whom this server stands by, by id.

        Raises:
            StateError: The database cannot be used.
        """
        now_s = self._clock.monotonic()
        if self._standing.role is Role.SERVING and (others := self._renew()) is not None:
            self._note_contact(now_s)
            self._note_members(others)
            return {}
        obstacles = self._prepare(now_s)
        if not obstacles:
            obstacles = self._register(now_s)
        self._stand_by(obstacles)
        return obstacles

    def _stand_by(self, obstacles: Mapping[str, Obstacle]) -> None:
        if obstacles:
            self._change(Standing(Role.STANDBY, problem=min(obstacles.values()).problem))

    def _renew(self) -> Sequence[Member] | None:
        """Renew the lease, and return the other servers; None if this one is not registered."""
        me = self._me
        renewal = servers.renew(self._database, me, LEASE_S)
        if renewal is None:
            return None
        if me.is_leaving:
            self._announced.set()
        self._note_history(renewal.history)
        return renewal.others

    def _prepare(self, now_s: float) -> Mapping[str, Obstacle]:
        """Make or migrate the tables, unless a server of version 1 uses them; then return it."""
        if self._has_tables:
            return {}
        present = schema.find_version(self._database)
        self._note_contact(now_s)
        former = None
        if schema.needs_former_owner_gone(present):
            former = find_former_owner(self._database)
            if former is not None and not (former.has_expired and self.may_succeed):
                problem = f"standby: {former.name}, of a former version, owns the state"
                return {former.id: Obstacle(former.name, former.until, problem)}
        if former is not None:
            self._dead_sessions.end(former.id)
        schema.prepare(self._database, None if former is None else former.id)
        self._has_tables = True
        return {}

    def _register(self, now_s: float) -> Mapping[str, Obstacle]:
        """Enter the server, unless others do not allow that; then return them.

        Raises:
            StateError: The database cannot be written.
        """
        with self._database.transaction(lock_s=LEASE_S) as transaction:
            servers.lock(transaction)
            members = servers.look(transaction)
            self._note_contact(now_s)
            obstacles = find_obstacles(
                members,
                self._server.id,
                is_exclusive=self._is_exclusive,
                may_succeed=self.may_succeed,
            )
            server = None
            if not obstacles:
                is_exclusive = self._is_exclusive
                server = servers.register(
                    transaction, self._server, LEASE_S, is_exclusive=is_exclusive
                )
        if server is not None:
            with self._lock:
                self._me = replace(self._me, started_at=server.started_at)
            self._note_members(members)
            self._change(Standing(Role.SERVING))
        return obstacles

    def _note_members(self, members: Sequence[Member]) -> None:
        living = [each for each in members if not each.has_expired]
        self._dead_sessions.note_living(each.server.id for each in living)
        left_s = min((each.left_s for each in living), default=float("inf"))
        self._expires_s = self._clock.monotonic() + left_s
        if self.may_succeed:
            # At once: what waits for its locks may have to take its watches.
            for each in members:
                if each.has_expired:
                    self._dead_sessions.end(each.server.id)
        if self._roster.note(members, may_succeed=self.may_succeed):
            self._notify()

    def _change(self, standing: Standing) -> None:
        former, self._standing = self._standing, standing
        if former != standing:
            if standing.role is Role.STANDBY:
                self._roster.forget()
            self._notify()

    def _note_contact(self, now_s: float) -> None:
        """Note an answer of the database to what was sent at a time."""
        if self._continuity.note(now_s):
            self._notify()
        if self._is_lost:
            self._is_lost = False
            self._log.info("state.returned")

    def _lose_contact(self, error: StateError) -> None:
        self._continuity.interrupt()
        if not self._is_lost:
            self._is_lost = True
            self._log.warning("state.lost", error=str(error))
