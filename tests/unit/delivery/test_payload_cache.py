"""Decides whether the tail gives the newest payloads or says that it cannot; it must not import a store."""

from __future__ import annotations

import pytest

from watcher.delivery.payload_cache import (
    TAIL_BYTES,
    TAIL_PAYLOADS,
    CacheBudget,
    Newest,
    PayloadCache,
)
from watcher.model import Payload


def opened(seq: int, room: CacheBudget | None = None) -> PayloadCache:
    """Return a tail for which somebody reads."""
    tail = PayloadCache(seq, room or CacheBudget(2 * TAIL_BYTES))
    tail.open()
    return tail


def seqs(
    tail: PayloadCache, seq: int, limit: int = 10, max_bytes: int = 1 << 30
) -> list[int] | None:
    """Return the sequence numbers after one, or None."""
    payloads = tail.after(seq, limit=limit, max_bytes=max_bytes)
    return None if payloads is None else [payload.seq for payload in payloads]


def payloads(*numbers: int, size_bytes: int = 1) -> list[Payload]:
    """Return payloads of a size."""
    return [Payload(seq, bytes(size_bytes)) for seq in numbers]


@pytest.mark.parametrize(
    ("seq", "limit", "expected"),
    [
        (5, 10, [8, 9, 12]),
        (5, 2, [8, 9]),
        (7, 10, [8, 9, 12]),
        (8, 10, [9, 12]),
        (10, 10, [12]),
        (12, 10, []),
        (99, 10, []),
        (4, 10, None),
    ],
)
def test_what_is_asked_for_is_in_memory_or_not(
    seq: int, limit: int, expected: list[int] | None
) -> None:
    """A tail that begins after 5 gives what follows a number in order, nothing where nothing does, and None for what came before it."""
    tail = opened(5)
    tail.extend(payloads(8, 9))
    tail.extend(payloads(12))
    assert seqs(tail, seq, limit) == expected


def test_what_was_left_out_is_not_in_memory() -> None:
    """Where payloads before the newest are left out, whoever is behind them is sent to the state file, also for those before them."""
    tail = opened(0)
    tail.extend(payloads(1, 2))
    tail.extend(payloads(8, 9), left_out=7)
    assert [seqs(tail, seq) for seq in (0, 1, 6, 7, 8)] == [None, None, None, [8, 9], [9]]


@pytest.mark.parametrize(
    ("max_bytes", "kept", "left_out"), [(30, [1, 2, 3], None), (29, [2, 3], 1), (5, [3], 2)]
)
def test_the_newest_of_those_that_pass_are_kept(
    max_bytes: int, kept: list[int], left_out: int | None
) -> None:
    """All pass, and the last stay as long as they fit, one in any case."""
    newest = Newest(max_bytes)
    assert list(newest.passing(payloads(1, 2, 3, size_bytes=10))) == payloads(
        1, 2, 3, size_bytes=10
    )
    assert ([payload.seq for payload in newest.payloads], newest.left_out) == (kept, left_out)


def test_an_empty_tail_knows_where_it_is() -> None:
    """Without payloads a tail has nothing for those who are at its beginning, and cannot speak for the others."""
    assert seqs(opened(5), 5) == []
    assert seqs(opened(5), 4) is None


def test_the_oldest_leave_by_number() -> None:
    """A tail holds a bounded number of payloads; who is behind them is sent to the state file."""
    tail = opened(0)
    tail.extend(payloads(*range(1, TAIL_PAYLOADS + 3)))
    assert seqs(tail, 1) is None
    assert seqs(tail, 2, limit=1) == [3]


def test_the_oldest_leave_by_size() -> None:
    """A tail holds a bounded number of bytes; of payloads too large for it nothing stays, and nothing is taken for absent."""
    tail = opened(0)
    tail.extend(payloads(1, 2, 3, size_bytes=TAIL_BYTES // 2))
    assert seqs(tail, 0) is None
    assert seqs(tail, 1) == [2, 3]
    tail.extend(payloads(4, size_bytes=TAIL_BYTES + 1))
    assert seqs(tail, 3) is None
    assert seqs(tail, 4) == []
    tail.extend(payloads(5))
    assert seqs(tail, 4) == [5]


@pytest.mark.parametrize(
    ("max_bytes", "expected"), [(30, [1, 2, 3]), (29, [1, 2]), (10, [1]), (0, [1])]
)
def test_a_reading_is_bounded(max_bytes: int, expected: list[int]) -> None:
    """What is read at once has a bounded size, but something is given where something is."""
    tail = opened(0)
    tail.extend(payloads(1, 2, 3, size_bytes=10))
    assert seqs(tail, 0, max_bytes=max_bytes) == expected
    assert seqs(tail, 3, max_bytes=max_bytes) == []


def test_a_closed_tail_holds_nothing() -> None:
    """Before it is opened and after it was closed a tail holds nothing, and takes nothing that was added for absent."""
    tail = PayloadCache(0)
    tail.extend(payloads(1, 2))
    assert (seqs(tail, 1), seqs(tail, 2)) == (None, [])
    tail.open()
    tail.extend(payloads(3))
    assert (seqs(tail, 1), seqs(tail, 2)) == (None, [3])
    tail.close()
    tail.extend(payloads(4))
    assert (seqs(tail, 3), seqs(tail, 4)) == (None, [])


def test_the_stalest_tail_makes_room() -> None:
    """When tails hold too much together, the one is emptied that has not grown for the longest time, and goes on from there."""
    room = CacheBudget(30)
    first, second, third = opened(0, room), opened(0, room), opened(0, room)
    first.extend(payloads(1, size_bytes=10))
    second.extend(payloads(1, size_bytes=10))
    first.extend(payloads(2, size_bytes=10))
    third.extend(payloads(1, size_bytes=10))
    assert [seqs(tail, 0) for tail in (first, second, third)] == [[1, 2], None, [1]]
    second.extend(payloads(2, size_bytes=1))
    assert [seqs(tail, 1) for tail in (first, second, third)] == [None, [2], []]


def test_a_closed_tail_leaves_its_room() -> None:
    """What a tail held before it was closed is there for others."""
    room = CacheBudget(20)
    first, second = opened(0, room), opened(0, room)
    for seq in (1, 2, 3):
        first.extend(payloads(seq, size_bytes=10))
        first.close()
        first.open()
    second.extend(payloads(1, 2, size_bytes=10))
    first.close()
    assert seqs(second, 0) == [1, 2]
