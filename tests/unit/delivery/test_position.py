"""When an event counts as delivered, and when it is due again."""

import random
from itertools import pairwise

import pytest

from watcher.delivery.position import (
    BLOCKED_S,
    MARK_INTERVAL_S,
    MAX_RUNS,
    RUNS_PER_TIMEOUT,
    AckPosition,
    StreamPosition,
)

WINDOW_S = 30.0


def write(position: StreamPosition, seq: int, at_s: float, took_s: float = 0.0) -> None:
    position.begin_write(at_s)
    position.end_write(seq, at_s + took_s)


ONE = [(1, 100.1, 0.0)]
THREE = [(1, 0.0, 0.0), (2, 10.0, 0.0), (3, 20.0, 0.0)]
BLOCKED = [(1, 0.0, 0.0), (2, 10.0, 90.0)]
FIRST_BLOCKED = [(1, 0.0, 50.0)]


@pytest.mark.parametrize(
    ("writes", "now_s", "confirmed"),
    [
        # At most one mark after the end of its window.
        (ONE, 100.1 + WINDOW_S - 0.01, 0),
        (ONE, 100.1 + WINDOW_S + MARK_INTERVAL_S, 1),
        # Each event has its own window; time alone never confirms what was not written.
        (THREE, 29.0, 0),
        (THREE, 31.0, 1),
        (THREE, 39.0, 1),
        (THREE, 41.0, 2),
        (THREE, 1000.0, 3),
        # A blocked write restarts the windows of the events before it, a short wait does not.
        ([(1, 0.0, 0.0), (2, 20.0, BLOCKED_S)], WINDOW_S, 1),
        ([(1, 0.0, 0.0), (2, 20.0, BLOCKED_S + 0.1)], WINDOW_S, 0),
        (BLOCKED, 100.0 + WINDOW_S - 0.01, 0),
        (BLOCKED, 100.0 + WINDOW_S + MARK_INTERVAL_S, 2),
        (FIRST_BLOCKED, 50.0 + WINDOW_S - 0.01, 0),
        (FIRST_BLOCKED, 50.0 + WINDOW_S, 1),
    ],
)
def test_an_event_is_confirmed_after_its_window(
    writes: list[tuple[int, float, float]], now_s: float, confirmed: int
) -> None:
    """Writes are given as sequence number, beginning and duration."""
    position = StreamPosition(0)
    for seq, at_s, took_s in writes:
        write(position, seq, at_s, took_s)
    assert position.confirmed_seq(now_s, WINDOW_S) == confirmed


def test_a_blocked_write_confirms_nothing() -> None:
    """The client does not read then, so events sent before may still wait for it."""
    position = StreamPosition(5)
    assert (position.written_seq, position.confirmed_seq(0.0, WINDOW_S)) == (5, 5)
    write(position, 6, 0.0)
    assert position.written_seq == 6
    position.begin_write(10.0)
    assert position.confirmed_seq(100.0, WINDOW_S) == 5


def test_blocked_seconds() -> None:
    """A write longer than ``BLOCKED_S`` counts in full, also while it lasts; others do not."""
    position = StreamPosition(0)
    write(position, 1, 0.0, took_s=BLOCKED_S)
    assert position.blocked_s(10.0) == 0.0
    write(position, 2, 10.0, took_s=5.0)
    position.begin_write(20.0)
    assert position.blocked_s(20.5) == 5.0
    assert position.blocked_s(22.0) == 7.0
    position.end_write(3, 23.0)
    assert position.blocked_s(100.0) == 8.0


def test_writes_close_together_share_a_mark() -> None:
    """The marks of a busy stream are bounded, and no event is confirmed before its own window."""
    position = StreamPosition(0)
    for seq in range(1, 10_001):
        write(position, seq, seq / 1000)
    assert len(position._marks) <= 10 / MARK_INTERVAL_S + 1
    for now_s in (30.0, 30.4, 33.3, 39.99):
        assert position.confirmed_seq(now_s, WINDOW_S) <= (now_s - WINDOW_S) * 1000
    assert position.confirmed_seq(40.0 + MARK_INTERVAL_S, WINDOW_S) == 10_000


def test_redeliveries_are_counted() -> None:
    """A payload that another stream may have received counts, a new one does not."""
    position = StreamPosition(3, delivered_before_seq=5)
    for seq in (4, 5, 6):
        write(position, seq, 0.0)
    assert (position.written, position.redelivered) == (3, 2)


def test_a_rewind_takes_effect_between_two_writes() -> None:
    """Its confirmations and marks no longer count, but the write that is under way does."""
    position = StreamPosition(0)
    for seq in (1, 2):
        write(position, seq, 0.0)
    assert position.confirmed_seq(100.0, WINDOW_S) == 2
    position.begin_write(100.0)
    position.rewind(0)
    assert position.confirmed_seq(100.0, WINDOW_S) == 0
    position.end_write(3, 100.0)
    assert position.confirmed_seq(200.0, WINDOW_S) == 0
    assert (position.resume(), position.written_seq, position.resume()) == (0, 0, 0)
    assert position.confirmed_seq(1000.0, WINDOW_S) == 0
    for seq in (1, 2, 3, 4):
        write(position, seq, 1000.0)
    assert position.confirmed_seq(1000.0 + WINDOW_S, WINDOW_S) == 4
    assert (position.written, position.redelivered) == (7, 3)


def test_a_stalled_stream_is_one_that_is_blocked_for_long() -> None:
    """An idle stream never is."""
    position = StreamPosition(0)
    assert not position.is_stalled(1e9, WINDOW_S)
    position.begin_write(10.0)
    stalled = [position.is_stalled(now_s, WINDOW_S) for now_s in (10.0, 40.0, 40.1)]
    assert stalled == [False, False, True]
    position.end_write(1, 50.0)
    assert not position.is_stalled(1e9, WINDOW_S)


def test_what_is_written_is_due_again() -> None:
    """Its timeout later, once; it is forgotten until it is written again."""
    position = AckPosition(0, delivered_before_seq=0, timeout_s=10.0)
    assert (position.due_in_s(0.0), position.due_for_redelivery(100.0)) == (None, range(0))
    for seq in range(1, 301):
        write(position, seq, 1.0)
    write(position, 1000, 5.0)
    assert (position.due_in_s(4.0), position.due_for_redelivery(10.9)) == (7.0, range(0))
    assert position.due_for_redelivery(11.0) == range(1, 301)
    position.requeue(range(256, 301))
    assert (position.due_in_s(11.0), position.due_for_redelivery(11.0)) == (0.0, range(256, 301))
    position.requeue(range(301, 301))
    assert (position.due_in_s(11.0), position.due_in_s(20.0)) == (4.0, 0.0)
    write(position, 299, 12.0)
    assert (position.written_seq, position.redelivered) == (1000, 1)
    assert position.due_for_redelivery(22.0) == range(301, 1001)
    assert position.due_for_redelivery(22.0) == range(256, 300)


def test_a_rewound_stream_forgets_what_was_due() -> None:
    """Payloads that a rewound stream writes again are due once, a timeout after that."""
    position = AckPosition(0, delivered_before_seq=0, timeout_s=10.0)
    write(position, 1, 0.0)
    position.rewind(0)
    assert (position.resume(), position.due_for_redelivery(1000.0)) == (0, range(0))
    write(position, 1, 1000.0)
    assert position.due_for_redelivery(1010.0) == range(1, 2)


@pytest.mark.parametrize("position", [StreamPosition(0), AckPosition(0, 0, timeout_s=10.0)])
def test_a_skipped_payload_takes_no_stream_back(position: StreamPosition) -> None:
    """One that is due, but is acknowledged before it is written, does not change the position."""
    for seq in (1, 2, 3):
        write(position, seq, 0.0)
    position.skip(1)
    assert position.resume() == 3
    position.skip(4)
    assert position.resume() == 4


def test_many_writes_are_few_runs() -> None:
    """The memory that unacknowledged payloads take depends on time, not on their number."""
    position = AckPosition(0, 0, timeout_s=100.0)
    for seq in range(1, 100_001):
        write(position, seq, seq / 1000)
    assert len(position._runs) <= RUNS_PER_TIMEOUT + 1


def test_the_number_of_runs_is_bounded() -> None:
    """Payloads far apart in time make a run each; too many runs become one, without a loss."""
    position = AckPosition(0, 0, timeout_s=1e6)
    for seq in range(1, MAX_RUNS + 2):
        write(position, seq, seq * 1e4)
    now_s = MAX_RUNS * 1e4 + 1e4
    assert (position.due_in_s(now_s), len(position._runs)) == (1e6, 1)
    assert position.due_for_redelivery(now_s) == range(0)
    assert position.due_for_redelivery(now_s + 1e6) == range(1, MAX_RUNS + 2)


@pytest.mark.parametrize("seed", range(20))
def test_each_payload_is_redelivered_in_its_own_time(seed: int) -> None:
    """In random histories an unacknowledged payload is written once a timeout, hardly later."""
    chance, now_s, timeout_s, last_seq = random.Random(seed), 0.0, 10.0, 0  # noqa: S311 - histories, no secrets
    position = AckPosition(0, 0, timeout_s)
    waiting: set[int] = set()
    written_s: dict[int, list[float]] = {}
    for _ in range(5000):
        now_s += chance.choice([0.001, 0.01, 0.1])
        if due := position.due_for_redelivery(now_s):
            if found := sorted(waiting & {*due})[: chance.randint(1, 5)]:
                position.requeue(range(found[-1] + 1, due.stop))
        else:
            found = [*range(last_seq + 1, last_seq + 1 + chance.choice([0, 0, 0, 0, 0, 1, 8]))]
            last_seq += len(found)
            waiting.update(found)
        for seq in found:
            if seq not in waiting:
                position.skip(seq)
                continue
            now_s += 0.0001
            write(position, seq, now_s)
            written_s.setdefault(seq, []).append(now_s)
            waiting.difference_update(other for other in [*found, seq - 3] if chance.random() < 0.4)
    gaps_s = [end_s - start_s for at_s in written_s.values() for start_s, end_s in pairwise(at_s)]
    assert len(gaps_s) > 100
    assert timeout_s <= min(gaps_s)
    assert max(gaps_s) <= timeout_s + timeout_s / RUNS_PER_TIMEOUT + 2.0
    assert all(now_s - written_s[seq][-1] <= timeout_s + 2.0 for seq in waiting)
