"""Each listing is read in the mode that those before it allow."""

import pytest

from support.clock import FakeClock
from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.key_ranges import MIN_PAGES_TO_SPLIT, RangeListing
from watcher.sources.s3.strategy import (
    AUTO_WORKERS,
    MAX_FAILURES,
    ORDER_TRUSTED_S,
    CompletedListing,
    ListingStrategy,
    Mode,
)
from watcher.spec import Filter

EVERYTHING = PathFilter(Filter())
KEYS = [b"%03d" % key for key in range(MIN_PAGES_TO_SPLIT + 1)]
"""The fewest split keys with which a listing is read in parallel."""


def completed(*split_keys: bytes, disorder: str = "") -> RangeListing:
    """Return a listing that was read to its end."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    listing.split_keys, listing.disorder = list(split_keys), disorder
    listing.keys = 1000 * len(split_keys)
    return listing


def take(strategy: ListingStrategy, clock: FakeClock, *steps: str) -> None:
    """Do steps; one that ends in a mode is a listing that was completed so."""
    for step in steps:
        match step.split():
            case ["day"]:
                clock.advance(ORDER_TRUSTED_S)
            case ["moment"]:
                clock.advance(0.25)
            case ["failed" | "refused" as how, *rest]:
                strategy.choose_mode()
                mode = Mode.BY_PREFIX if rest else Mode.PARALLEL
                strategy.note_failed(mode, is_refused=how == "refused")
            case ["flat"]:
                strategy.note_no_prefixes()
            case ["shrinking"]:
                strategy.note_missing(is_few=False)
            case ["stable"]:
                strategy.note_missing(is_few=True)
            case [*how, mode]:
                disorder = "b comes after c" if how == ["disordered"] else ""
                keys = KEYS[1:] if how == ["small"] else KEYS
                strategy.choose_mode()
                strategy.note_completed(Mode(mode), completed(*keys, disorder=disorder), 1)


FAILED = ["sequential", *["failed"] * MAX_FAILURES]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The first listing.
        ([], Mode.BY_PREFIX),
        (["flat"], Mode.SEQUENTIAL),
        (["failed"], Mode.BY_PREFIX),
        (["day", "moment"], Mode.BY_PREFIX),
        # Order is shown by a sequential listing and by nothing else.
        (["by-prefix"], Mode.SEQUENTIAL),
        (["by-prefix", "failed"], Mode.SEQUENTIAL),
        (["by-prefix", "sequential"], Mode.PARALLEL),
        (["flat", "sequential"], Mode.PARALLEL),
        (["sequential", "parallel", "parallel"], Mode.PARALLEL),
        # It is trusted for a day after the last sequential listing.
        (["sequential", "day"], Mode.PARALLEL),
        (["sequential", "day", "moment"], Mode.SEQUENTIAL),
        (["sequential", "day", "parallel", "moment"], Mode.SEQUENTIAL),
        (["sequential", "day", "sequential", "moment"], Mode.PARALLEL),
        (["sequential", "day", "moment", "sequential"], Mode.PARALLEL),
        (["sequential", "day", "moment", "failed"], Mode.SEQUENTIAL),
        # Keys that do not ascend, even once.
        (["disordered sequential"], Mode.BY_PREFIX),
        (["disordered sequential", "sequential", "sequential"], Mode.BY_PREFIX),
        (["disordered by-prefix"], Mode.BY_PREFIX),
        (["sequential", "disordered parallel"], Mode.BY_PREFIX),
        (["sequential", "disordered sequential", "day", "moment"], Mode.BY_PREFIX),
        (["flat", "disordered sequential"], Mode.SEQUENTIAL),
        (["disordered sequential", "flat"], Mode.SEQUENTIAL),
        # Listings that could not be read in parallel.
        (["sequential", *["failed"] * (MAX_FAILURES - 1)], Mode.PARALLEL),
        (FAILED, Mode.SEQUENTIAL),
        ([*FAILED, "sequential", "sequential"], Mode.SEQUENTIAL),
        ([*FAILED, "day"], Mode.SEQUENTIAL),
        ([*FAILED, "day", "moment"], Mode.SEQUENTIAL),
        ([*FAILED, "day", "sequential", "moment", "sequential"], Mode.PARALLEL),
        ([*FAILED, "day", "moment", "sequential"], Mode.PARALLEL),
        ([*FAILED, "day", "moment", "sequential", "failed"], Mode.PARALLEL),
        (["sequential", *["failed", "sequential"] * MAX_FAILURES], Mode.SEQUENTIAL),
        # Refusals count for a day at once, each mode by itself.
        (["sequential", "refused"], Mode.SEQUENTIAL),
        (["sequential", "refused", "sequential", "day"], Mode.SEQUENTIAL),
        (["sequential", "refused", "day", "moment", "sequential"], Mode.PARALLEL),
        (["refused prefix"], Mode.SEQUENTIAL),
        (["refused prefix", "sequential"], Mode.PARALLEL),
        (["disordered sequential", "refused prefix", "day"], Mode.SEQUENTIAL),
        (["disordered sequential", "refused prefix", "day", "moment"], Mode.BY_PREFIX),
        (["disordered sequential", *["failed prefix"] * (MAX_FAILURES - 1)], Mode.BY_PREFIX),
        (["disordered sequential", *["failed prefix"] * MAX_FAILURES], Mode.SEQUENTIAL),
        # Too few split keys in the last listing, or too many keys missing from it.
        (["small sequential"], Mode.SEQUENTIAL),
        (["small sequential", "sequential"], Mode.PARALLEL),
        (["sequential", "small parallel"], Mode.SEQUENTIAL),
        (["sequential", "shrinking"], Mode.SEQUENTIAL),
        (["sequential", "shrinking", "stable"], Mode.PARALLEL),
    ],
)
def test_mode(steps: list[str], expected: Mode) -> None:
    """Each history leads to the fastest mode that is safe after it; asking changes nothing."""
    clock = FakeClock()
    strategy = ListingStrategy(None, clock)
    take(strategy, clock, *steps)
    assert (strategy.choose_mode(), strategy.choose_mode()) == (expected, expected)


@pytest.mark.parametrize("steps", [[], ["sequential"], ["disordered sequential"]])
def test_one_worker_reads_sequentially(steps: list[str]) -> None:
    clock = FakeClock()
    strategy = ListingStrategy(1, clock)
    take(strategy, clock, *steps)
    assert strategy.choose_mode() is Mode.SEQUENTIAL


def test_trust_counts_from_the_end_of_a_listing() -> None:
    """A long listing is trusted for a day from its end, and one that breaks off proves nothing."""
    clock = FakeClock()
    strategy = ListingStrategy(None, clock)
    for steps in (["sequential", "day", "day"], ["day"]):
        take(strategy, clock, *steps)
        assert strategy.choose_mode() is Mode.SEQUENTIAL
    strategy.note_completed(Mode.SEQUENTIAL, completed(*KEYS), 1)
    take(strategy, clock, "day")
    assert strategy.choose_mode() is Mode.PARALLEL


def test_a_failure_is_news_until_the_mode_has_worked() -> None:
    strategy = ListingStrategy(None, FakeClock())
    assert [strategy.note_failed(mode) for mode in (Mode.PARALLEL, Mode.BY_PREFIX)] == [True, True]
    assert not strategy.note_failed(Mode.PARALLEL, is_refused=True)
    strategy.note_completed(Mode.PARALLEL, completed(*KEYS), 1)
    assert not strategy.note_failed(Mode.BY_PREFIX)
    assert strategy.note_failed(Mode.PARALLEL)


@pytest.mark.parametrize(("workers", "expected"), [(None, AUTO_WORKERS), (1, 1), (64, 64)])
def test_workers(workers: int | None, expected: int) -> None:
    assert ListingStrategy(workers, FakeClock()).workers == expected


def test_what_is_learned_from_a_listing() -> None:
    """Split keys and cost are those of the last listing; the proof of disorder is the first one."""
    strategy = ListingStrategy(None, FakeClock())
    assert (list(strategy.split_keys), strategy.disorder, strategy.last) == ([], "", None)
    disordered = completed(b"m", b"z", b"a", disorder="b comes after c")
    strategy.note_completed(Mode.BY_PREFIX, disordered, 5)
    assert (list(strategy.split_keys), strategy.disorder) == ([b"a", b"m", b"z"], "b comes after c")
    assert strategy.last == CompletedListing(keys=3000, requests=5)
    strategy.note_completed(Mode.SEQUENTIAL, completed(disorder="y comes after z"), 1)
    assert (list(strategy.split_keys), strategy.disorder) == ([], "b comes after c")
    assert strategy.last == CompletedListing(keys=0, requests=1)
