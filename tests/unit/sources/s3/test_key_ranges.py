"""Key ranges make a whole, with any store, while keys come and go."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.s3.contents import contents
from watcher.errors import UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3 import batches, key_ranges
from watcher.sources.s3.key_ranges import (
    MAX_KEY,
    KeyRange,
    RangeListing,
    UnorderedListingError,
    common_start,
    estimate_split,
)
from watcher.sources.s3.objects import ObjectReader
from watcher.sources.s3.pages import Page, PageRequest
from watcher.spec import Filter

PAGE_KEYS = 3
EVERYTHING = PathFilter(Filter())
READER = ObjectReader("s3://landing/", b"", is_url=False)

keys = st.sets(st.text("ab/-0", min_size=1, max_size=4), max_size=40)
names = st.text("ab09/-zé", max_size=5).map(str.encode)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two keys make a batch, and one split key a range that is worth splitting."""
    monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", 1)
    monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", 2)
    monkeypatch.setattr(key_ranges, "MIN_PAGES_TO_SPLIT", 1)


def page_of(keys: Iterable[str], token: str | None) -> Page:
    return Page([contents(key) for key in keys], READER, token, [])


def listing_of(*prefixes: str, split_keys: Sequence[bytes] = ()) -> RangeListing:
    return RangeListing("s3://landing/", prefixes or [""], EVERYTHING, split_keys=split_keys)


class Shelf:
    """A store of keys in ascending order.

    Attributes:
        keys: What is there.
        misses: Number of keys that StartAfter passes too many, or too few where it is negative.
        asked: The requests so far.
    """

    def __init__(self, present: set[str], misses: int = 0) -> None:
        self.keys = present
        self.misses = misses
        self.asked: list[PageRequest] = []

    def answer(self, request: PageRequest) -> Page:
        """Return a page; a token is the key after which the next page begins."""
        self.asked.append(request)
        present = sorted(key for key in self.keys if key.startswith(request.prefix))
        start = bisect_right(
            present, request.token if request.token is not None else request.start_after
        )
        if request.token is None and request.start_after:
            start = max(0, start + self.misses)
        page = present[start : start + PAGE_KEYS]
        more = start + PAGE_KEYS < len(present)
        return page_of(page, page[-1] if more else None)


def read(
    listing: RangeListing,
    answer: Callable[[PageRequest], Page],
    choose: Callable[[int], int],
    workers: int = 4,
    *,
    is_ordered: bool = True,
) -> list[str]:
    """Read a listing to its end and return the keys that were met.

    Args:
        listing: The listing.
        answer: The store.
        choose: Returns the index of the next answer to arrive, given how many are on their way.
        workers: Number of requests at once.
        is_ordered: Each batch must be sorted.
    """
    met: list[str] = []
    on_their_way: list[tuple[KeyRange, Page]] = []
    while not listing.is_complete:
        while len(on_their_way) < workers and (found := listing.next_range()) is not None:
            on_their_way.append((found, answer(found.request)))
        for batch in listing.take(*on_their_way.pop(choose(len(on_their_way)))):
            met += [entry.path.decode() for entry in batch.entries]
            assert batch.is_sorted or not is_ordered
    return met


def split_keys_of(present: set[str]) -> list[bytes]:
    """Return the split keys of a sequential listing."""
    listing = listing_of()
    assert read(listing, Shelf(present).answer, lambda _: -1) == sorted(present)
    return sorted(listing.split_keys)


@given(present=keys, workers=st.integers(1, 6), chance=st.randoms(use_true_random=False))
def test_ranges_make_a_whole(present: set[str], workers: int, chance: Random) -> None:
    """Every key is met once, in any order of answers, for few requests more than sequentially."""
    shelf, listing = Shelf(present), listing_of(split_keys=split_keys_of(present) or [b"x"])
    met = read(listing, shelf.answer, chance.randrange, workers)
    assert sorted(met) == sorted(present)
    assert listing.keys == len(present)
    starts = sum(request.token is None for request in shelf.asked)
    assert len(shelf.asked) <= len(present) / PAGE_KEYS + 2 * starts


@given(
    present=keys,
    changes=st.lists(st.tuples(st.integers(1, 12), keys, keys), max_size=4),
    chance=st.randoms(use_true_random=False),
)
def test_keys_that_stay_are_met(
    present: set[str], changes: list[tuple[int, set[str], set[str]]], chance: Random
) -> None:
    """Whatever comes and goes meanwhile, a key that stays is met, or the listing cannot be read."""
    split_keys = split_keys_of(present) or [b"x"]
    shelf, stay = Shelf(set(present)), present.difference(*(gone for _, _, gone in changes))

    def answer(request: PageRequest) -> Page:
        for number, come, gone in changes:
            if number == len(shelf.asked):
                shelf.keys = (shelf.keys | come) - (gone & present)
        return shelf.answer(request)

    try:
        met = read(listing_of(split_keys=split_keys), answer, chance.randrange)
    except UnorderedListingError:
        return
    assert stay <= set(met)


@given(
    present=keys,
    split_keys=st.sets(names, min_size=1),
    misses=st.integers(-5, 5),
    chance=st.randoms(use_true_random=False),
)
def test_start_after_may_be_wrong(
    present: set[str], split_keys: set[bytes], misses: int, chance: Random
) -> None:
    """Where a store begins too early or late, each key is met, or the listing cannot be read."""
    listing = listing_of(split_keys=sorted(split_keys))
    try:
        met = read(listing, Shelf(present, misses).answer, chance.randrange)
    except UnorderedListingError:
        assert misses
        return
    assert set(met) == present


@given(present=keys, chance=st.randoms(use_true_random=False))
def test_prefixes_need_no_order(present: set[str], chance: Random) -> None:
    """Prefixes that are listed in parallel give each of their keys once, in any order."""

    def answer(request: PageRequest) -> Page:
        names = [key for key in present if key.startswith(request.prefix)]
        start, end = int(request.token or 0), int(request.token or 0) + 2
        return page_of(names[start:end], str(end) if end < len(names) else None)

    met = read(listing_of("a", "b", "/"), answer, chance.randrange, is_ordered=False)
    assert sorted(met) == sorted(key for key in present if key[0] in "ab/")


def test_ranges_that_grow_are_split_again() -> None:
    """Where there are no split keys, names show where to split."""
    old = {f"day-1/{number:04}" for number in range(30)}
    shelf = Shelf(old | {f"day-2/{number:04}" for number in range(900)})
    listing = listing_of(split_keys=split_keys_of(old))
    assert sorted(read(listing, shelf.answer, lambda _count: 0)) == sorted(shelf.keys)
    starts = [request for request in shelf.asked if request.token is None]
    assert sum(request.start_after > "day-2" for request in starts) > 3
    assert len(shelf.asked) < 1.4 * len(shelf.keys) / PAGE_KEYS


def in_halves() -> tuple[RangeListing, KeyRange, KeyRange]:
    """Return a listing whose ranges up to and after "m" have a page on its way each."""
    listing = listing_of(split_keys=[b"m"])
    left, right = listing.next_range(), listing.next_range()
    assert left is not None
    assert right is not None
    return listing, left, right


def test_a_page_of_a_range_that_was_taken_over_is_dropped() -> None:
    listing, left, right = in_halves()
    listing.take(right, page_of("op", "2"))
    assert listing.next_range() is right
    listing.take(left, page_of("ln", "1"))
    assert listing.take(right, page_of("qr", None)) == []
    listing.take(left, page_of("opqr", None))
    assert listing.is_complete


def test_keys_behind_the_end_are_disorder() -> None:
    """A range that ends before the first key of the next one cannot be read on."""
    listing, left, right = in_halves()
    listing.take(right, page_of("z", None))
    with pytest.raises(UnorderedListingError, match="keys from b'z' on, and no more after b'c'"):
        listing.take(left, page_of("abc", None))


def pages(*described: str) -> list[Page]:
    """Return pages, each given by its token and its keys."""
    return [page_of(keys, token) for token, *keys in map(str.split, described)]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(["1 a b", "1 c d"], id="a token again"),
        pytest.param(["1 a b", "2 c d", "3 a b", "4 c d", "5 a b"], id="pages again"),
        pytest.param(["1 a b", "2 a b", "3 a b"], id="the same page"),
        pytest.param(["1", "1"], id="empty with a token again"),
        pytest.param(["1", "2", "1"], id="tokens again"),
    ],
)
def test_circles_are_noticed(answers: Sequence[str]) -> None:
    """A chain of pages that leads back to where it was ends with an error."""
    listing = listing_of()
    listing.start(pages(*answers[:-1]))
    with pytest.raises(UnavailableError, match="circle"):
        listing.start(pages(answers[-1]))


@pytest.mark.parametrize("answers", [["1", "2", "3", "4"], ["1 d", "2 c", "3 b", "4 a", "5 Z"]])
def test_a_listing_without_end_is_noticed(
    answers: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of pages without keys, or out of order, ends with an error at a limit."""
    monkeypatch.setattr(key_ranges, "REMEMBERED_PAGES_MAX", 3)
    listing = listing_of()
    listing.start(pages(*answers[:-1]))
    with pytest.raises(UnavailableError, match="without end"):
        listing.start(pages(answers[-1]))


@pytest.mark.parametrize("answers", [["1 b a"], ["1 a c", "2 b d"], ["1 a b", "2 b c"]])
def test_disorder_is_noticed(answers: Sequence[str]) -> None:
    """Keys that do not ascend are noted, and end a listing that is read in parallel."""
    listing = listing_of()
    listing.start(pages(*answers))
    assert "comes after" in listing.disorder
    listing = listing_of(split_keys=[b"m"])
    listing.start(pages(*answers[:-1]))
    with pytest.raises(UnorderedListingError, match="comes after"):
        listing.start(pages(answers[-1]))


@pytest.mark.parametrize(
    ("first", "last_key", "until", "expected"),
    [
        (b"part-04000", b"part-04999", MAX_KEY, b"part-5"),
        (b"part-04000", b"part-04999", b"part-05", None),
        (b"part-04000", b"part-04999", b"part-5", b"part-07"),
        (b"log/a", b"log/c", MAX_KEY, b"loq"),
        (b"log/a", b"log/c", b"loh", b"log/o"),
        (b"log/2026/zzz", b"log/2026/zzz", MAX_KEY, None),
        (b"", b"", MAX_KEY, None),
        (b"A", b"Z", MAX_KEY, None),
    ],
)
def test_estimates(first: bytes, last_key: bytes, until: bytes, expected: bytes | None) -> None:
    """An estimate is half-way to the end of the digits or letters, at the coarsest place ahead."""
    assert estimate_split(first, last_key, until) == expected


@given(first=names, last_key=names, until=names | st.just(MAX_KEY))
@settings(max_examples=300)
def test_an_estimate_is_a_key_between(first: bytes, last_key: bytes, until: bytes) -> None:
    """An estimate lies in what is still to be read, and can be sent."""
    first, last_key = sorted([first, last_key])
    cut = estimate_split(first, last_key, until)
    if cut is not None:
        assert last_key < cut < until
        assert cut.decode()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(b"ab", b"ac", b"a"), (b"a", b"ab", b"a"), (b"", b"a", b""), (b"a", b"a", b"a")],
)
def test_common_start(one: bytes, other: bytes, expected: bytes) -> None:
    assert common_start(one, other) == expected
