"""The lease: one owner at a time, taken over when it has run out, and kept through an outage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest

from support.client import wait_until
from support.clock import FakeClock
from support.postgres import SHARED
from watcher.errors import FencedError, StateError
from watcher.model import Delta, Identity, Payload
from watcher.state.postgres import schema
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.lease import CUT_OFF_S, GAP_S, LEASE_S, Lease
from watcher.state.postgres.server_id import ServerId
from watcher.state.tenure import Departure, Role, owned

WATCH = Identity("", "orders", "file:///data/in")
RUN_OUT = "UPDATE watcher.lease SET lease_until = clock_timestamp() - interval '1 second'"
HAS_RUN_OUT = "SELECT lease_until < clock_timestamp() FROM watcher.lease"

MakeLease = Callable[..., Lease]


@pytest.fixture
def database(database: Database) -> Database:
    schema.prepare(database)
    return database


@pytest.fixture
def make(url: str, clock: FakeClock, database: Database) -> Iterator[MakeLease]:  # noqa: ARG001 - has the tables
    """Make leases of servers; each has connections of its own."""
    with ExitStack() as stack:

        def make_it(name: str, node: str = "") -> Lease:
            server = ServerId(name, node)
            own = stack.enter_context(closing(Database(parse_url(url), server.session_name)))
            lease = Lease(own, server, clock, lambda: 0)
            stack.callback(lease.stop)
            return lease

        yield make_it


def pause(lease: Lease) -> None:
    """Have a lease renewed no more, as if its process were stopped; nothing is given back."""
    lease._database = closed = Database(lease._database.target, "paused")
    closed.close()


def has_run_out(database: Database) -> bool:
    ((has_run_out,),) = database.fetch(HAS_RUN_OUT)
    return bool(has_run_out)


def look(lease: Lease) -> Role:
    """Have a lease that has no thread look once, and return the role of its server."""
    lease._try()
    return lease.standing.role


def test_a_second_program_is_refused_as_soon_as_the_owner_is_seen_to_live(
    make: MakeLease,
) -> None:
    make("holder").take()
    with pytest.raises(StateError, match=r"another server uses this database \(holder\)"):
        make("other").take()


def test_a_lease_that_was_given_back_is_taken_at_once(make: MakeLease) -> None:
    holder, other = make("holder", "node-a"), make("other")
    holder.take()
    assert look(other) is Role.STANDBY
    owner = other.standing.owner
    assert owner is not None
    assert (owner.name, owner.node) == ("holder", "node-a")
    assert other.standing.problem == "standby: holder owns the state"
    holder.stop()
    assert look(other) is Role.OWNER
    assert other.takeovers == {Departure.RELEASED: 1, Departure.EXPIRED: 0}
    assert other.standing.tenure == holder.standing.tenure + 1


class Standby:
    """A server that looks at the lease of another each second of a fake clock."""

    def __init__(self, lease: Lease, clock: FakeClock) -> None:
        self.lease = lease
        self._clock = clock

    def look(self, seconds: int) -> Role:
        for _ in range(seconds):
            self._clock.advance(1.0)
            look(self.lease)
        return self.lease.standing.role


@pytest.fixture
def standby(make: MakeLease, clock: FakeClock, database: Database) -> Standby:
    """Stand by while the lease of the owner has run out; it is not renewed."""
    holder, other = make("holder"), make("other")
    holder.take()
    pause(holder)
    database.fetch(RUN_OUT)
    assert look(other) is Role.STANDBY
    return Standby(other, clock)


def test_nobody_takes_the_lease_of_another_before_a_whole_lease_of_contact(
    standby: Standby,
) -> None:
    assert standby.look(int(LEASE_S) - 1) is Role.STANDBY
    assert standby.look(1) is Role.OWNER
    assert standby.lease.takeovers == {Departure.RELEASED: 0, Departure.EXPIRED: 1}


@pytest.mark.parametrize("interruption", ["the database is away", "the server sleeps"])
def test_an_interruption_begins_the_contact_anew(
    standby: Standby, clock: FakeClock, interruption: str
) -> None:
    standby.look(int(LEASE_S) - 1)
    if interruption == "the server sleeps":
        clock.advance(GAP_S)
    else:
        standby.lease._lose_contact(StateError(interruption))
    assert standby.look(int(LEASE_S)) is Role.STANDBY
    assert standby.look(1) is Role.OWNER


def test_a_lease_that_has_run_out_is_renewed_if_nobody_took_it(
    make: MakeLease, database: Database
) -> None:
    """As after an outage of the database; its thread does it by itself."""
    holder = make("holder")
    holder.take()
    number = holder.standing.tenure
    database.fetch(RUN_OUT)
    wait_until(lambda: not has_run_out(database), "the lease is renewed")
    assert (holder.standing.role, holder.standing.tenure) == (Role.OWNER, number)


def test_a_former_owner_knows_its_successor_and_may_follow_it(
    make: MakeLease, database: Database
) -> None:
    former = make("former")
    notified: list[Role] = []
    former.begin()
    former.follow(lambda: notified.append(former.standing.role))
    assert former.standing.role is Role.OWNER
    database.fetch(
        "UPDATE watcher.lease SET server = $1, name = 'successor', tenure = tenure + 1, "
        "lease_until = clock_timestamp() + interval '1 hour'",
        ServerId().id,
    )
    wait_until(lambda: former.standing.role is Role.STANDBY, "it knows")
    assert former.standing.problem == "standby: successor owns the state"
    database.fetch("UPDATE watcher.lease SET server = NULL")
    wait_until(lambda: former.standing.role is Role.OWNER, "it owns the state again")
    assert former.standing.tenure == 3
    assert notified[-2:] == [Role.STANDBY, Role.OWNER]


def test_an_owner_without_answers_is_cut_off_until_the_next_one(
    make: MakeLease, clock: FakeClock
) -> None:
    """The time counts from before the last renewal that was answered."""
    holder = make("holder")
    look(holder)
    clock.advance(CUT_OFF_S - 0.1)
    assert holder.standing.role is Role.OWNER
    clock.advance(0.1)
    standing = holder.standing
    assert standing.role is Role.CUT_OFF
    assert standing.problem == "the database has not answered for 10 s"
    assert standing.tenure == 1
    assert look(holder) is Role.OWNER


def test_an_answer_to_a_taking_that_was_lost_is_found_at_the_next_look(make: MakeLease) -> None:
    lease = make("one")
    look(lease)
    taken = lease.standing
    lease._stand_by(lease._look())
    assert lease.standing.role is Role.STANDBY
    assert look(lease) is Role.OWNER
    assert lease.standing == taken
    assert sum(lease.takeovers.values()) == 1


def test_sessions_of_the_former_owner_are_ended(
    standby: Standby, database: Database, url: str
) -> None:
    """Also one that was paused in a transaction, here without a timeout, and holds locks."""
    ((server,),) = database.fetch("SELECT server::text FROM watcher.lease")
    name = ServerId(id=server).session_name
    with closing(psycopg.connect(SHARED.get().url, application_name=name)) as former:
        former.execute(f"LOCK TABLE {parse_url(url).schema}.counters".encode())
        assert standby.look(int(LEASE_S)) is Role.OWNER
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1"
        wait_until(lambda: not database.fetch(query, name), "it has ended")
        assert database.fetch("SELECT count(*) FROM watcher.counters") == [(0,)]


def test_a_server_that_was_taken_over_opens_and_removes_nothing(
    url: str, clock: FakeClock, database: Database
) -> None:
    """Neither when it knows, nor before, nor what its successor has opened."""
    with owned(PostgresEngine(url, clock)) as former:
        former.open(WATCH).close()
        database.fetch("UPDATE watcher.lease SET server = $1, tenure = tenure + 1", ServerId().id)
        database.fetch("UPDATE watcher.counters SET tenure = 2")
        with pytest.raises(StateError, match="another server has taken over this database"):
            former.open(WATCH)
        former.remove(WATCH)
        assert set(former.summaries()) == {WATCH}
        with database.transaction() as transaction:
            # As if the taking had come between the two looks of an opening.
            transaction.fetch("UPDATE watcher.lease SET server = $1, tenure = 1", former._server.id)
        with pytest.raises(StateError, match="another server has taken over this database"):
            former.open(WATCH)


def test_writes_of_a_former_owner_are_counted(
    url: str, clock: FakeClock, database: Database
) -> None:
    with owned(PostgresEngine(url, clock)) as engine:
        store = engine.open(WATCH)
        assert engine.tenure.fenced == 0
        database.fetch("UPDATE watcher.counters SET epoch = epoch + 1")
        with pytest.raises(FencedError):
            store.commit(Delta(), [Payload(1, b"x")], changes=1)
        assert engine.tenure.fenced == 1


def test_the_next_server_begins_at_once(url: str, clock: FakeClock) -> None:
    for name in ("one", "two"):
        with owned(PostgresEngine(url, clock, name)) as engine:
            engine.probe()
