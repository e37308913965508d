"""Membership: who lives, who may succeed whom, and what an outage leaves as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import psycopg
import pytest

from component.state.postgres.conftest import LONG_LEASE_S
from support.client import wait_until
from support.clock import FakeClock
from support.logs import captured_logs
from support.postgres import SHARED
from watcher.errors import StateError
from watcher.state.membership import Role
from watcher.state.postgres import membership as membership_module
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.continuity import GAP_S
from watcher.state.postgres.database import Database
from watcher.state.postgres.membership import CUT_OFF_S, LEASE_S, PostgresMembership
from watcher.state.postgres.server_id import ServerId

pytestmark = pytest.mark.usefixtures("long_leases")

EXPIRE = "UPDATE watcher.server SET lease_until = clock_timestamp() - interval '1 second'"
HAS_EXPIRED = "SELECT bool_or(lease_until < clock_timestamp()) FROM watcher.server"

Make = Callable[..., PostgresMembership]


@pytest.fixture
def make(url: str, clock: FakeClock) -> Iterator[Make]:
    """Make memberships of servers; each has connections of its own."""
    with ExitStack() as stack:

        def make_it(name: str, node: str = "") -> PostgresMembership:
            server = ServerId(name, node)
            own = stack.enter_context(closing(Database(parse_url(url), server.session_name)))
            membership = PostgresMembership(own, server, clock, lambda: 0)
            stack.callback(membership.stop)
            membership.begin()
            return membership

        yield make_it


def pause(membership: PostgresMembership) -> None:
    """Have a lease renewed no more, as if the process were stopped; nothing is given back."""
    membership._database = closed = Database(membership._database.target, "paused")
    closed.close()


def ignore() -> None:
    """Take no notice."""


def names(membership: PostgresMembership) -> list[str]:
    return sorted(server.name for server in membership.servers)


def role(membership: PostgresMembership) -> Role:
    return membership.standing.role


def may_succeed(membership: PostgresMembership) -> bool:
    return membership.may_succeed


def attend(membership: PostgresMembership, clock: FakeClock, seconds: int) -> None:
    """Have a membership without a thread attend each second of a fake clock."""
    for _ in range(seconds):
        clock.advance(1.0)
        membership._attend()


def come_back(membership: PostgresMembership) -> None:
    """Have a membership attend whose sessions were ended, or are about to be."""
    with suppress(StateError):
        membership._attend()
    membership._attend()


# Servers


def test_servers_know_each_other_and_what_they_have_to_do(make: Make) -> None:
    one, two = make("one", "node-a"), make("two")
    notified: list[int] = []
    one.follow(lambda: notified.append(1))
    assert (role(one), names(one)) == (Role.SERVING, ["one"])
    two.note_load(watches=3, entries=40, streams=5)
    with captured_logs() as logs:
        two.follow(ignore)
        assert names(two) == ["one", "two"]
        wait_until(lambda: names(one) == ["one", "two"], "one knows of two")
    assert notified
    assert [line["other"] for line in logs if line["event"] == "server.joined"] == ["two"]

    def load() -> tuple[int, int, int]:
        (other,) = (server for server in one.servers if server.name == "two")
        return other.watches, other.entries, other.streams

    wait_until(lambda: load() == (3, 40, 5), "the load of two is known")
    (known,) = (server for server in two.servers if server.name == "one")
    assert known.node == "node-a"
    assert known.started_at == one.me.started_at
    assert known.version == one.me.version


def test_a_server_that_leaves_is_known_to_at_once(make: Make) -> None:
    one, two = make("one"), make("two")
    one.follow(ignore)
    two.follow(ignore)
    two.leave()
    assert two.me.is_leaving
    wait_until(lambda: any(each.is_leaving for each in one.servers), "one knows that two leaves")
    with captured_logs() as logs:
        two.stop()
        wait_until(lambda: names(one) == ["one"], "two has left")
    assert [line["event"] for line in logs] == ["server.left"]


def test_a_server_that_is_not_heard_of_is_lost_and_comes_back(
    make: Make, clock: FakeClock, database: Database
) -> None:
    one, two = make("one"), make("two")
    for membership in (two, one, two):
        membership._attend()
    attend(one, clock, int(LEASE_S))
    database.fetch(f"{EXPIRE} WHERE name = 'two'")
    with captured_logs() as logs:
        one._attend()
        assert names(one) == ["one"]
        come_back(two)
        one._attend()
        assert names(one) == ["one", "two"]
    events = [line["event"] for line in logs]
    assert events == ["state.sessions_ended", "server.lost", "server.joined"]


def test_a_server_looks_when_the_lease_of_another_one_would_run_out(
    make: Make, clock: FakeClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time until it looks does not add to the time of the lease."""
    monkeypatch.setattr(membership_module, "RENEW_S", 1_000.0)
    one, two = make("one"), make("two")
    for membership in (two, one):
        membership._attend()
    clock.advance(1.0)
    assert 0 < one._pause_s < LONG_LEASE_S
    database.fetch(f"{EXPIRE} WHERE name = 'two'")
    one._attend()
    assert one._pause_s == membership_module.RENEW_S


def test_after_an_outage_nobody_is_lost(make: Make, clock: FakeClock, database: Database) -> None:
    one, two = make("one"), make("two")
    for membership in (two, one, two):
        membership._attend()
    attend(one, clock, int(LEASE_S) + 1)
    assert may_succeed(one)
    one._lose_contact(StateError("the database is away"))
    database.fetch(EXPIRE)
    assert not may_succeed(one)
    with captured_logs() as logs:
        attend(one, clock, int(LEASE_S) - 1)
        assert names(one) == ["one", "two"]
        assert not may_succeed(one)
        two._attend()
        attend(one, clock, 3)
    assert names(one) == ["one", "two"]
    assert may_succeed(one)
    assert [line["event"] for line in logs] == ["state.returned"]


@pytest.mark.parametrize("interruption", ["the database is away", "the server sleeps"])
def test_nobody_succeeds_another_before_a_whole_lease_of_contact(
    make: Make, clock: FakeClock, interruption: str
) -> None:
    one = make("one")
    one._attend()
    attend(one, clock, int(LEASE_S) - 1)
    assert not may_succeed(one)
    attend(one, clock, 1)
    assert may_succeed(one)
    if interruption == "the server sleeps":
        clock.advance(GAP_S + 0.1)
        assert not may_succeed(one)
    else:
        one._lose_contact(StateError(interruption))
    attend(one, clock, int(LEASE_S))
    assert not may_succeed(one)
    attend(one, clock, 1)
    assert may_succeed(one)


def test_a_lease_that_has_run_out_is_renewed(make: Make, database: Database) -> None:
    """As after an outage of the database; its thread does it by itself."""
    one = make("one")
    one.follow(ignore)
    started_at = one.me.started_at
    for change in (EXPIRE, "DELETE FROM watcher.server"):
        database.fetch(change)
        wait_until(lambda: database.fetch(HAS_EXPIRED) == [(False,)], "the lease is renewed")
        assert role(one) is Role.SERVING
    assert one.me.started_at > started_at


def test_a_server_without_answers_is_cut_off_until_the_next_one(
    make: Make, clock: FakeClock
) -> None:
    """The time counts from before the last renewal that was answered."""
    one = make("one")
    one._attend()
    clock.advance(CUT_OFF_S - 0.1)
    assert role(one) is Role.SERVING
    clock.advance(0.1)
    standing = one.standing
    assert standing.role is Role.CUT_OFF
    assert standing.problem == "the database has not answered for 10 s"
    one._attend()
    assert role(one) is Role.SERVING


def test_servers_that_are_gone_for_long_are_forgotten(make: Make, database: Database) -> None:
    """But for those that own a watch; the readers of the others with them."""
    owner, other = make("owner"), make("other")
    for membership in (owner, other):
        membership._attend()
        database.fetch("INSERT INTO watcher.reader VALUES (1, $1, 1, 0, 0)", membership.me.id)
    database.fetch("INSERT INTO watcher.counters (watch, owner) VALUES (1, $1)", owner.me.id)
    database.fetch("UPDATE watcher.server SET lease_until = clock_timestamp() - interval '2 hours'")
    make("new")._attend()
    assert sorted(database.fetch("SELECT name FROM watcher.server")) == [("new",), ("owner",)]
    assert database.fetch("SELECT server::text FROM watcher.reader") == [(owner.me.id,)]


def test_the_sessions_of_a_dead_server_are_ended_once_each_time_it_dies(
    make: Make, database: Database, url: str
) -> None:
    """Also one that was paused in a transaction, here without a timeout, and holds locks."""
    one, two = make("one"), make("two")
    two._attend()
    name = ServerId(id=two.me.id).session_name
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"

    def connect() -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(SHARED.get().url, application_name=name)

    for _ in range(2):
        with closing(connect()) as paused:
            paused.execute(f"LOCK TABLE {parse_url(url).schema}.counters".encode())
            one.end_sessions(two.me.id)
            wait_until(lambda: database.fetch(query, name) == [(0,)], "they have ended")
        with closing(connect()):
            one.end_sessions(two.me.id)
            assert database.fetch(query, name) == [(1,)]
        two._attend()
        one._attend()


# Programs that work alone


def test_a_program_that_works_alone_is_refused_as_soon_as_a_server_is_seen_to_live(
    make: Make,
) -> None:
    make("holder").follow(ignore)
    with pytest.raises(StateError, match=r"another server uses this database \(holder\)"):
        make("other").take()
    alone = make("alone")
    for server in (make("second"), alone):
        with pytest.raises(StateError, match="holder"):
            server.take()


def test_servers_stand_by_for_a_program_that_works_alone(make: Make) -> None:
    alone, server = make("alone"), make("server")
    alone.take()
    assert role(alone) is Role.SERVING
    server.follow(ignore)
    assert role(server) is Role.STANDBY
    assert server.standing.problem == "standby: alone uses the state alone"
    with pytest.raises(StateError, match=r"\(alone\)"):
        make("other").take()
    alone.stop()
    wait_until(lambda: role(server) is Role.SERVING, "the server serves")


def test_a_server_whose_lease_has_run_out_gives_way_to_a_program_that_works_alone(
    make: Make, clock: FakeClock, database: Database
) -> None:
    """It was paused; nobody waits for it longer than for a lease."""
    server, alone = make("server"), make("alone")
    server._attend()
    database.fetch(EXPIRE)
    alone._is_exclusive = True
    attend(alone, clock, int(LEASE_S) - 1)
    assert role(alone) is Role.STANDBY
    attend(alone, clock, 1)
    assert role(alone) is Role.SERVING
    come_back(server)
    assert server.standing.problem == "standby: alone uses the state alone"
    assert database.fetch("SELECT name FROM watcher.server WHERE is_exclusive") == [("alone",)]
