"""Followers: they read what the owner commits, and are told of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from component.state.postgres.sharing import (
    commit,
    cursor_of,
    join,
    joining,
    readers_of,
    refreshed,
    report,
    seqs_of,
)
from support.client import wait_until
from support.clock import FakeClock
from support.state import joined
from watcher.errors import StateError
from watcher.model import Delta, Payload
from watcher.state.news import Topic
from watcher.state.postgres import followed_journal
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.store import PostgresStore

OTHER = WATCH._replace(name="other")


def test_a_follower_reads_what_the_owner_has_committed(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    journal = followed.journal
    assert followed.owner is not None
    assert (followed.uid, journal.next_seq, journal.cursor) == (owned.uid, 6, 0)
    assert [each.seq for each in journal.read(2, limit=9, max_bytes=99)] == [3, 4, 5]
    join(followed)
    assert not seqs_of(refreshed(other))
    commit(owned, 6, 7)
    assert seqs_of(refreshed(other)) == [6, 7]
    assert (journal.next_seq, journal.depth) == (8, 7)
    assert not refreshed(other)


def test_what_a_follower_is_asked_to_show_follows_the_owner(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    before = followed.is_baselined
    join(followed)
    owned.set_meta(baselined="1")
    former = owned.uid
    owned.renew_ids()
    (found,) = refreshed(other)
    assert found.store is followed
    assert (before, followed.is_baselined) == (False, True)
    assert (followed.uid, [*followed.former_uids]) == (owned.uid, [former])
    owned.release()
    refreshed(other)
    assert followed.owner is None


def test_many_payloads_are_published_page_by_page(
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(followed_journal, "PAGE_BYTES", 10)
    monkeypatch.setattr(followed_journal, "PAGE_PAYLOADS", 3)
    join(followed)
    sizes = [4, 4, 4, 30, 1, 1, 1, 1, 1]
    owned.commit(Delta(), [Payload(6 + i, b"x" * n) for i, n in enumerate(sizes)], changes=9)
    pages = [[len(payload.data) for payload in each.payloads] for each in refreshed(other)]
    assert pages == [[4, 4], [4], [30], [1, 1, 1], [1, 1]]


def test_a_reading_of_payloads_tells_which_may_be_missing(
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that counts as dead holds up no confirmation; its streams notice by the cursor."""
    journal = followed.journal
    owned.journal.confirm(3)
    join(followed)
    assert [each.seq for each in journal.read(0, limit=9, max_bytes=99)] == [4, 5]
    assert journal.cursor == 3
    monkeypatch.setattr(followed_journal, "PAGE_PAYLOADS", 1)
    commit(owned, 6, 7, 8)
    pages = other.following.refresh()
    assert seqs_of([next(pages)]) == [6]
    # As if the server were taken for dead.
    database.fetch("DELETE FROM watcher.reader")
    owned.journal.confirm(7)
    assert seqs_of([next(pages)]) == [8]
    assert journal.cursor == 7


def test_payloads_that_nobody_reads_are_left_out(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    """What was left out is said, so that a stream which joins looks for it in the journal."""
    with joining(followed):
        commit(owned, 6, 7)
        (found,) = refreshed(other)
    assert (found.payloads, found.dropped_seq) == ([], 7)
    commit(owned, 8)
    assert seqs_of(refreshed(other)) == [8]


def test_a_payload_is_found_that_fills_without_a_further_change(
    owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    join(followed)
    owned.commit(Delta(), pending=[Payload(6, b"6")], changes=1)
    assert not seqs_of(refreshed(other))
    owned.commit(Delta(), [Payload(6, b"[6]")])
    assert seqs_of(refreshed(other)) == [6]


def test_a_refreshing_that_was_interrupted_is_made_up_for(
    owned: PostgresStore,
    other: PostgresEngine,
    followed: PostgresFollowed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    join(followed)
    commit(owned, 6)
    with monkeypatch.context() as patched:
        patched.setattr(followed.journal._payloads, "_read", lambda *_: other.following.open(OTHER))
        with pytest.raises(StateError):
            refreshed(other)
    assert seqs_of(refreshed(other)) == [6]


def test_a_removed_watch_is_followed_no_more(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    join(followed)
    owned.release()
    owner.remove(WATCH)
    (found,) = refreshed(other)
    assert isinstance(found.store.failure, StateError)
    with pytest.raises(StateError, match="removed"):
        followed.join()
    with pytest.raises(StateError, match="removed"):
        followed.journal.read(0, limit=1, max_bytes=1)
    with pytest.raises(StateError, match="no state"):
        other.following.open(WATCH)


# News


def test_followers_are_told_of_commits_and_owners_of_joins(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    """A commit that nobody follows is no news."""
    wait_until(lambda: owner.news.is_delivered and other.news.is_delivered, "news are delivered")
    commits: list[int] = []
    joins: list[int] = []
    other.news.subscribe(commits.extend, Topic.JOURNAL)
    owner.news.subscribe(joins.extend, Topic.WATCH)
    commit(owned, 6)
    join(followed)
    wait_until(lambda: joins == [owned.number], "the owner learns of the join")
    assert not commits
    owner.survey(60.0)
    wait_until(lambda: commits == [owned.number], "the follower learns of what came before")
    changes: list[Callable[[], object]] = [
        lambda: commit(owned, 7),
        lambda: owned.set_meta(baselined="1"),
        lambda: owned.journal.rewind(seq=1),
        owned.renew_ids,
    ]
    owned.journal.acknowledge([1], keep_s=100)
    for change in changes:
        wait_until(lambda: bool(commits), "the follower learns of it")
        commits.clear()
        change()
    wait_until(lambda: bool(commits), "the follower learns of the last")


def test_followers_are_told_by_a_new_owner_from_the_start(
    owner: PostgresEngine, owned: PostgresStore, other: PostgresEngine, followed: PostgresFollowed
) -> None:
    """Also of what others have acknowledged, which may let their streams go on."""
    wait_until(lambda: owner.news.is_delivered and other.news.is_delivered, "news are delivered")
    join(followed)
    commits: list[int] = []
    openings: list[int] = []
    other.news.subscribe(commits.extend, Topic.JOURNAL)
    other.news.subscribe(openings.extend, Topic.WATCH)
    owned.close()
    with closing(owner.open(WATCH)) as again:
        wait_until(lambda: bool(openings), "the follower learns of the opening")
        commit(again, 6)
        wait_until(lambda: bool(commits), "the follower learns of the commit")
        commits.clear()
        followed.journal.acknowledge([4])
        again.journal.refresh_acknowledged(owner.survey(60.0).watches[WATCH].acknowledgements)
        wait_until(lambda: bool(commits), "the follower learns of the acknowledgement")


def test_servers_that_follow_the_same_watch_do_not_disturb_each_other(
    url: str, clock: FakeClock, owned: PostgresStore, followed: PostgresFollowed, database: Database
) -> None:
    with (
        joined(PostgresEngine(url, clock, "third")) as third,
        closing(third.following.open(WATCH)) as also_followed,
    ):
        join(followed)
        join(also_followed)
        report(third, also_followed, 5)
        assert sorted(readers_of(database)) == [(1, 0), (1, 5)]
        owned.journal.confirm(5)
        assert cursor_of(database) == 0
