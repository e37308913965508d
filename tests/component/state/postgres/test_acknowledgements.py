"""Acknowledgements at servers that do not own a watch: marked at once, taken in by the owner."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import commit, cursor_of, join, refreshed
from support.client import wait_until
from support.state import journalled
from watcher.errors import StateError
from watcher.model import Delta, Payload
from watcher.state.following import Issuer
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore


def take_in(owner: PostgresEngine, store: PostgresStore) -> bool:
    """Have the owner take in what a survey shows."""
    return store.journal.refresh_acknowledged(owner.survey(60.0).watches[WATCH].acknowledgements)


def test_the_owner_takes_in_what_was_acknowledged_elsewhere(
    owner: PostgresEngine, owned: PostgresStore, followed: PostgresFollowed, database: Database
) -> None:
    assert followed.journal.acknowledge([2, 3, 3, 9]) == {2, 3}
    assert followed.journal.acknowledged == {2, 3}
    assert (owned.journal.acknowledged, owned.journal.cursor) == (set(), 0)
    assert take_in(owner, owned)
    assert (owned.journal.acknowledged, owned.journal.cursor) == ({2, 3}, 0)
    assert not take_in(owner, owned)
    assert followed.journal.acknowledge([1]) == {1}
    assert take_in(owner, owned)
    assert (owned.journal.acknowledged, owned.journal.cursor) == (set(), 3)
    assert (cursor_of(database), journalled(owned), owned.journal.size_bytes) == (3, [4, 5], 2)


def test_acknowledging_again_does_nothing(
    owner: PostgresEngine, owned: PostgresStore, followed: PostgresFollowed
) -> None:
    def count() -> int:
        return owner.survey(60.0).watches[WATCH].acknowledgements

    owned.journal.confirm(1, keep_s=100)
    before = count()
    assert followed.journal.acknowledge([1]) == set()
    assert count() == before
    followed.journal.acknowledge([4])
    assert count() == before + 1
    assert followed.journal.acknowledge([4]) == set()
    # The owner has yet to learn of it.
    assert owned.journal.acknowledge([4]) == set()
    assert count() == before + 1


def test_a_number_within_a_payload_acknowledges_all_of_it(
    owned: PostgresStore, followed: PostgresFollowed
) -> None:
    owned.commit(Delta(), [Payload(9, b"6-9")], changes=4)
    assert followed.journal.acknowledge([7]) == {9}
    assert followed._links.database.fetch(
        "SELECT seq FROM watcher.journal WHERE is_acknowledged"
    ) == [(9,)]


def test_followers_learn_of_acknowledgements_wherever_they_came(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    join(followed)
    owned.journal.acknowledge([2, 4], keep_s=100)
    refreshed(other)
    assert followed.journal.acknowledged == {2, 4}
    other.following.acknowledge(followed.number, [5])
    refreshed(other)
    assert followed.journal.acknowledged == {2, 4, 5}
    owned.journal.acknowledge([1], keep_s=100)
    refreshed(other)
    assert (followed.journal.cursor, followed.journal.acknowledged) == (2, {4, 5})
    owned.journal.rewind(seq=1)
    refreshed(other)
    assert (followed.journal.cursor, followed.journal.acknowledged) == (0, set())


def test_a_watch_without_an_owner_is_acknowledged_too(
    owned: PostgresStore, other: PostgresEngine
) -> None:
    """The next owner moves the cursor."""
    commit(owned, 1, 2, 3)
    owned.release()
    other.following.acknowledge(owned.number, [1, 2])
    with closing(other.open(WATCH)) as store:
        assert store.journal.acknowledged == {1, 2}
        assert take_in(other, store)
        assert (store.journal.cursor, journalled(store)) == (2, [3])


def test_watches_are_found_by_the_ids_that_they_have_given(
    owned: PostgresStore, other: PostgresEngine
) -> None:
    commit(owned, 1, 2)
    former = owned.uid
    owned.renew_ids()
    found = other.following.issuers([former, owned.uid, "0123456789abcdef", "%"])
    assert found == {
        former: Issuer(WATCH, owned.number, 3, is_present=False),
        owned.uid: Issuer(WATCH, owned.number, owned.journal.next_seq, is_present=True),
    }
    assert other.following.issuers([]) == {}


def test_acknowledgements_and_commits_at_the_same_time(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    """None is lost, whatever the owner writes meanwhile, and nothing is deadlocked."""
    last = 205
    join(followed)

    def acknowledge(seqs: Sequence[int]) -> None:
        for seq in seqs:
            wait_until(lambda: owned.journal.next_seq > seq, "it is committed", pause_s=0.001)  # noqa: B023 - called at once
            followed.journal.acknowledge([seq])

    with ThreadPoolExecutor(2) as pool:
        acknowledging = [pool.submit(acknowledge, range(start, last + 1, 3)) for start in (1, 2)]
        for seq in range(6, last + 1):
            commit(owned, seq)
            if not seq % 3:
                owned.journal.acknowledge([seq], keep_s=100)
            if not seq % 10:
                take_in(owner, owned)
        for each in acknowledging:
            each.result()
    owned.journal.acknowledge([3])
    take_in(owner, owned)
    assert (owned.journal.cursor, owned.journal.acknowledged) == (last, set())
    refreshed(other)
    assert (followed.journal.cursor, followed.journal.depth) == (last, 0)


def test_an_acknowledgement_waits_for_no_permission(
    owned: PostgresStore, followed: PostgresFollowed
) -> None:
    """But a watch that was removed has nothing to acknowledge."""
    followed._links.database.fetch("DELETE FROM watcher.counters")
    assert followed.journal.acknowledge([1]) == set()
    with pytest.raises(StateError):
        owned.journal.acknowledge([1])
