"""Reports of watches: each server writes those that it owns, and reads those of the others."""

from __future__ import annotations

import uuid

import pytest

from support.clock import FakeClock
from watcher.model import Identity
from watcher.state.postgres import schema
from watcher.state.postgres.database import Database
from watcher.state.postgres.shared_status import PostgresStatus
from watcher.state.shared_status import SharedReport

FIRST, SECOND = str(uuid.uuid4()), str(uuid.uuid4())
WATCHES = (Identity("alice", "a", "file:///a"), Identity("", "b", "file:///b"))


@pytest.fixture
def numbers(database: Database) -> list[int]:
    """Make the tables, and two watches of the first server."""
    schema.prepare(database)
    numbers = []
    for watch in WATCHES:
        ((number,),) = database.fetch(
            "INSERT INTO watcher.watch (digest, principal, name, place, uid, used_at, history) "
            "VALUES ($1, $2, $3, $4, $1, 0, '') RETURNING id",
            watch.digest,
            *watch,
        )
        database.fetch(
            "INSERT INTO watcher.counters (watch, owner) VALUES ($1, $2::uuid)", number, FIRST
        )
        numbers.append(number)
    return numbers


def test_reports_are_shown_by_the_others(
    database: Database, clock: FakeClock, numbers: list[int]
) -> None:
    """To the principal of the watch alone; the newest replaces the ones before."""
    first, second = (PostgresStatus(database, each, clock) for each in (FIRST, SECOND))
    first.write({numbers[0]: '{"a": 1}', numbers[1]: '{"b": 1}'})
    first.write({numbers[0]: '{"a": "\\u0000\\ud800 é"}'})
    now_s = clock.wall()
    shown = SharedReport(WATCHES[0], FIRST, now_s, '{"a": "\\u0000\\ud800 é"}')
    assert second.read("alice") == [shown]
    assert second.read("") == [SharedReport(WATCHES[1], FIRST, now_s, '{"b": 1}')]
    assert second.read("nobody") == first.read("alice") == []


def test_a_former_owner_reports_nothing(
    database: Database, clock: FakeClock, numbers: list[int]
) -> None:
    first, second = (PostgresStatus(database, each, clock) for each in (FIRST, SECOND))
    first.write({numbers[0]: "{}"})
    second.write({numbers[0]: '{"not": "mine"}', 99: "{}"})
    assert [each.report for each in second.read("alice")] == ["{}"]
    database.fetch(
        "UPDATE watcher.counters SET owner = $2::uuid WHERE watch = $1", numbers[0], SECOND
    )
    second.write({numbers[0]: '{"now": "mine"}'})
    first.write({numbers[0]: "{}"})
    assert second.read("alice") == []
    assert [each.report for each in first.read("alice")] == ['{"now": "mine"}']


def test_all_have_one_secret(database: Database, clock: FakeClock, numbers: list[int]) -> None:
    assert numbers
    secrets = {PostgresStatus(database, each, clock).secret() for each in (FIRST, SECOND)}
    ((kept,),) = database.fetch("SELECT value FROM watcher.setting WHERE key = 'page_secret'")
    assert secrets == {bytes.fromhex(kept)}
    assert len(bytes.fromhex(kept)) == 32
