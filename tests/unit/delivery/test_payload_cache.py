"""What the cache returns, and when it says that the journal must be read."""

import pytest

from watcher.delivery.payload_cache import (
    CACHE_BYTES,
    CACHE_PAYLOADS,
    PAGES_BYTES,
    CacheBudget,
    NewestPayloads,
    PayloadCache,
)
from watcher.model import Payload


def opened(seq: int, budget: CacheBudget | None = None) -> PayloadCache:
    cache = PayloadCache(seq, budget or CacheBudget(2 * CACHE_BYTES))
    cache.set_readers(1)
    return cache


def seqs(
    cache: PayloadCache, seq: int, limit: int = 10, max_bytes: int = 1 << 30
) -> list[int] | None:
    found = cache.after(seq, limit=limit, max_bytes=max_bytes)
    return None if found is None else [payload.seq for payload in found]


def payloads(*numbers: int, size_bytes: int = 1) -> list[Payload]:
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
def test_payloads_after_a_sequence_number(seq: int, limit: int, expected: list[int] | None) -> None:
    """The cache begins after 5: None before that, nothing behind the last payload."""
    cache = opened(5)
    cache.extend(payloads(8, 9))
    cache.extend(payloads(12))
    assert seqs(cache, seq, limit) == expected


def test_dropped_payloads_are_not_in_memory() -> None:
    """Nor are the payloads before them any more."""
    cache = opened(0)
    assert seqs(cache, 0) == []
    cache.extend(payloads(1, 2))
    cache.extend(payloads(8, 9), dropped_seq=7)
    assert [seqs(cache, seq) for seq in (0, 1, 6, 7, 8)] == [None, None, None, [8, 9], [9]]


@pytest.mark.parametrize(
    ("max_bytes", "kept", "dropped_seq"), [(30, [1, 2, 3], None), (29, [2, 3], 1), (5, [3], 2)]
)
def test_the_newest_of_those_that_pass_are_kept(
    max_bytes: int, kept: list[int], dropped_seq: int | None
) -> None:
    """The last one is kept in any case."""
    newest, passing = NewestPayloads(max_bytes), payloads(1, 2, 3, size_bytes=10)
    assert list(newest.passing(passing)) == passing
    assert ([payload.seq for payload in newest.payloads], newest.dropped_seq) == (kept, dropped_seq)


def test_the_oldest_leave_by_number_and_by_size() -> None:
    """A payload that is too large for the cache is not mistaken for absent."""
    cache = opened(0)
    cache.extend(payloads(*range(1, CACHE_PAYLOADS + 3)))
    assert (seqs(cache, 1), seqs(cache, 2, limit=1)) == (None, [3])
    cache = opened(0)
    cache.extend(payloads(1, 2, 3, size_bytes=CACHE_BYTES // 2))
    assert (seqs(cache, 0), seqs(cache, 1)) == (None, [2, 3])
    cache.extend(payloads(4, size_bytes=CACHE_BYTES + 1))
    assert (seqs(cache, 3), seqs(cache, 4)) == (None, [])
    cache.extend(payloads(5))
    assert seqs(cache, 4) == [5]


@pytest.mark.parametrize(
    ("max_bytes", "expected"), [(30, [1, 2, 3]), (29, [1, 2]), (10, [1]), (0, [1])]
)
def test_a_reading_is_bounded(max_bytes: int, expected: list[int]) -> None:
    """One payload is returned in any case."""
    cache = opened(0)
    cache.extend(payloads(1, 2, 3, size_bytes=10))
    assert seqs(cache, 0, max_bytes=max_bytes) == expected
    assert seqs(cache, 3, max_bytes=max_bytes) == []


def test_a_closed_cache_holds_nothing() -> None:
    """Nor does it mistake payloads that were added for absent."""
    cache = PayloadCache(0)
    cache.extend(payloads(1, 2))
    assert (seqs(cache, 1), seqs(cache, 2)) == (None, [])
    cache.set_readers(1)
    cache.extend(payloads(3))
    assert (seqs(cache, 1), seqs(cache, 2)) == (None, [3])
    cache.set_readers(0)
    cache.extend(payloads(4))
    assert (seqs(cache, 3), seqs(cache, 4)) == (None, [])


def test_the_stalest_cache_is_emptied() -> None:
    """Beyond the budget, the cache that grew least recently loses its payloads and goes on."""
    budget = CacheBudget(30)
    first, second, third = opened(0, budget), opened(0, budget), opened(0, budget)
    first.extend(payloads(1, size_bytes=10))
    second.extend(payloads(1, size_bytes=10))
    first.extend(payloads(2, size_bytes=10))
    third.extend(payloads(1, size_bytes=10))
    assert [seqs(cache, 0) for cache in (first, second, third)] == [[1, 2], None, [1]]
    second.extend(payloads(2, size_bytes=1))
    assert [seqs(cache, 1) for cache in (first, second, third)] == [None, [2], []]


def test_a_closed_cache_leaves_its_budget_to_others() -> None:
    budget = CacheBudget(20)
    first, second = opened(0, budget), opened(0, budget)
    for seq in (1, 2, 3):
        first.extend(payloads(seq, size_bytes=10))
        first.set_readers(0)
        first.set_readers(1)
    second.extend(payloads(1, 2, size_bytes=10))
    first.set_readers(0)
    assert seqs(second, 0) == [1, 2]


def page_seqs(cache: PayloadCache, seq: int, limit: int = 10) -> list[int] | None:
    page = cache.page(seq, limit=limit)
    return None if page is None else [payload.seq for payload in page]


def test_what_one_stream_has_read_the_others_need_not_read() -> None:
    """A page is found where its reading began; it is no part of the newest payloads."""
    cache = opened(9)
    cache.set_readers(2)
    cache.keep_page(3, payloads(4, 5, 6))
    cache.keep_page(6, [])
    assert [page_seqs(cache, seq) for seq in (2, 3, 4, 6)] == [None, [4, 5, 6], None, None]
    assert (page_seqs(cache, 3, limit=2), seqs(cache, 3), seqs(cache, 9)) == ([4, 5], None, [])


@pytest.mark.parametrize("readers", [0, 1])
def test_pages_are_kept_for_several_streams_only(readers: int) -> None:
    cache = opened(9)
    cache.set_readers(readers)
    cache.keep_page(3, payloads(4, 5))
    assert page_seqs(cache, 3) is None
    cache.set_readers(2)
    cache.keep_page(3, payloads(4, 5))
    cache.set_readers(readers)
    assert page_seqs(cache, 3) is None


def test_the_oldest_page_leaves() -> None:
    cache = opened(9)
    cache.set_readers(2)
    for seq in (1, 2, 3):
        cache.keep_page(seq, payloads(seq + 1, size_bytes=PAGES_BYTES // 2))
    assert [page_seqs(cache, seq) for seq in (1, 2, 3)] == [None, [3], [4]]


def test_pages_count_in_the_budget() -> None:
    """A cache that has to make room drops them, too."""
    budget = CacheBudget(30)
    first, second = opened(9, budget), opened(9, budget)
    first.set_readers(2)
    first.keep_page(1, payloads(2, size_bytes=20))
    second.extend(payloads(10, size_bytes=20))
    assert (page_seqs(first, 1), seqs(second, 9)) == (None, [10])
