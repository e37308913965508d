"""Requests to the owner of a watch: carried out at least once, and answered if it lives."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import cursor_of, join, refreshed
from support.client import wait_until
from watcher.errors import ConflictError, FencedError, StateError, UnavailableError
from watcher.limits.deadline import limited
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore
from watcher.state.requests import Request, RequestKind

RELEASE = RequestKind.RELEASE


def take(engine: PostgresEngine) -> Request:
    """Wait for a request."""
    found: list[Request] = []

    def look() -> bool:
        found.extend(engine.requests.take())
        return bool(found)

    wait_until(look, "there is a request")
    (request,) = found
    return request


def count(database: Database) -> int:
    ((rows,),) = database.fetch("SELECT count(*) FROM watcher.request")
    return int(rows)


def test_an_owner_answers(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, database: Database
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(
            other.requests.ask, owned.number, RequestKind.RELEASE_MOUNT, {"prefix": "a/ü"}
        )
        request = take(owner)
        assert (request.watch, request.kind) == (owned.number, RequestKind.RELEASE_MOUNT)
        assert request.argument == {"prefix": "a/ü"}
        # It is not handed out twice while it is carried out.
        assert owner.requests.take() == []
        owner.requests.answer(request, {"rows": 3})
        assert asking.result() == {"rows": 3}
    assert count(database) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConflictError("no", place="x", hint="y"), ConflictError), (FencedError("no"), StateError)],
)
def test_an_owner_refuses(
    owner: PostgresEngine,
    owned: PostgresStore,
    other: PostgresEngine,
    error: ConflictError,
    kind: type[Exception],
) -> None:
    """The error is the one that it would be here."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(other.requests.ask, owned.number, RELEASE)
        owner.requests.refuse(take(owner), error)
        with pytest.raises(kind) as raised:
            asking.result()
    assert str(raised.value) == str(error)
    assert type(raised.value) is kind


def test_a_request_that_nobody_takes_is_withdrawn(
    owned: PostgresStore, other: PostgresEngine, database: Database
) -> None:
    with limited(0.5), pytest.raises(UnavailableError, match="nothing was done"):
        other.requests.ask(owned.number, RELEASE)
    assert count(database) == 0


def test_an_owner_that_does_not_answer_may_do_it_later(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine
) -> None:
    def ask() -> object:
        with limited(2):
            return other.requests.ask(owned.number, RELEASE)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        take(owner)
        with pytest.raises(UnavailableError, match="later"):
            asking.result()


def test_the_next_owner_takes_what_the_last_one_has_not_done(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine
) -> None:
    """Also if that is the same server."""
    owner.requests.post([owned.number], RELEASE)
    first = take(owner)
    with closing(owner.open(WATCH)) as again:
        assert take(owner) == first
        assert owner.requests.take() == []
        again.release()
    with closing(other.open(WATCH)):
        assert take(other) == first
        other.requests.answer(first)
        assert other.requests.take() == []


def test_an_answer_is_written_once_the_database_is_back(
    owner: PostgresEngine, owned: PostgresStore, database: Database
) -> None:
    owner.requests.post([owned.number], RELEASE)
    request = take(owner)
    owner._database.close()
    with pytest.raises(StateError):
        owner.requests.answer(request, {"done": True})
    owner._database._is_closed = False
    assert owner.requests.take() == []
    assert database.fetch("SELECT answer FROM watcher.request") == [('{"answer": {"done": true}}',)]


def test_old_requests_are_forgotten(
    owner: PostgresEngine, owned: PostgresStore, database: Database
) -> None:
    owner.requests.post([owned.number], RELEASE)
    database.fetch("UPDATE watcher.request SET asked_at = asked_at - interval '61 s'")
    owner.requests.post([owned.number], RELEASE)
    owner.survey(60.0)
    assert count(database) == 1


def test_a_replay_that_a_follower_asks_for(
    owner: PostgresEngine,
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    database: Database,
) -> None:
    """The streams are rewound once: by the replay, or by a refreshing."""
    owned.journal.confirm(4, keep_s=100)
    refreshed(other)
    join(followed)

    def replay(seq: int) -> Future[int]:
        asking = pool.submit(followed.journal.rewind, seq=seq)
        request = take(owner)
        assert request.kind == RequestKind.REPLAY
        before = owned.journal.cursor
        cursor = owned.journal.rewind(seq=request.argument["seq"])
        owner.requests.answer(request, {"start": cursor + 1, "stop": before + 1})
        return asking

    with ThreadPoolExecutor(1) as pool:
        assert replay(3).result() == cursor_of(database) == followed.journal.cursor == 2
        assert [each.rewound_to for each in refreshed(other)] in ([None], [])
        owned.journal.confirm(4, keep_s=100)
        assert owned.journal.cursor == 2
        # The follower does not know how far the cursor is.
        followed.note_streams(0)
        other.following.report()
        owned.journal.confirm(4, keep_s=100)
        assert replay(4).result() == 3
        assert [each.rewound_to for each in refreshed(other)] == [3]
