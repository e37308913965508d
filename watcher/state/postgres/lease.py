"""The lease: which server owns the database, renewed every second by a thread.

It says who may begin, never who may write: that is the epoch of each watch (``steps``). Rules:

1. Only the database's clock is asked whether a lease has run out.
2. A lease that has run out is renewed as if nothing had been, unless another server has taken it.
3. A server takes the lease of another only after it has itself been in contact with the database
   for the time of a lease, without interruption. So an outage of the database moves nothing: its
   owner can renew the lease before.
4. A lease that was given back is taken at once.
5. A server that takes the lease of another ends the other's sessions before: one that was paused in
   a transaction holds locks. Each taking has a number, the tenure, which openings of watches
   compare, so that a former owner cannot open what its successor has opened.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import structlog

from watcher.errors import StateError
from watcher.state.postgres.history import FINGERPRINT
from watcher.state.postgres.server_id import session_name
from watcher.state.tenure import Departure, Owner, Role, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.clock import Clock
    from watcher.state.postgres.database import Database
    from watcher.state.postgres.server_id import ServerId

LEASE_S = 5.0
"""Seconds for which a renewal lasts. Argo Events' own election has the same."""

RENEW_S = 1.0
"""Seconds between two renewals."""

POLL_S = 0.25
"""Seconds between two looks at the lease of another server, or two tries to reach the database."""

GAP_S = 2.5
"""Seconds between two answers above which the contact counts as interrupted: half a lease, so that
the owner can still renew after a shorter gap."""

CUT_OFF_S = 10.0
"""Seconds without an answer after which an owner is cut off; its clients look for another one."""

GIVE_BACK_S = 1.0
"""Longest wait in seconds until the lease is given back when the server stops."""

_LOOK = """
    SELECT server::text, name, node, extract(epoch FROM taken_at)::float8,
        lease_until < clock_timestamp(), lease_until::text
    FROM watcher.lease
"""
_RENEW = f"""
    UPDATE watcher.lease SET lease_until = clock_timestamp() + $2 * interval '1 second'
    WHERE server = $1
    RETURNING tenure, extract(epoch FROM taken_at)::float8, {FINGERPRINT}
"""  # noqa: S608 - only constants
_TAKE = """
    UPDATE watcher.lease SET server = $1, name = $2, node = $3, tenure = tenure + 1,
        taken_at = clock_timestamp(), lease_until = clock_timestamp() + $4 * interval '1 second'
    WHERE server IS NULL OR server::text = $5 AND lease_until < clock_timestamp()
    RETURNING tenure, extract(epoch FROM taken_at)::float8
"""
_RELEASE = "UPDATE watcher.lease SET server = NULL WHERE server = $1"
_END_SESSIONS = """
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()
"""


class _Lease(NamedTuple):
    """The row of the lease.

    Attributes:
        server: Which server has it; None for nobody.
        name: Of that server.
        node: Where it runs.
        since: When it took the lease, seconds since the epoch.
        has_expired: Whether it has run out.
        until: When it runs out, as the database has it.
    """

    server: str | None
    name: str
    node: str
    since: float
    has_expired: bool
    until: str


class Lease:
    """The lease of one database, wanted by one server; implements ``tenure.Tenure``.

    Args:
        database: The database; its tables are there. The lease must not wait for a connection
            while all are in use, so it has a pool of its own.
        server: The server.
        clock: Measures how long the database has answered, or not.
        count_fenced: Returns how many writes were refused since another server has taken over.
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
        self._takeovers: Counter[Departure] = Counter()
        self._notify: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state-lease", daemon=True)
        self._contact_s = clock.monotonic()
        self._in_contact_since_s: float | None = None
        self._is_lost = False
        self._log = structlog.get_logger("watcher").bind(state=str(database.target))

    # For the server, from any thread

    @property
    def standing(self) -> Standing:
        """What the server is to the database now."""
        standing = self._standing
        # Also while a renewal has no answer at all.
        away_s = self._clock.monotonic() - self._contact_s
        if standing.role is Role.OWNER and away_s >= CUT_OFF_S:
            problem = f"the database has not answered for {CUT_OFF_S:g} s"
            return replace(standing, role=Role.CUT_OFF, problem=problem)
        return standing

    @property
    def takeovers(self) -> Mapping[Departure, int]:
        """How often the server has taken the lease, by how its former owner had left it."""
        return dict.fromkeys(Departure, 0) | self._takeovers

    @property
    def fenced(self) -> int:
        """How many writes of the server were refused since another one had taken over."""
        return self._count_fenced()

    def begin(self) -> None:
        """Look at the lease for the first time, and take it if it is free.

        Raises:
            StateError: The database cannot be used.
        """
        self._try()

    def take(self) -> None:
        """Take the lease now, waiting for the end of that of a server which may have died.

        Raises:
            StateError: Another server has it, or the database cannot be written.
        """
        lease = first = self._try()
        for _ in range(int((LEASE_S + RENEW_S) / POLL_S)):
            # Its holder is alive if it was renewed or taken since.
            if lease is None or first is None or lease.until != first.until:
                break
            self._stop.wait(POLL_S)
            lease = self._try()
        if lease is None:
            self._thread.start()
            return
        raise StateError(
            f"another server uses this database ({lease.name})",
            place=str(self._database.target),
            hint="stop it, or name another database or schema with --state",
        )

    def follow(self, notify: Callable[[], None]) -> None:
        """Take the lease as soon as it may be taken, and renew it; see ``tenure.Tenure``."""
        self._notify = notify
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back, so that the next server need not wait for its end; renew it no more.

        While the database is away the lease runs out by itself.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(GIVE_BACK_S)

    # The thread

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                self._try()
            except StateError as error:
                self._lose_contact(error)
        if self._standing.role is Role.OWNER:
            with suppress(StateError):
                self._database.fetch(_RELEASE, self._server.id)

    @property
    def _pause_s(self) -> float:
        if self._standing.role is not Role.OWNER or self._in_contact_since_s is None:
            return POLL_S
        # An answer that took long says little about now.
        return max(0.0, self._contact_s + RENEW_S - self._clock.monotonic())

    def _try(self) -> _Lease | None:
        """Renew the lease, or take it if that may be done, else return whose it is.

        Raises:
            StateError: The database cannot be used.
        """
        # Counted from before: how long the answer has taken is not known to the database.
        now_s = self._clock.monotonic()
        if self._standing.role is Role.OWNER and self._renew():
            self._note_contact(now_s)
            return None
        lease = self._look()
        self._note_contact(now_s)
        # The answer to a taking may have been lost.
        if lease.server == self._server.id and self._renew():
            return None
        if self._may_take(lease, now_s) and self._take(lease):
            return None
        self._stand_by(lease)
        return lease

    def _look(self) -> _Lease:
        ((*row,),) = self._database.fetch(_LOOK)
        return _Lease(*row)

    def _renew(self) -> bool:
        rows = self._database.fetch(_RENEW, self._server.id, LEASE_S)
        for tenure, since, history in rows:
            self._own(tenure, since)
            self._note_history(history)
        return bool(rows)

    def _may_take(self, lease: _Lease, now_s: float) -> bool:
        if lease.server is None:
            return True
        since_s = self._in_contact_since_s
        return lease.has_expired and since_s is not None and now_s - since_s >= LEASE_S

    def _take(self, former: _Lease) -> bool:
        departure = Departure.RELEASED
        if former.server is not None:
            departure = Departure.EXPIRED
            self._end_sessions(former.server)
        values = (self._server.id, self._server.name, self._server.node, LEASE_S, former.server)
        rows = self._database.fetch(_TAKE, *values)
        for tenure, since in rows:
            self._takeovers[departure] += 1
            self._log.info("state.taken", former=former.name, reason=departure)
            self._own(tenure, since)
        return bool(rows)

    def _end_sessions(self, server: str) -> None:
        try:
            ((sessions,),) = self._database.fetch(_END_SESSIONS, session_name(server))
        except StateError as error:
            # Its locks end with its transactions, which the database ends if they are idle.
            self._log.warning("state.sessions_left", error=str(error))
        else:
            if sessions:
                self._log.info("state.sessions_ended", sessions=sessions)

    def _own(self, tenure: int, since: float) -> None:
        owner = Owner(self._server.name, self._server.node, since)
        self._change(Standing(Role.OWNER, tenure, owner))

    def _stand_by(self, lease: _Lease) -> None:
        owner = None if lease.server is None else Owner(lease.name, lease.node, lease.since)
        problem = f"standby: {owner.name if owner else 'nobody'} owns the state"
        if self._standing.role is Role.OWNER:
            self._log.warning("state.fenced", owner=lease.name, owner_node=lease.node)
        self._change(Standing(Role.STANDBY, owner=owner, problem=problem))

    def _change(self, standing: Standing) -> None:
        former, self._standing = self._standing, standing
        if former != standing:
            self._notify()

    def _note_contact(self, now_s: float) -> None:
        """Note an answer of the database to what was sent at a time."""
        is_interrupted = now_s - self._contact_s > GAP_S
        was_away = self._in_contact_since_s is None
        self._contact_s = now_s
        if was_away or is_interrupted:
            self._in_contact_since_s = now_s
            self._notify()
        if self._is_lost:
            self._is_lost = False
            self._log.info("state.returned")

    def _lose_contact(self, error: StateError) -> None:
        self._in_contact_since_s = None
        if not self._is_lost:
            self._is_lost = True
            self._log.warning("state.lost", error=str(error))
