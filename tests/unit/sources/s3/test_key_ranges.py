"""Decides whether the parts of a listing make a whole: with any store, any order of answers, and keys that come and go meanwhile."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.errors import UnavailableError
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3 import key_ranges as s3_ranges
from watcher.sources.s3 import objects as s3_objects
from watcher.sources.s3.key_ranges import (
    MAX_KEY,
    PageRequest,
    RangeListing,
    UnorderedListingError,
    common_start,
    estimate_split,
)
from watcher.sources.s3.objects import ObjectReader
from watcher.sources.s3.pages import Page
from watcher.spec import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAGE_KEYS = 3
EVERYTHING = PathFilter(Filter())
READER = ObjectReader("s3://landing/", b"", is_url=False)

keys = st.sets(st.text("ab/-0", min_size=1, max_size=4), max_size=40)
names = st.text("ab09/-zé", max_size=5).map(str.encode)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two keys make a batch, and one landmark a part that is worth to be split."""
    monkeypatch.setattr(s3_objects, "LEAST_OBJECTS", 1)
    monkeypatch.setattr(s3_objects, "MOST_OBJECTS", 2)
    monkeypatch.setattr(s3_ranges, "MIN_PAGES_TO_SPLIT", 1)


def found(key: str) -> bytes:
    """Return an object as it comes."""
    return f"<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-11-23T12:00:00Z</LastModified>".encode()


class Shelf:
    """A store of keys in ascending order.

    Attributes:
        keys: What is there.
        misses: StartAfter passes so many keys too many, or too few where it is negative.
        asked: The questions so far.
    """

    def __init__(self, present: set[str], misses: int = 0) -> None:
        self.keys = present
        self.misses = misses
        self.asked: list[PageRequest] = []

    def answer(self, question: PageRequest) -> Page:
        """Return a page; a token is the key after which the next page begins."""
        self.asked.append(question)
        present = sorted(key for key in self.keys if key.startswith(question.prefix))
        start = bisect_right(
            present, question.token if question.token is not None else question.start_after
        )
        if question.token is None and question.start_after:
            start = max(0, start + self.misses)
        page = present[start : start + PAGE_KEYS]
        more = start + PAGE_KEYS < len(present)
        return Page([found(key) for key in page], READER, page[-1] if more else None, [])


def read(
    listing: RangeListing,
    answer: Callable[[PageRequest], Page],
    choose: Callable[[int], int],
    workers: int = 4,
) -> list[str]:
    """Read a listing to its end, with answers that come in any order, and return the keys that were met.

    Args:
        listing: Which.
        answer: The store.
        choose: Picks which of so many answers comes next.
        workers: So many questions are asked at once.
    """
    met: list[str] = []
    on_their_way: list[tuple[s3_ranges.KeyRange, Page]] = []
    while not listing.is_complete:
        while len(on_their_way) < workers and (part := listing.next_part()) is not None:
            on_their_way.append((part, answer(part.question)))
        for batch in listing.take(*on_their_way.pop(choose(len(on_their_way)))):
            met += [entry.path.decode() for entry in batch.entries]
            assert batch.is_sorted
    return met


def last(count: int) -> int:
    """Choose the last of so many."""
    return count - 1


def landmarks_of(present: set[str]) -> list[bytes]:
    """Return the split_keys of a listing in one chain."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    assert read(listing, Shelf(present).answer, last) == sorted(present)
    return sorted(listing.split_keys)


@given(present=keys, workers=st.integers(1, 6), chance=st.randoms(use_true_random=False))
def test_parts_make_a_whole(present: set[str], workers: int, chance: object) -> None:
    """Every key is met exactly once, whatever the order in which the answers come, for hardly more requests than in one chain."""
    shelf, listing = (
        Shelf(present),
        RangeListing("s3://landing/", [""], EVERYTHING, split_keys=landmarks_of(present) or [b"x"]),
    )
    met = read(listing, shelf.answer, chance.randrange, workers)  # type: ignore[attr-defined]  # hypothesis has a type of its own
    assert sorted(met) == sorted(present)
    assert listing.keys == len(present)
    starts = sum(question.token is None for question in shelf.asked)
    assert len(shelf.asked) <= len(present) / PAGE_KEYS + 2 * starts


@given(
    present=keys,
    changes=st.lists(st.tuples(st.integers(1, 12), keys, keys), max_size=4),
    chance=st.randoms(use_true_random=False),
)
def test_keys_that_stay_are_met(
    present: set[str], changes: list[tuple[int, set[str], set[str]]], chance: object
) -> None:
    """Whatever comes and goes between two answers, what was there all the time is met; or the listing says that it cannot be read so."""
    split_keys = landmarks_of(present) or [b"x"]
    shelf, stay = Shelf(set(present)), present.difference(*(gone for _, _, gone in changes))

    def answer(question: PageRequest) -> Page:
        for number, come, gone in changes:
            if number == len(shelf.asked):
                shelf.keys = (shelf.keys | come) - (gone & present)
        return shelf.answer(question)

    try:
        met = read(
            RangeListing("s3://landing/", [""], EVERYTHING, split_keys=split_keys),
            answer,
            chance.randrange,  # type: ignore[attr-defined]
        )
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
    present: set[str], split_keys: set[bytes], misses: int, chance: object
) -> None:
    """Where a store begins too early or too late after StartAfter, every key is met all the same, or the listing says that it cannot be."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING, split_keys=sorted(split_keys))
    try:
        met = read(listing, Shelf(present, misses).answer, chance.randrange)  # type: ignore[attr-defined]
    except UnorderedListingError:
        assert misses
        return
    assert set(met) == present


@given(present=keys, chance=st.randoms(use_true_random=False))
def test_prefixes_need_no_order(present: set[str], chance: object) -> None:
    """Prefixes that are listed side by side give every key of theirs, and each once, in whatever order the store keeps them."""

    def answer(question: PageRequest) -> Page:
        names = [key for key in present if key.startswith(question.prefix)]
        start = int(question.token or 0)
        return Page(
            [found(key) for key in names[start : start + 2]],
            READER,
            str(start + 2) if start + 2 < len(names) else None,
            [],
        )

    met: list[str] = []
    listing = RangeListing("s3://landing/", ["a", "b", "/"], EVERYTHING)
    while not listing.is_complete:
        part = listing.next_part()
        assert part is not None
        met += [
            entry.path.decode()
            for batch in listing.take(part, answer(part.question))
            for entry in batch.entries
        ]
        chance.random()  # type: ignore[attr-defined]
    assert sorted(met) == sorted(key for key in present if key[0] in "ab/")


def test_parts_that_grow_are_split_again() -> None:
    """Keys of which no landmark tells are read by several all the same: the names tell where to split."""
    old = {f"day-1/{number:04}" for number in range(30)}
    shelf = Shelf(old | {f"day-2/{number:04}" for number in range(900)})
    listing = RangeListing("s3://landing/", [""], EVERYTHING, split_keys=landmarks_of(old))
    assert sorted(read(listing, shelf.answer, lambda _count: 0)) == sorted(shelf.keys)
    starts = [
        question.start_after
        for question in shelf.asked
        if question.start_after > "day-2" and question.token is None
    ]
    assert len(starts) > 3
    assert len(shelf.asked) < 1.4 * len(shelf.keys) / PAGE_KEYS


def pages(*told: str) -> Iterator[Page]:
    """Yield pages, each told by its token and its keys."""
    for page in told:
        token, *present = page.split()
        yield Page([found(key) for key in present], READER, token, [])


@pytest.mark.parametrize(
    "answers",
    [
        ["1 a b", "1 c d"],
        ["1 a b", "2 c d", "3 a b", "4 c d", "5 a b"],
        ["1 a b", "2 a b", "3 a b"],
        ["1", "1"],
        ["1", "2", "1"],
    ],
    ids=[
        "a token again",
        "pages again",
        "the same page",
        "empty with a token again",
        "tokens again",
    ],
)
def test_circles_are_noticed(answers: Sequence[str]) -> None:
    """A chain of pages that leads back to where it was ends with an error and not never."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    *former, closing = pages(*answers)
    listing.start(former)
    with pytest.raises(UnavailableError, match="circle"):
        listing.start([closing])


@pytest.mark.parametrize(
    "answers",
    [["1", "2", "3", "4"], ["1 d", "2 c", "3 b", "4 a", "5 Z"]],
    ids=["empty", "descending"],
)
def test_a_listing_without_end_is_noticed(
    answers: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of pages that have no keys, or come out of order, ends with an error after so many of them."""
    monkeypatch.setattr(s3_ranges, "OPENINGS_MAX", 3)
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    *former, closing = pages(*answers)
    listing.start(former)
    with pytest.raises(UnavailableError, match="without end"):
        listing.start([closing])


@pytest.mark.parametrize("answers", [["1 b a"], ["1 a c", "2 b d"], ["1 a b", "2 b c"]])
def test_disorder_is_noticed(answers: Sequence[str]) -> None:
    """Keys that do not ascend, within a page or from page to page, are told; and end a listing that is read in parts."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    listing.start([*pages(*answers)])
    assert "comes after" in listing.disorder
    listing = RangeListing("s3://landing/", [""], EVERYTHING, split_keys=[b"m"])
    *former, disordered = pages(*answers)
    listing.start(former)
    with pytest.raises(UnorderedListingError, match="comes after"):
        listing.start([disordered])


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
def test_guesses(first: bytes, last_key: bytes, until: bytes, expected: bytes | None) -> None:
    """A guess is half-way to the end of the digits or letters, at the coarsest place that is still ahead."""
    assert estimate_split(first, last_key, until) == expected


@given(first=names, last_key=names, until=names | st.just(MAX_KEY))
@settings(max_examples=300)
def test_a_guess_is_a_key_between(first: bytes, last_key: bytes, until: bytes) -> None:
    """A guess lies in what is still to be read, and can be sent."""
    first, last_key = sorted([first, last_key])
    cut = estimate_split(first, last_key, until)
    if cut is not None:
        assert last_key < cut < until
        assert cut.decode()


def test_common_start() -> None:
    """Two keys have in common what both begin with."""
    assert [
        common_start(*pair) for pair in [(b"ab", b"ac"), (b"a", b"ab"), (b"", b"a"), (b"a", b"a")]
    ] == [b"a", b"a", b"", b"a"]
