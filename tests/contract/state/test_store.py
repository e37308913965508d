"""The store: one transaction for the index and the journal, kept over a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.state import add, indexed, journalled
from watcher.errors import StateError
from watcher.model import Delta, Entry, Payload
from watcher.state.port import WatchStore
from watcher.state.usage import LiveUsage


def test_new_state_is_empty(store: WatchStore) -> None:
    assert store.is_new
    assert (store.index.entries, indexed(store), journalled(store)) == (0, [], [])
    assert (store.journal.next_seq, store.journal.cursor, store.journal.depth) == (1, 0, 0)


def test_a_commit_is_durable(store: WatchStore, reopen: Callable[[], WatchStore]) -> None:
    entry = Entry(b"a/\xff", 1, -2, 3, (1 << 63) - 1, "etag", "GLACIER", is_link=True)
    row, uid = store.index.new_row(entry), store.uid
    store.commit(Delta([row], created=1), [Payload(2, b"{}")], [Payload(3, b"[]")], changes=3)
    store.journal.confirm(1)
    again = reopen()
    journal = again.journal
    assert (again.uid, again.is_new, again.index.entries) == (uid, False, 1)
    assert (journal.next_seq, journal.cursor, journal.depth) == (4, 1, 2)
    assert again.index.rows([entry.path, b"other"]) == {entry.path: row}
    assert again.index.links() == [entry.path]
    assert (journal.pending(), journalled(again)) == ([Payload(3, b"[]")], [2])
    assert again.index.new_row(entry).id > row.id


def test_a_commit_that_fails_leaves_nothing(
    store: WatchStore, openings: Iterator[WatchStore]
) -> None:
    """A failure in its last part leaves index, journal, pending events and counters unchanged."""
    (row,) = add(store, b"a")
    store.commit(Delta(), [Payload(1, b"one")], changes=1)
    with pytest.raises(StateError):
        store.commit(
            Delta([store.index.new_row(Entry(b"b", 1, 1))], [row], created=1),
            [Payload(2, b""), Payload(1, b"")],
            changes=2,
        )
    for opened in openings:
        assert (opened.index.entries, opened.journal.next_seq) == (1, 2)
        assert (indexed(opened), journalled(opened)) == ([b"a"], [1])


def test_a_payload_replaces_its_pending_events(store: WatchStore) -> None:
    """Pending events leave with the payload that holds them; those after it stay, in order."""
    store.commit(Delta(), pending=[Payload(1, b"1"), Payload(2, b"2")], changes=2)
    store.commit(Delta(), pending=[Payload(seq, b"%d" % seq) for seq in (1, 2, 3)], changes=1)
    assert [event.seq for event in store.journal.pending()] == [1, 2, 3]
    store.commit(Delta(), [Payload(4, b"1234")], [Payload(5, b"5"), Payload(6, b"6")], changes=3)
    assert (journalled(store), store.journal.depth) == ([4], 6)
    assert store.journal.pending() == [Payload(5, b"5"), Payload(6, b"6")]


def test_meta_is_kept_by_key(store: WatchStore, openings: Iterator[WatchStore]) -> None:
    store.set_meta(a="1", b="2")
    store.set_meta(a="3", b=None)
    for opened in openings:
        assert [*map(opened.meta, "abc")] == ["3", None, None]


def test_a_store_at_rest_has_nothing_to_tidy(store: WatchStore) -> None:
    add(store, b"a")
    for _ in range(10):
        if store.is_untidy:
            store.tidy()
    assert not store.is_untidy


def test_a_closed_store_is_an_error(store: WatchStore) -> None:
    store.close()
    store.close()
    with pytest.raises(StateError):
        store.journal.read(0, limit=1, max_bytes=1)


def test_usage_follows_the_store(store: WatchStore) -> None:
    usage = LiveUsage(store)
    add(store, b"a", b"b")
    store.commit(Delta(), [Payload(3, b"three")], changes=3)
    assert (usage.entries, usage.depth, usage.journal_bytes) == (2, 3, 5)
    assert usage.oldest_at == store.journal.oldest_at is not None
