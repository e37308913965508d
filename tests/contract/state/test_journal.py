"""The journal: what is confirmed by time or by acknowledgement, revoked, and dropped at last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from contract.state.conftest import WATCH
from support.clock import FakeClock
from support.state import journalled
from watcher.model import Delta, Payload
from watcher.state.port import StateEngine, WatchStore

KEEP_S = 100.0
STEP_S = 10.0


@pytest.fixture
def start_s(clock: FakeClock) -> float:
    """Return when the first payload is committed."""
    return clock.wall()


@pytest.fixture
def store(store: WatchStore, clock: FakeClock, start_s: float) -> WatchStore:
    """Commit payloads of the changes 1, 2, 3 to 5, and 6, one every ``STEP_S`` seconds."""
    del start_s
    for seq, changes in ((1, 1), (2, 1), (5, 3), (6, 1)):
        store.commit(Delta(), [Payload(seq, b"%d" % seq)], changes=changes)
        clock.advance(STEP_S)
    return store


def unconfirmed(store: WatchStore, seqs: range, limit: int = 9, max_bytes: int = 99) -> list[int]:
    payloads = store.journal.read_unconfirmed(seqs, limit=limit, max_bytes=max_bytes)
    return [payload.seq for payload in payloads]


def state(store: WatchStore) -> tuple[int, object, list[int]]:
    """Return the cursor, what is acknowledged beyond it, and the payloads that are kept."""
    return store.journal.cursor, store.journal.acknowledged, journalled(store)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("after", "limit", "max_bytes", "expected"),
    [
        (0, 9, 99, [1, 2, 5, 6]),
        (0, 2, 99, [1, 2]),
        (0, 9, 2, [1, 2]),
        (0, 9, 0, [1]),
        (4, 9, 0, [5]),
        (6, 9, 99, []),
    ],
)
def test_a_reading_is_bounded(
    store: WatchStore, after: int, limit: int, max_bytes: int, expected: list[int]
) -> None:
    """A reading ends at its limits, but returns one payload while there is one."""
    payloads = store.journal.read(after, limit=limit, max_bytes=max_bytes)
    assert payloads == [Payload(seq, b"%d" % seq) for seq in expected]


@pytest.mark.sampled
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
def test_unconfirmed_payloads_are_read(
    store: WatchStore, seqs: range, limit: int, max_bytes: int, expected: list[int]
) -> None:
    store.journal.confirm(1, keep_s=KEEP_S)
    assert unconfirmed(store, seqs, limit, max_bytes) == expected


def test_the_cursor_only_rises(store: WatchStore) -> None:
    """Confirming drops the journal up to a number; a number at or below the cursor does nothing."""
    for seq, cursor, left in ((0, 0, [1, 2, 5, 6]), (2, 2, [5, 6]), (1, 2, [5, 6]), (6, 6, [])):
        store.journal.confirm(seq)
        assert state(store) == (cursor, set(), left)
    assert (store.journal.depth, store.journal.next_seq) == (0, 7)


@pytest.mark.sampled
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
    """Each confirms the whole payload; the cursor stops before the first that is not confirmed."""
    store.journal.acknowledge(acknowledged)
    assert state(store) == expected
    for seq in acknowledged:
        store.journal.acknowledge([seq])
    assert state(store) == expected


@pytest.mark.parametrize(
    ("acknowledged", "counted"),
    [
        ([], {(0, 1): (1, 1), (0, 3): (3, 5), (0, 9): (4, 6), (2, 1): (1, 5), (6, 9): (0, 0)}),
        ([1], {(0, 2): (2, 5), (1, 2): (2, 5)}),
        ([2, 5], {(0, 2): (2, 6), (1, 9): (1, 6)}),
        ([1, 2, 5, 6], {(0, 9): (0, 0)}),
    ],
)
def test_the_first_unconfirmed_payloads_are_counted(
    store: WatchStore,
    openings: Iterator[WatchStore],
    acknowledged: list[int],
    counted: dict[tuple[int, int], tuple[int, int]],
) -> None:
    """With the number of the last one; a cursor that is further has confirmed all up to it."""
    store.journal.acknowledge(acknowledged, keep_s=KEEP_S)
    for opened in openings:
        for (after_seq, limit), expected in counted.items():
            assert opened.journal.count_unconfirmed(after_seq, limit=limit) == expected


def test_confirmed_payloads_that_are_kept_are_not_counted(store: WatchStore) -> None:
    """Time confirms without marking payloads; those that a rewinding revokes count again."""
    store.journal.confirm(2, keep_s=KEEP_S)
    assert store.journal.count_unconfirmed(0, limit=9) == (2, 6)
    store.journal.rewind(seq=2)
    assert store.journal.count_unconfirmed(0, limit=9) == (3, 6)


def test_an_acknowledgement_returns_what_it_has_confirmed(store: WatchStore) -> None:
    """Each payload once, by its own number, whichever of its changes was named."""
    assert store.journal.acknowledge([4, 3, 2, 99]) == {2, 5}
    assert store.journal.acknowledge([5, 1]) == {1}
    assert store.journal.acknowledge([1, 2, 3, 4, 5]) == set()


def test_acknowledgements_are_durable(store: WatchStore, reopen: Callable[[], WatchStore]) -> None:
    store.journal.acknowledge([2, 6])
    again = reopen()
    assert state(again) == (0, {2, 6}, [1, 2, 5, 6])
    assert unconfirmed(again, range(1, 8)) == [1, 5]
    again.journal.acknowledge([1])
    assert state(again) == (2, {6}, [5, 6])
    assert unconfirmed(again, range(1, 7)) == [5]


def test_the_age_of_the_oldest(
    store: WatchStore, reopen: Callable[[], WatchStore], start_s: float
) -> None:
    """It is the commit time of the first payload beyond the cursor, however the cursor moves."""
    oldest: list[float | None] = []

    def note() -> None:
        oldest.append(store.journal.oldest_at)

    note()
    store.journal.confirm(1, keep_s=KEEP_S)
    note()
    store.journal.acknowledge([6])
    store.journal.acknowledge([2], keep_s=KEEP_S)
    note()
    store.journal.rewind(seq=1)
    note()
    assert oldest == [start_s, start_s + STEP_S, start_s + 2 * STEP_S, start_s]
    store.journal.confirm(6)
    assert store.journal.oldest_at is None
    store.commit(Delta(), [Payload(7, b"7"), Payload(8, b"8")], changes=2)
    assert store.journal.oldest_at == reopen().journal.oldest_at == start_s + 4 * STEP_S


def test_unconfirmed_bytes_are_counted(
    engine: StateEngine, store: WatchStore, reopen: Callable[[], WatchStore]
) -> None:
    """The bytes beyond the cursor are counted however it moves, and after a restart."""
    journal = store.journal
    journal.confirm(6)
    for seq in range(7, 12):
        store.commit(Delta(), [Payload(seq, b"x" * 10 ** (seq - 6))], changes=1)
    counted = [journal.size_bytes]
    for act in (
        lambda: journal.confirm(7, keep_s=KEEP_S),
        lambda: journal.acknowledge([9], keep_s=KEEP_S),
        lambda: journal.acknowledge([8], keep_s=KEEP_S),
        lambda: journal.rewind(seq=8),
        lambda: journal.confirm(10),
    ):
        act()
        counted.append(journal.size_bytes)
    assert counted == [111_110, 111_100, 111_100, 110_000, 111_100, 100_000]
    assert reopen().journal.size_bytes == engine.summary(WATCH).journal_bytes == 100_000


def test_confirmed_payloads_are_kept_for_their_time(store: WatchStore, clock: FakeClock) -> None:
    """A confirmed payload is dropped at an age; an unconfirmed one never is."""
    store.journal.confirm(5, keep_s=KEEP_S)
    assert state(store) == (5, set(), [1, 2, 5, 6])
    clock.advance(KEEP_S - 4 * STEP_S + 15)
    store.journal.expire(KEEP_S)
    assert state(store) == (5, set(), [5, 6])
    clock.advance(10_000)
    store.journal.expire(KEEP_S)
    assert state(store) == (5, set(), [6])


def test_a_clock_that_jumps_drops_nothing_unconfirmed(store: WatchStore, clock: FakeClock) -> None:
    """Whatever the wall clock reads, unconfirmed payloads stay; one set back keeps more."""
    clock.advance(1e9)
    store.journal.confirm(1, keep_s=KEEP_S)
    assert state(store) == (1, set(), [2, 5, 6])
    clock.advance(-2e9)
    store.journal.confirm(6, keep_s=KEEP_S)
    assert state(store) == (6, set(), [2, 5, 6])


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("seq", "cursor"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 5), (7, 6), (100, 6)]
)
def test_rewinding_to_a_number(
    store: WatchStore, openings: Iterator[WatchStore], seq: int, cursor: int
) -> None:
    """From the payload that holds a change on, everything is unconfirmed again."""
    store.journal.confirm(6, keep_s=KEEP_S)
    assert store.journal.rewind(seq=seq) == cursor
    for opened in openings:
        assert state(opened) == (cursor, set(), [1, 2, 5, 6])


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("after_s", "cursor"),
    [(-1000.0, 0), (0.0, 0), (0.1, 1), (2 * STEP_S, 2), (3 * STEP_S, 5), (3 * STEP_S + 1, 6)],
)
def test_rewinding_to_a_time(
    store: WatchStore, start_s: float, after_s: float, cursor: int
) -> None:
    """From the first payload committed at a time on, everything is unconfirmed again."""
    store.journal.confirm(6, keep_s=KEEP_S)
    assert store.journal.rewind(time_s=start_s + after_s) == cursor


def test_rewinding_as_far_as_payloads_are_kept(store: WatchStore, clock: FakeClock) -> None:
    """What was dropped does not come back; what is unconfirmed stays where it is."""
    assert store.journal.rewind(seq=3) == 0
    store.journal.confirm(2)
    assert store.journal.rewind(seq=1) == 2
    store.journal.confirm(5, keep_s=KEEP_S)
    clock.advance(KEEP_S - 4 * STEP_S + 5)
    store.journal.confirm(6, keep_s=KEEP_S)
    # How many changes the first payload that is kept has is no longer known.
    assert (store.journal.rewind(seq=1), journalled(store)) == (4, [5, 6])


def test_rewinding_revokes_acknowledgements(store: WatchStore) -> None:
    store.journal.acknowledge([1, 5, 6], keep_s=KEEP_S)
    assert state(store) == (1, {5, 6}, [1, 2, 5, 6])
    assert store.journal.rewind(seq=6) == 1
    assert state(store) == (1, {5}, [1, 2, 5, 6])
    assert store.journal.rewind(seq=1) == 0
    assert state(store) == (0, set(), [1, 2, 5, 6])
