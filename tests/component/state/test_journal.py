"""Decides what of a journal is confirmed: by time, by acknowledgement, taken back, and dropped when its time is over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from watcher.errors import StateError
from watcher.model import Delta, Payload
from watcher.state.sqlite import store as store_module
from watcher.state.sqlite.database import schema_parts
from watcher.state.sqlite.store import WatchStore, read_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEEP_S = 100.0


class Clock:
    """The wall clock of the store."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have the store read a clock that the test sets."""
    clock = Clock()
    monkeypatch.setattr(store_module, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[WatchStore]:
    """Open a state file with payloads of the changes 1, 2, 3 to 5, and 6; the second was committed 10 s after the first, and so on."""
    with closing(WatchStore(tmp_path / "state.db")) as store:
        for seq, changes in ((1, 1), (2, 1), (5, 3), (6, 1)):
            store.commit(Delta(), [Payload(seq, b"%d" % seq)], changes=changes)
            clock.now_s += 10
        yield store


def seqs(store: WatchStore) -> list[int]:
    """Return the payloads that are kept."""
    return [payload.seq for payload in store.read(0, limit=100, max_bytes=1 << 20)]


def oldest_at(store: WatchStore) -> float | None:
    """Return since when the first payload waits that is not confirmed."""
    return store.oldest_at


def unconfirmed(
    store: WatchStore, seqs: range, limit: int = 100, max_bytes: int = 100
) -> list[int]:
    """Return the payloads in a range that are not confirmed."""
    return [
        payload.seq for payload in store.read_unconfirmed(seqs, limit=limit, max_bytes=max_bytes)
    ]


def state(store: WatchStore) -> tuple[int, set[int], list[int]]:
    """Return the cursor, what is acknowledged beyond it, and the payloads that are kept."""
    return store.cursor, store.acknowledged, seqs(store)


@pytest.mark.parametrize(
    ("acknowledged", "expected"),
    [
        ([], (0, set(), [1, 2, 5, 6])),
        ([1], (1, set(), [2, 5, 6])),
        ([2], (0, {2}, [1, 2, 5, 6])),
        ([2, 1], (2, set(), [5, 6])),
        ([4], (0, {5}, [1, 2, 5, 6])),
        ([3, 1, 2], (5, set(), [6])),
        ([6, 1], (1, {6}, [2, 5, 6])),
        ([1, 2, 3, 4, 5, 6], (6, set(), [])),
        ([7, 100], (0, set(), [1, 2, 5, 6])),
    ],
)
def test_acknowledgements_in_any_order(
    store: WatchStore, acknowledged: list[int], expected: object
) -> None:
    """Each confirms the payload that its change is in; the cursor stands before the first that is not; one by one or together."""
    store.acknowledge(acknowledged)
    assert state(store) == expected
    for seq in acknowledged:
        store.acknowledge([seq])
    assert state(store) == expected


def test_since_when_the_oldest_waits(store: WatchStore) -> None:
    """It is the time of the first payload that is not confirmed: by time, by acknowledgement, taken back, and after the file was opened."""
    assert oldest_at(store) == 1000.0
    store.confirm(1, keep_s=KEEP_S)
    assert oldest_at(store) == 1010.0
    store.acknowledge([6])
    store.acknowledge([2], keep_s=KEEP_S)
    assert oldest_at(store) == 1020.0
    store.rewind(seq=1)
    assert oldest_at(store) == 1000.0
    store.confirm(6)
    assert oldest_at(store) is None
    store.commit(Delta(), [Payload(7, b"7"), Payload(8, b"8")], changes=2)
    assert oldest_at(store) == 1040.0
    store.close()
    with closing(WatchStore(store.path)) as again:
        assert oldest_at(again) == 1040.0


def test_acknowledgements_are_durable(store: WatchStore) -> None:
    """What is acknowledged is so after the file was opened again, and what is not is still there to be sent."""
    store.acknowledge([2, 6])
    store.close()
    with closing(WatchStore(store.path)) as again:
        assert state(again) == (0, {2, 6}, [1, 2, 5, 6])
        assert unconfirmed(again, range(1, 8)) == [1, 5]
        again.acknowledge([1])
        assert state(again) == (2, {6}, [5, 6])
        assert unconfirmed(again, range(1, 7)) == [5]


@pytest.mark.parametrize(
    ("seqs", "limit", "max_bytes", "expected"),
    [
        (range(1, 7), 9, 9, [2, 5, 6]),
        (range(2, 6), 9, 9, [2, 5]),
        (range(3, 5), 9, 9, []),
        (range(1, 7), 2, 9, [2, 5]),
        (range(1, 7), 9, 2, [2, 5]),
        (range(1, 7), 9, 0, [2]),
        (range(0), 9, 9, []),
    ],
)
def test_what_is_not_confirmed_is_read(
    store: WatchStore, seqs: range, limit: int, max_bytes: int, expected: list[int]
) -> None:
    """Of a range the payloads are read that end in it and are not confirmed, as many as are asked for."""
    store.confirm(1, keep_s=KEEP_S)
    assert unconfirmed(store, seqs, limit, max_bytes) == expected


def test_an_acknowledgement_that_fails_changes_nothing(
    store: WatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file cannot be written, nothing counts as acknowledged."""

    def fail(_seq: int, _keep_s: float) -> None:
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(store, "_advance", fail)
    with pytest.raises(StateError):
        store.acknowledge([1, 6])
    assert state(store) == (0, set(), [1, 2, 5, 6])


def test_what_is_confirmed_is_kept_for_its_time(store: WatchStore, clock: Clock) -> None:
    """A confirmed payload is dropped when it is older than it is to be kept; one that is not confirmed never is."""
    store.confirm(5, keep_s=KEEP_S)
    assert state(store) == (5, set(), [1, 2, 5, 6])
    clock.now_s = 1000 + KEEP_S + 15
    store.expire(KEEP_S)
    assert state(store) == (5, set(), [5, 6])
    clock.now_s += 10_000
    store.expire(KEEP_S)
    assert state(store) == (5, set(), [6])


def test_a_clock_that_jumps_drops_nothing_that_is_not_confirmed(
    store: WatchStore, clock: Clock
) -> None:
    """Whatever the wall clock says, what is not confirmed stays; one that goes back keeps more."""
    clock.now_s = 1e10
    store.confirm(1, keep_s=KEEP_S)
    assert state(store) == (1, set(), [2, 5, 6])
    clock.now_s = 0.0
    store.confirm(6, keep_s=KEEP_S)
    assert state(store) == (6, set(), [2, 5, 6])


@pytest.mark.parametrize(
    ("seq", "cursor"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 5), (7, 6), (100, 6)]
)
def test_rewinding_to_a_number(store: WatchStore, seq: int, cursor: int) -> None:
    """From the payload that has a change on, everything is unconfirmed again."""
    store.confirm(6, keep_s=KEEP_S)
    assert (store.rewind(seq=seq), store.cursor) == (cursor, cursor)
    store.close()
    with closing(WatchStore(store.path)) as again:
        assert state(again) == (cursor, set(), [1, 2, 5, 6])


@pytest.mark.parametrize(
    ("time_s", "cursor"),
    [(0.0, 0), (1000.0, 0), (1000.1, 1), (1020.0, 2), (1030.0, 5), (1031.0, 6)],
)
def test_rewinding_to_a_time(store: WatchStore, time_s: float, cursor: int) -> None:
    """From what was committed at a time on, everything is unconfirmed again."""
    store.confirm(6, keep_s=KEEP_S)
    assert store.rewind(time_s=time_s) == cursor


def test_rewinding_as_far_as_there_is_something(store: WatchStore, clock: Clock) -> None:
    """What was dropped does not come back, and what is not confirmed is where it was."""
    assert store.rewind(seq=3) == 0
    store.confirm(2)
    assert store.rewind(seq=1) == 2
    store.confirm(5, keep_s=KEEP_S)
    clock.now_s = 1000 + KEEP_S + 5
    store.confirm(6, keep_s=KEEP_S)
    # Of the first that is kept nobody knows any more how many changes it has.
    assert (store.rewind(seq=1), seqs(store)) == (4, [5, 6])


def test_rewinding_takes_acknowledgements_back(store: WatchStore) -> None:
    """What was acknowledged beyond the cursor is unconfirmed again too, from where it is rewound to."""
    store.acknowledge([1, 5, 6], keep_s=KEEP_S)
    assert state(store) == (1, {5, 6}, [1, 2, 5, 6])
    assert store.rewind(seq=6) == 1
    assert state(store) == (1, {5}, [1, 2, 5, 6])
    assert store.rewind(seq=1) == 0
    assert state(store) == (0, set(), [1, 2, 5, 6])


def test_a_file_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    """A journal from before acknowledgements is sent as it stands."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(schema_parts()[0])
        db.execute("INSERT INTO journal VALUES (4, 'four')")
        db.execute("UPDATE counters SET next_seq = 5, cursor = 3")
        db.execute("PRAGMA user_version = 1")
    with closing(WatchStore(path)) as store:
        assert state(store) == (3, set(), [4])
        store.acknowledge([4], keep_s=KEEP_S)
        assert state(store) == (4, set(), [])


def test_unconfirmed_bytes_are_counted(tmp_path: Path) -> None:
    """The bytes behind the cursor are known through every way to confirm and to take back, and when the file is opened again."""
    path = tmp_path / "bytes.db"
    with closing(WatchStore(path)) as store:
        for seq in range(1, 6):
            store.commit(Delta(), [Payload(seq, b"x" * 10**seq)], changes=1)
        counted = [store.journal_bytes]
        for act in (
            lambda: store.confirm(1, keep_s=KEEP_S),
            lambda: store.acknowledge([3], keep_s=KEEP_S),
            lambda: store.acknowledge([2], keep_s=KEEP_S),
            lambda: store.rewind(seq=2),
            lambda: store.confirm(4),
        ):
            act()
            counted.append(store.journal_bytes)
    assert counted == [111_110, 111_100, 111_100, 110_000, 111_100, 100_000]
    with closing(WatchStore(path)) as store:
        assert store.journal_bytes == read_summary(path)["journal_bytes"] == 100_000
