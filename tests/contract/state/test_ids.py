"""The ids of events: the same while the state goes on, renewed when it may be a restored backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from contract.state.conftest import WATCH
from support.clock import FakeClock
from support.state import journalled
from watcher.model import Delta, Payload
from watcher.state.port import StateEngine, WatchStore

MANY = 1_000_000
"""Changes that no backup is behind."""


@pytest.fixture
def store(store: WatchStore) -> WatchStore:
    """Commit two payloads, of which one is confirmed, and one event that waits for its batch."""
    store.commit(Delta(), [Payload(1, b"1"), Payload(2, b"2")], [Payload(3, b"3")], changes=3)
    store.journal.confirm(1)
    return store


def test_renewed_ids_were_never_used(
    store: WatchStore, openings: Iterator[WatchStore], clock: FakeClock
) -> None:
    """Part and number are new; all in the journal stays, and the numbers between count nothing."""
    former_uid, at = store.uid, clock.wall()
    store.renew_ids()
    clock.advance(60)
    uid, next_seq = store.uid, store.journal.next_seq
    assert uid != former_uid
    assert next_seq > MANY
    for opened in openings:
        assert (opened.uid, opened.journal.next_seq, opened.ids_renewed_at) == (uid, next_seq, at)
        assert opened.former_uids == {former_uid: 4}
        assert opened.journal.depth == 2
        assert opened.journal.read(0, limit=9, max_bytes=9) == [Payload(2, b"2")]
        assert opened.journal.pending() == [Payload(3, b"3")]


def test_the_journal_goes_on_after_a_renewal(
    engine: StateEngine, store: WatchStore, reopen: Callable[[], WatchStore]
) -> None:
    """Events from before and after it are in one order, confirmed one by one and rewound."""
    store.renew_ids()
    seq = store.journal.next_seq
    store.commit(Delta(), [Payload(3, b"3"), Payload(seq, b"new")], changes=1)
    assert (journalled(store), store.journal.depth) == ([2, 3, seq], 3)
    store.journal.acknowledge([3])
    store.journal.confirm(2, keep_s=100)
    assert (store.journal.cursor, store.journal.depth) == (2, 2)
    assert engine.summary(WATCH).depth == 2
    store.journal.acknowledge([seq], keep_s=100)
    store.journal.confirm(seq, keep_s=100)
    assert (store.journal.cursor, store.journal.depth) == (seq, 0)
    assert store.journal.rewind(seq=seq) == 3
    again = reopen()
    assert (again.journal.depth, again.journal.next_seq) == (1, seq + 1)
    assert engine.summary(WATCH).depth == 1


def test_ids_are_renewed_again(store: WatchStore, openings: Iterator[WatchStore]) -> None:
    """Acknowledgements of all former ids in the journal are understood, with their numbers."""
    ends = {}
    for _ in range(3):
        ends[store.uid] = store.journal.next_seq
        store.renew_ids()
        store.commit(Delta(), changes=1)
    for opened in openings:
        assert opened.former_uids == ends
        assert opened.journal.depth == 2 + 3


def test_a_watch_at_rest_has_its_ids_renewed(engine: StateEngine, clock: FakeClock) -> None:
    with closing(engine.open(WATCH)) as store:
        uid, next_seq = store.uid, store.journal.next_seq
    assert engine.summary(WATCH).ids_renewed_at == 0
    engine.renew_ids(WATCH)
    assert engine.summary(WATCH).ids_renewed_at == clock.wall()
    with closing(engine.open(WATCH)) as store:
        assert (store.is_new, set(store.former_uids)) == (False, {uid})
        assert store.journal.next_seq > next_seq
        renewed = store.uid
    with closing(engine.open(WATCH)) as store:
        assert store.uid == renewed
