"""The survey of the watches that servers share."""

from __future__ import annotations

from contextlib import closing

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import commit, join, report
from support.state import add
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore
from watcher.state.requests import RequestKind
from watcher.state.survey import Reader

DAY_S = 86_400.0


def test_a_survey_shows_owner_and_readers(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    add(owned, b"a", b"b")
    owned.note_streams(3)
    owner.following.report()
    join(followed, 2)
    report(other, followed, 4)
    other.requests.post([owned.number] * 2, RequestKind.HINT)
    for engine in (owner, other):
        (watch,) = engine.survey(0.0).watches.values()
        assert (watch.identity, watch.number) == (WATCH, owned.number)
        assert watch.owner == followed.owner == owner.membership.me.id
        assert (watch.epoch, watch.entries) == (followed.epoch, 2)
        assert (watch.streams, watch.requests, watch.node) == (3, 2, None)
        assert watch.readers == (Reader(other.membership.me.id, 2, 4),)
        assert (watch.streams_elsewhere, watch.confirmed_elsewhere) == (2, 4)


def test_watches_without_owner_and_readers_are_shown_for_a_while(
    owner: PostgresEngine, owned: PostgresStore, database: Database
) -> None:
    owned.release()
    database.fetch("UPDATE watcher.watch SET used_at = extract(epoch FROM clock_timestamp()) - 50")
    assert WATCH not in owner.survey(10.0).watches
    watch = owner.survey(100.0).watches[WATCH]
    assert (watch.owner, watch.readers, watch.confirmed_elsewhere) == (None, (), None)


def test_the_streams_of_a_dead_server_are_not_shown(
    owner: PostgresEngine, owned: PostgresStore, followed: PostgresFollowed, database: Database
) -> None:
    join(followed)
    followed_by = "00000000-0000-0000-0000-000000000001"
    database.fetch(
        "INSERT INTO watcher.server (id, name, node, version, lease_until) "
        "VALUES ($1::uuid, 'dead', '', '', '-infinity')",
        followed_by,
    )
    database.fetch("UPDATE watcher.reader SET server = $1::uuid", followed_by)
    surveyor = owner._sharing._surveyor
    surveyor._judges = lambda: True
    assert owner.survey(0.0).watches[WATCH].readers == ()
    surveyor._judges = lambda: False
    assert owner.survey(0.0).watches[WATCH].readers == (Reader(followed_by, 1, 0),)
    assert owned.failure is None


def test_streams_of_a_former_owner_are_not_written(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine
) -> None:
    owned.note_streams(3)
    owned.release()
    with closing(other.open(WATCH)) as store:
        commit(store, 1)
        owner.following.report()
        assert other.survey(0.0).watches[WATCH].streams == 0


def test_a_survey_follows_watches_that_come_and_go(owner: PostgresEngine) -> None:
    identities = [WATCH._replace(name=f"watch-{number}") for number in range(3)]
    for identity in identities:
        owner.open(identity).close()
    assert {*owner.survey(0.0).watches} == {*identities}
    with closing(owner.open(identities[0])) as store:
        store.release()
    owner.remove(identities[0])
    assert {*owner.survey(DAY_S).watches} == {*identities[1:]}
