"""Streams of a watch whose owner changes: none has a gap, and none misses what is committed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from component.state.postgres.sharing import commit
from support.clock import FakeClock
from support.publishing import write
from watcher.delivery.audience import Subscriber
from watcher.delivery.subscription import Subscription
from watcher.errors import AwayError, FencedError
from watcher.settings import WatchLimits
from watcher.spec import Confirm, DirectorySpec, Spec
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.openings import Claim
from watcher.state.postgres.store import PostgresStore
from watcher.watch.followed_watch import FollowedWatch

EXPIRE = "UPDATE watcher.server SET lease_until = clock_timestamp() - '1 s'::interval"
MOVE_CURSOR = "UPDATE watcher.counters SET cursor = 3"
LIMITED = {"confirm": Confirm.ACK, "max_unacknowledged": 9}
WHICH = [None, {1}]
"""A look at all watches, and one at the only one, of which there was news."""


class Followed:
    """A followed watch and what looks at it; its streams are read by the test."""

    def __init__(
        self,
        engine: PostgresEngine,
        store: PostgresFollowed,
        clock: FakeClock,
        **keys: Any,  # noqa: ANN401 - any field of a spec
    ) -> None:
        spec = Spec(DirectorySpec("/data"), **keys)
        self.watch = FollowedWatch(spec, store, WatchLimits(math.inf, 0.0), clock)
        self.notified = 0
        self._following = engine.following

    def join(self) -> Subscription:
        with self.watch.store.join():
            return self.watch.publisher.subscribe(Subscriber(self._note))

    def look(self, which: set[int] | None = None) -> None:
        """Publish what is new, as the thread does that looks at all followed watches."""
        for found in self._following.refresh(which):
            self.watch.publisher.take(found)

    def _note(self) -> None:
        self.notified += 1


@pytest.fixture
def taken(
    owner: PostgresEngine,
    followed: PostgresFollowed,
    other: PostgresEngine,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PostgresStore]:
    """Return the watch on the server that has followed it, and has taken it from a paused one."""
    database.fetch(EXPIRE)
    claim = Claim(other.membership.me.id, owner.membership.me.id)
    monkeypatch.setattr(other, "_claim", lambda _: claim)
    store = other.open(followed.identity)
    yield store
    store.close()


@pytest.mark.parametrize("which", WHICH)
def test_a_look_before_the_first_stream_takes_nothing_from_it(
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    clock: FakeClock,
    which: set[int] | None,
) -> None:
    """A watch that is being made is not known yet to the thread that looks."""
    watched = Followed(other, followed, clock)
    owned.journal.confirm(5)
    commit(owned, 6)
    assert not [*other.following.refresh(which)]
    stream = watched.join()
    watched.look(which)
    assert write(stream) == [6]
    commit(owned, 7)
    watched.look(which)
    assert write(stream) == [7]


@pytest.mark.parametrize("failures", [1, 2])
def test_payloads_that_came_while_the_database_went_away_are_written(
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
) -> None:
    """They were read, and what else was to be asked had no answer."""
    watched = Followed(other, followed, FakeClock(), **LIMITED)
    owned.journal.acknowledge(range(1, 6))
    stream = watched.join()
    watched.look()
    assert not write(stream)
    count, left = followed.journal.count_unconfirmed, failures

    def fail(after_seq: int, *, limit: int) -> Any:  # noqa: ANN401 - as what it stands for
        nonlocal left
        if left:
            left -= 1
            raise AwayError("away")
        return count(after_seq, limit=limit)

    monkeypatch.setattr(followed.journal, "count_unconfirmed", fail)
    commit(owned, 6)
    for _ in range(failures):
        with pytest.raises(AwayError):
            watched.look()
    before = watched.notified
    watched.look()
    assert watched.notified > before
    assert write(stream) == [6]


@pytest.mark.parametrize("after_seq", [0, 1, 2])
def test_a_former_owner_reads_no_journal_with_a_gap(
    owned: PostgresStore, taken: PostgresStore, after_seq: int
) -> None:
    """It was paused, and does not know yet that another server confirms what its streams lack."""
    assert [each.seq for each in owned.journal.read(after_seq, limit=1, max_bytes=99)]
    taken.journal.confirm(3)
    with pytest.raises(FencedError):
        owned.journal.read(after_seq, limit=9, max_bytes=99)
    assert isinstance(owned.failure, FencedError)


def test_an_owner_reads_on_after_a_confirmation_whose_answer_was_lost(
    owned: PostgresStore, followed: PostgresFollowed, database: Database
) -> None:
    assert followed.journal.cursor == 0
    database.fetch(MOVE_CURSOR)
    assert [each.seq for each in owned.journal.read(3, limit=9, max_bytes=99)] == [4, 5]
    commit(owned, 6)
