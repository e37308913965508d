"""Decides whether each listing is read in the way that those before it allow; time is a number here."""

from __future__ import annotations

import pytest

from watcher.filters.path_filter import PathFilter
from watcher.sources.s3.key_ranges import MIN_PAGES_TO_SPLIT, RangeListing
from watcher.sources.s3.strategy import (
    AUTO_WORKERS,
    MAX_FAILURES,
    ORDER_TRUSTED_S,
    ListingStrategy,
    Mode,
)
from watcher.spec import Filter

EVERYTHING = PathFilter(Filter())
ENOUGH = MIN_PAGES_TO_SPLIT + 1
"""The fewest split_keys with which a listing is read in parts."""


def completed(split_keys: int = ENOUGH, disorder: str = "") -> RangeListing:
    """Return a listing that was read to its end."""
    listing = RangeListing("s3://landing/", [""], EVERYTHING)
    listing.split_keys, listing.disorder = (
        [b"%03d" % number for number in range(split_keys)],
        disorder,
    )
    return listing


class Bench:
    """A plan with a clock that stands still until a step moves it."""

    def __init__(self, workers: int | None = None) -> None:
        self.now_s = 5.0
        self.plan = ListingStrategy(workers, lambda: self.now_s)

    def take(self, step: str) -> None:
        """Do one of the steps below; one that ends in the name of a way is a listing that was completed so."""
        match step.split():
            case ["day"]:
                self.now_s += ORDER_TRUSTED_S
            case ["moment"]:
                self.now_s += 0.25
            case ["failed"]:
                self.plan.choose_way()
                self.plan.note_failed()
            case ["flat"]:
                self.plan.note_no_prefixes()
            case ["disordered", way]:
                self._complete(way, completed(disorder="b comes after c"))
            case ["small", way]:
                self._complete(way, completed(ENOUGH - 1))
            case [way]:
                self._complete(way, completed())

    def _complete(self, way: str, listing: RangeListing) -> None:
        self.plan.choose_way()
        self.plan.note_completed(Mode(way), listing)


STRUCK = ["chain", *["failed"] * MAX_FAILURES]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The first listing.
        ([], Mode.BY_PREFIX),
        (["flat"], Mode.SEQUENTIAL),
        (["failed"], Mode.BY_PREFIX),
        (["day", "moment"], Mode.BY_PREFIX),
        # Order is shown by a chain and by nothing else.
        (["prefixes"], Mode.SEQUENTIAL),
        (["prefixes", "failed"], Mode.SEQUENTIAL),
        (["prefixes", "chain"], Mode.PARALLEL),
        (["flat", "chain"], Mode.PARALLEL),
        (["chain", "parts", "parts"], Mode.PARALLEL),
        # It is believed for a day after the last chain.
        (["chain", "day"], Mode.PARALLEL),
        (["chain", "day", "moment"], Mode.SEQUENTIAL),
        (["chain", "day", "parts", "moment"], Mode.SEQUENTIAL),
        (["chain", "day", "chain", "moment"], Mode.PARALLEL),
        (["chain", "day", "moment", "chain"], Mode.PARALLEL),
        (["chain", "day", "moment", "failed"], Mode.SEQUENTIAL),
        # Keys that do not ascend, even once.
        (["disordered chain"], Mode.BY_PREFIX),
        (["disordered chain", "chain", "chain"], Mode.BY_PREFIX),
        (["disordered prefixes"], Mode.BY_PREFIX),
        (["chain", "disordered parts"], Mode.BY_PREFIX),
        (["chain", "disordered chain", "day", "moment"], Mode.BY_PREFIX),
        (["flat", "disordered chain"], Mode.SEQUENTIAL),
        (["disordered chain", "flat"], Mode.SEQUENTIAL),
        # Listings that could not be read in parts.
        (["chain", *["failed"] * (MAX_FAILURES - 1)], Mode.PARALLEL),
        (STRUCK, Mode.SEQUENTIAL),
        ([*STRUCK, "chain", "chain"], Mode.SEQUENTIAL),
        ([*STRUCK, "day"], Mode.SEQUENTIAL),
        ([*STRUCK, "day", "moment"], Mode.SEQUENTIAL),
        ([*STRUCK, "day", "chain", "moment", "chain"], Mode.PARALLEL),
        ([*STRUCK, "day", "moment", "chain"], Mode.PARALLEL),
        ([*STRUCK, "day", "moment", "chain", "failed"], Mode.PARALLEL),
        (["chain", *["failed", "chain"] * MAX_FAILURES], Mode.SEQUENTIAL),
        # Too few split_keys in the last listing.
        (["small chain"], Mode.SEQUENTIAL),
        (["small chain", "chain"], Mode.PARALLEL),
        (["chain", "small parts"], Mode.SEQUENTIAL),
    ],
)
def test_way(steps: list[str], expected: Mode) -> None:
    """Each history leads to the one way that is safe after it and, of these, the fastest; to ask twice changes nothing."""
    bench = Bench()
    for step in steps:
        bench.take(step)
    assert (bench.plan.choose_way(), bench.plan.choose_way()) == (expected, expected)


@pytest.mark.parametrize(
    "steps", [[], ["prefixes"], ["chain"], ["disordered chain"], STRUCK, ["chain", "day", "moment"]]
)
def test_one_worker_reads_one_chain(steps: list[str]) -> None:
    """Where only one page may be fetched at once there is nothing to choose."""
    bench = Bench(workers=1)
    for step in steps:
        bench.take(step)
    assert bench.plan.choose_way() is Mode.SEQUENTIAL


def test_a_proof_counts_from_the_end_of_its_listing() -> None:
    """A chain that takes long is believed for a day from its end, and one that breaks off proves nothing."""
    bench = Bench()
    bench.take("chain")
    bench.now_s += 2 * ORDER_TRUSTED_S
    assert bench.plan.choose_way() is Mode.SEQUENTIAL
    bench.now_s += ORDER_TRUSTED_S
    assert bench.plan.choose_way() is Mode.SEQUENTIAL
    bench.plan.note_completed(Mode.SEQUENTIAL, completed())
    bench.take("day")
    assert bench.plan.choose_way() is Mode.PARALLEL


@pytest.mark.parametrize(("workers", "expected"), [(None, AUTO_WORKERS), (1, 1), (64, 64)])
def test_workers(workers: int | None, expected: int) -> None:
    """As many pages are fetched at once as was asked for, or as are of use."""
    assert ListingStrategy(workers, lambda: 0.0).workers == expected


def test_what_is_learned_from_a_listing() -> None:
    """The split_keys are those of the last listing, put in order; the reason why keys do not ascend is the first that was found."""
    plan = ListingStrategy(None, lambda: 0.0)
    assert (list(plan.split_keys), plan.disorder) == ([], "")
    listing = completed(disorder="b comes after c")
    listing.split_keys = [b"m", b"z", b"a"]
    plan.note_completed(Mode.BY_PREFIX, listing)
    assert (list(plan.split_keys), plan.disorder) == ([b"a", b"m", b"z"], "b comes after c")
    plan.note_completed(Mode.SEQUENTIAL, completed(1, disorder="y comes after z"))
    assert (list(plan.split_keys), plan.disorder) == ([b"000"], "b comes after c")
    plan.note_completed(Mode.SEQUENTIAL, completed(0))
    assert (list(plan.split_keys), plan.disorder) == ([], "b comes after c")
