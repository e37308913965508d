"""The record of groups: net changes, due times, and totals, all in the commit that carries them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import pytest

from support.state import add
from watcher.errors import StateError
from watcher.model import (
    HIDDEN,
    ChangeType,
    Delta,
    Entry,
    GroupCounts,
    GroupDelta,
    Payload,
)
from watcher.state.group_port import ChangedGroup
from watcher.state.port import WatchStore

CREATED, MODIFIED, DELETED = ChangeType.CREATED, ChangeType.MODIFIED, ChangeType.DELETED
KINDS = {"c": CREATED, "m": MODIFIED, "d": DELETED}


def commit(store: WatchStore, delta: GroupDelta) -> None:
    store.commit(Delta(groups=delta))


def counts(store: WatchStore, group: bytes) -> tuple[int, int, int]:
    """Return how many entries of a group were created, modified and deleted."""
    found = store.groups.totals(group).counts
    return found.created, found.modified, found.deleted


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("history", "net"),
    [
        ("c", (1, 0, 0)),
        ("cm", (1, 0, 0)),
        ("cmm", (1, 0, 0)),
        ("cd", (0, 0, 0)),
        ("cmd", (0, 0, 0)),
        ("cdc", (1, 0, 0)),
        ("m", (0, 1, 0)),
        ("mm", (0, 1, 0)),
        ("md", (0, 0, 1)),
        ("mdc", (0, 1, 0)),
        ("d", (0, 0, 1)),
        ("dc", (0, 1, 0)),
        ("dcm", (0, 1, 0)),
        ("dcd", (0, 0, 1)),
        ("dcdc", (0, 1, 0)),
    ],
)
def test_changes_of_an_entry_are_net(
    store: WatchStore, openings: Iterator[WatchStore], history: str, net: tuple[int, int, int]
) -> None:
    for kind in history:
        commit(store, GroupDelta(changes={b"run/a": KINDS[kind]}))
    for opened in openings:
        assert counts(opened, b"run") == counts(opened, b"") == net
        assert counts(opened, b"ru") == (0, 0, 0)
        paths = [path for page in opened.groups.changed_paths() for path in page]
        assert paths == [b"run/a"] * any(net)


def test_groups_are_due_in_order(store: WatchStore, openings: Iterator[WatchStore]) -> None:
    """Those that are due together are in the order of their paths; those that wait come last."""
    commit(store, GroupDelta(due={b"b": 2.5, b"\xff": 1.0, b"a": 2.5, b"z": None, b"": 9.0}))
    for opened in openings:
        groups = opened.groups
        first = groups.due(2.5, None, limit=2)
        assert first == [ChangedGroup(b"\xff", 1.0), ChangedGroup(b"a", 2.5)]
        assert groups.due(2.5, first[-1], limit=2) == [ChangedGroup(b"b", 2.5)]
        assert groups.due(0.9, None, limit=2) == []
        assert [groups.next_due_s(after_s) for after_s in (0.0, 1.0, 2.5, 9.0)] == [1, 2.5, 9, None]
        count, shown = groups.changed(limit=5)
        assert (count, [group.path for group in shown]) == (5, [b"\xff", b"a", b"b", b"", b"z"])
        assert groups.changed(limit=1) == (5, first[:1])
        assert groups.known([b"a", b"z", b"none"]) == {b"a", b"z"}


def test_a_due_time_is_replaced_touched_or_limited(store: WatchStore) -> None:
    """What is touched counts only for a group that has a due time."""
    commit(store, GroupDelta(due={b"a": 5.0, b"b": 5.0, b"c": None, b"d": 50.0}))
    commit(store, GroupDelta(due={b"a": 6.0}, touched={b"b": 7.0, b"c": 8.0, b"none": 9.0}))
    commit(store, GroupDelta(latest_due_s=10.0))
    _, groups = store.groups.changed(limit=9)
    assert dict(groups) == {b"a": 6.0, b"b": 7.0, b"d": 10.0, b"c": None}


def test_a_completed_group_begins_anew(store: WatchStore) -> None:
    """Its neighbours, those with longer names too, keep theirs; the whole place has all."""
    paths = [b"run/a", b"run/b/c", b"run0/a", b"run-/a", b"run"]
    commit(store, GroupDelta(changes=dict.fromkeys(paths, MODIFIED), due={b"run": 1.0, b"run0": 1}))
    commit(store, GroupDelta(completed=[b"run"]))
    assert [counts(store, group) for group in (b"run", b"run0", b"")] == [
        (0, 0, 0),
        (0, 1, 0),
        (0, 3, 0),
    ]
    assert store.groups.known([b"run", b"run0"]) == {b"run0"}
    commit(store, GroupDelta(forgotten=[b"run0/a"]))
    assert counts(store, b"") == (0, 2, 0)
    commit(store, GroupDelta(is_regrouped=True, due={b"": 3.0}))
    assert store.groups.changed(limit=9) == (1, [ChangedGroup(b"", 3.0)])
    commit(store, GroupDelta(completed=[b""]))
    assert (counts(store, b""), store.groups.changed(limit=9)) == ((0, 0, 0), (0, []))


def test_totals_are_those_of_the_index(store: WatchStore) -> None:
    """Entries that a volume hides do not count; sizes that no disk has are cut."""
    add(store, b"run", b"run-/a", b"run0/a")
    entries = [
        Entry(b"run/a", 10, 7),
        Entry(b"run/b/c", 1 << 40, -3),
        Entry(b"run/hidden", 5, 99, storage_class=HIDDEN),
        Entry(b"huge/a", (1 << 63) - 1, 1),
        Entry(b"huge/b", (1 << 63) - 1, 1),
    ]
    rows = [store.index.new_row(entry) for entry in entries]
    store.commit(Delta(rows, created=len(rows)))
    assert store.groups.totals(b"run") == ((1 << 40) + 10, 7, GroupCounts(2, 0, 0, 0))
    assert store.groups.totals(b"huge") == ((1 << 63) - 1, 1, GroupCounts(2, 0, 0, 0))
    assert store.groups.totals(b"none") == (0, 0, GroupCounts(0, 0, 0, 0))
    assert store.groups.totals(b"").counts.entries == 7


def test_paths_are_paged(store: WatchStore) -> None:
    changed = [b"%05d" % number for number in range(2500)]
    commit(store, GroupDelta(changes=dict.fromkeys(reversed(changed), CREATED)))
    pages = list(store.groups.changed_paths())
    assert len(pages) > 1
    assert reduce(lambda all_, page: all_ + page, pages) == changed


def test_groups_and_journal_are_one_commit(
    store: WatchStore, openings: Iterator[WatchStore]
) -> None:
    """A commit that fails leaves the changes of groups as they were."""
    commit(store, GroupDelta(changes={b"run/a": CREATED}, due={b"run": 1.0}))
    store.commit(Delta(), [Payload(1, b"one")], changes=1)
    with pytest.raises(StateError):
        store.commit(Delta(groups=GroupDelta(completed=[b"run"])), [Payload(1, b"")], changes=1)
    for opened in openings:
        assert counts(opened, b"run") == (1, 0, 0)
        assert opened.groups.known([b"run"]) == {b"run"}
