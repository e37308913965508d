"""Decides whether each listing is read in the mode that those before it allow."""

from __future__ import annotations

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
ENOUGH = MIN_PAGES_TO_SPLIT + 1
"""The fewest split keys with which a listing is read in parallel."""


def completed(*split_keys: bytes, disorder: str = "") -> RangeListing:
    """Return a listing that was read to its end."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    listing.split_keys, listing.disorder = list(split_keys), disorder
    listing.keys = 1000 * len(split_keys)
    return listing


class Bench:
    """A strategy with a clock that stands still until a step moves it."""

    def __init__(self, workers: int | None = None) -> None:
        self.clock = FakeClock()
        self.strategy = ListingStrategy(workers, self.clock)

    def take(self, *steps: str) -> Bench:
        for step in steps:
            self._take(step)
        return self

    def _take(self, step: str) -> None:
        """Do one step; one that ends in a mode is a listing that was completed so."""
        match step.split():
            case ["day"]:
                self.clock.advance(ORDER_TRUSTED_S)
            case ["moment"]:
                self.clock.advance(0.25)
            case ["failed"]:
                self.strategy.choose_mode()
                self.strategy.note_failed()
            case ["flat"]:
                self.strategy.note_no_prefixes()
            case ["shrinking"]:
                self.strategy.note_missing(is_few=False)
            case ["stable"]:
                self.strategy.note_missing(is_few=True)
            case [*how, mode]:
                disorder = "b comes after c" if how == ["disordered"] else ""
                keys = [b"%03d" % key for key in range(ENOUGH - (how == ["small"]))]
                self.strategy.choose_mode()
                listing = completed(*keys, disorder=disorder)
                self.strategy.note_completed(Mode(mode), listing, 1)


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
    strategy = Bench().take(*steps).strategy
    assert (strategy.choose_mode(), strategy.choose_mode()) == (expected, expected)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["by-prefix"],
        ["sequential"],
        ["disordered sequential"],
        FAILED,
        ["sequential", "day", "moment"],
    ],
)
def test_one_worker_reads_sequentially(steps: list[str]) -> None:
    assert Bench(workers=1).take(*steps).strategy.choose_mode() is Mode.SEQUENTIAL


def test_trust_counts_from_the_end_of_a_listing() -> None:
    """A long listing is trusted for a day from its end, and one that breaks off proves nothing."""
    bench = Bench().take("sequential", "day", "day")
    assert bench.strategy.choose_mode() is Mode.SEQUENTIAL
    bench.take("day")
    assert bench.strategy.choose_mode() is Mode.SEQUENTIAL
    keys = [b"%03d" % key for key in range(ENOUGH)]
    bench.strategy.note_completed(Mode.SEQUENTIAL, completed(*keys), 1)
    bench.take("day")
    assert bench.strategy.choose_mode() is Mode.PARALLEL


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
