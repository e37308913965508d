"""Decides whether the tail gives the newest payloads or says that it cannot; it must not import a store."""

from __future__ import annotations

import pytest

from watcher.model import Payload
from watcher.tail import TAIL_BYTES, TAIL_PAYLOADS, Tail


def seqs(tail: Tail, seq: int, limit: int = 10) -> list[int] | None:
    """Return the sequence numbers after one, or None."""
    payloads = tail.after(seq, limit)
    return None if payloads is None else [payload.seq for payload in payloads]


def payloads(*numbers: int, size_bytes: int = 1) -> list[Payload]:
    """Return payloads of a size."""
    return [Payload(seq, bytes(size_bytes)) for seq in numbers]


@pytest.mark.parametrize(
    ("seq", "limit", "expected"),
    [(5, 10, [8, 9, 12]), (5, 2, [8, 9]), (7, 10, [8, 9, 12]), (8, 10, [9, 12]), (10, 10, [12]), (12, 10, []), (99, 10, []), (4, 10, None)],
)
def test_what_is_asked_for_is_in_memory_or_not(seq: int, limit: int, expected: list[int] | None) -> None:
    """A tail that begins after 5 gives what follows a number in order, nothing where nothing does, and None for what came before it."""
    tail = Tail(5)
    tail.extend(payloads(8, 9))
    tail.extend(payloads(12))
    assert seqs(tail, seq, limit) == expected


def test_an_empty_tail_knows_where_it_is() -> None:
    """Without payloads a tail has nothing for those who are at its beginning, and cannot speak for the others."""
    assert seqs(Tail(5), 5) == []
    assert seqs(Tail(5), 4) is None


def test_the_oldest_leave_by_number() -> None:
    """A tail holds a bounded number of payloads; who is behind them is sent to the state file."""
    tail = Tail(0)
    tail.extend(payloads(*range(1, TAIL_PAYLOADS + 3)))
    assert seqs(tail, 1) is None
    assert seqs(tail, 2, limit=1) == [3]


def test_the_oldest_leave_by_size() -> None:
    """A tail holds a bounded number of bytes; of payloads too large for it nothing stays, and nothing is taken for absent."""
    tail = Tail(0)
    tail.extend(payloads(1, 2, 3, size_bytes=TAIL_BYTES // 2))
    assert seqs(tail, 0) is None
    assert seqs(tail, 1) == [2, 3]
    tail.extend(payloads(4, size_bytes=TAIL_BYTES + 1))
    assert seqs(tail, 3) is None
    assert seqs(tail, 4) == []
    tail.extend(payloads(5))
    assert seqs(tail, 4) == [5]
